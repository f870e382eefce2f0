//! Large files that are not in the page cache are sent, and somebody else wants something small meanwhile.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Bench, Kind, named, warm};
use crate::client::{Check, Client, Question};
use crate::load::{self, percentile};
use crate::peer::{Peer, Setup};
use crate::report::{Figures, Table};
use crate::workload::warm::forget_cached;

/// Connections that pull cold files.
const PULLS: usize = 8;

/// The small request is made so often.
const EVERY: Duration = Duration::from_millis(2);

/// How long a small request takes while files are sent: from the page cache, and cold from the disk.
pub(crate) fn run(bench: &Bench) -> io::Result<Table> {
    let large: Vec<Question> =
        (0..PULLS as u64).map(|number| bench.upstreams.put_blob(50 + number, bench.blob_bytes / 4)).collect();
    let small = bench.upstreams.put_blob(49, 4096);
    let content: Vec<Question> = large.iter().chain([&small]).cloned().collect();
    let mut peers = Vec::new();
    peers.extend(bench.nginx_static("nginx sendfile", &content, Kind::Large)?);
    peers.push(bench.wharf(&Setup::default())?);
    peers.push(bench.wharf(&Setup {
        name: "wharf copying",
        server: "sendfile = false",
        ..Setup::default()
    })?);
    peers.extend(bench.registries()?);
    for peer in &peers {
        warm(peer, &content)?;
    }
    let mut table = Table::new("neighbour", "A small request every 2 ms beside 8 large ones", "files cold");
    for is_cold in [false, true] {
        let medians = bench.interleave(&peers, |peer| {
            if is_cold {
                forget_cached(&peer.data)?;
            }
            beside(peer, &large, &small).map_err(|error| named(peer, &error))
        })?;
        for (peer, figures) in peers.iter().zip(medians) {
            table.push(&peer.name, u64::from(is_cold), figures);
        }
    }
    Ok(table)
}

fn beside(peer: &Peer, large: &[Question], small: &Question) -> io::Result<Figures> {
    load::run(async {
        let running = Rc::new(Cell::new(large.len()));
        let started = Instant::now();
        let pulls: Vec<_> = large
            .iter()
            .cloned()
            .map(|question| {
                let (target, running) = (peer.target.clone(), Rc::clone(&running));
                tokio::task::spawn_local(async move {
                    let pulled =
                        async { Client::open(&target).await?.ask(&question, Check::Length, |_| {}).await };
                    let pulled = pulled.await;
                    running.set(running.get() - 1);
                    pulled
                })
            })
            .collect();
        let mut client = Client::open(&peer.target).await?;
        let mut times = Vec::new();
        let mut pace = tokio::time::interval(EVERY);
        while running.get() > 0 {
            pace.tick().await;
            times.push(client.ask(small, Check::Length, |_| {}).await?.whole);
        }
        let wall = started.elapsed();
        for pull in pulls {
            pull.await.map_err(io::Error::other)??;
        }
        let bytes: usize = large.iter().map(|question| question.content.len()).sum();
        Ok(vec![
            ("small p50 ms", percentile(&times, 0.5)),
            ("small p99 ms", percentile(&times, 0.99)),
            ("small max ms", percentile(&times, 1.0)),
            ("MB/s", bytes as f64 / 1e6 / wall.as_secs_f64()),
        ])
    })
}
