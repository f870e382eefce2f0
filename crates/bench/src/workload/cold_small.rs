//! Many small blobs that are not stored yet: the cost of each until it is durable, if the server promises
//! that.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Bench, LIMITS, named};
use crate::client::{Check, Request};
use crate::load::{self, percentile};
use crate::peer::{Peer, Setup};
use crate::processor;
use crate::report::{Figures, Table, medians};

/// Blobs of each repetition. They have 2 to 8 KiB, as configurations and attestations do.
const BLOB_COUNT: u64 = 4000;

/// The longest time for a server to store everything.
const STORED_MAX: Duration = Duration::from_secs(60);

/// Every repetition starts with empty stores.
pub(crate) fn run(bench: &Bench) -> io::Result<Table> {
    let blobs: Vec<Request> = (0..BLOB_COUNT)
        .map(|number| bench.upstreams.put_blob(500_000 + number, 2048 + number * 1543 % 6144))
        .collect();
    let mut table = Table::new("cold-small", "4000 cold blobs of 2 to 8 KiB", "connections");
    for connections in [8, 64] {
        let mut runs: Vec<(String, Vec<Figures>)> = Vec::new();
        for repetition in 0..bench.repetitions {
            let mut peers = servers(bench)?;
            if repetition % 2 == 1 {
                peers.reverse();
            }
            for peer in &peers {
                let figures = pull(bench, peer, &blobs, connections)?;
                match runs.iter_mut().find(|(name, _)| *name == peer.name) {
                    Some((_, known)) => known.push(figures),
                    None => runs.push((peer.name.clone(), vec![figures])),
                }
            }
        }
        for (name, figures) in &runs {
            table.push(name, connections as u64, medians(figures));
        }
    }
    Ok(table)
}

/// All servers with the upstream that answers at once; wharf also with tokens and redirects.
fn servers(bench: &Bench) -> io::Result<Vec<Peer>> {
    let setup = Setup { server: LIMITS, ..Setup::default() };
    let mut peers = vec![
        bench.wharf(&Setup { plain: true, ..setup.clone() })?,
        bench.wharf(&Setup { name: "wharf with tokens and redirects", ..setup })?,
    ];
    peers.extend(bench.nginx_cache()?);
    Ok(peers)
}

/// `connections` share the blobs. The processor time counts until everything is stored.
fn pull(bench: &Bench, peer: &Peer, blobs: &[Request], connections: usize) -> io::Result<Figures> {
    bench.upstreams.forget_requests();
    let before = processor::usage(peer.id()).cpu;
    let measured =
        load::to_the_end(peer, blobs, 1, connections, Check::Bytes).map_err(|error| named(peer, &error))?;
    let stored_in = wait_until_stored(&peer.data.join("registry0.example/partial"))?;
    let cpu = processor::usage(peer.id()).cpu.saturating_sub(before);
    let requests = bench.upstreams.request_count();
    Ok(vec![
        ("blobs/s", measured.answers_per_second()),
        ("CPU us", cpu.as_secs_f64() * 1e6 / measured.answers as f64),
        ("p50 ms", percentile(&measured.wholes, 0.5)),
        ("p99 ms", percentile(&measured.wholes, 0.99)),
        ("stored after ms", stored_in.as_secs_f64() * 1e3),
        ("upstream requests each", requests as f64 / measured.answers as f64),
        ("memory MiB", measured.resident_max as f64 / f64::from(1 << 20)),
        ("foreign CPU", measured.foreign),
    ])
}

/// Waits until no file is unfinished, and returns the time of the wait: zero for a server without such a
/// directory.
fn wait_until_stored(partial: &Path) -> io::Result<Duration> {
    let started = Instant::now();
    while fs::read_dir(partial).is_ok_and(|mut files| files.next().is_some()) {
        if started.elapsed() > STORED_MAX {
            return Err(io::Error::other(format!("{} is not empty after a minute", partial.display())));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(started.elapsed())
}
