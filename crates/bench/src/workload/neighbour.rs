//! Small requests while other clients keep the server busy: with large files, in the page cache and not, or
//! with a registry that hangs.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Bench, Kind, LIMITS, named, warm};
use crate::certificate::Certificate;
use crate::client::{Check, Client, Request};
use crate::lateness;
use crate::load::{self, percentile};
use crate::peer::{Peer, Setup};
use crate::report::{Figures, Table, medians};
use crate::workload::warm::{forget_cached, of_answers, small_content};

/// Connections that pull cold files.
const PULLS: usize = 8;

/// The time between two small requests.
const EVERY: Duration = Duration::from_millis(2);

/// The time of a small request while files are sent: from the page cache, and cold from the disk.
pub(crate) fn run(bench: &Bench) -> io::Result<Table> {
    let large: Vec<Request> =
        (0..PULLS as u64).map(|number| bench.upstreams.put_blob(50 + number, bench.blob_bytes / 4)).collect();
    let small = bench.upstreams.put_blob(49, 4096);
    let content: Vec<Request> = large.iter().chain([&small]).cloned().collect();
    let mut peers = Vec::new();
    peers.extend(bench.nginx_static("nginx sendfile", &content, Kind::Large)?);
    peers.push(bench.wharf(&Setup::default())?);
    peers.push(bench.wharf(&Setup {
        name: "wharf copying",
        server: "sendfile = false",
        ..Setup::default()
    })?);
    let certificate = Certificate::make(&bench.workspace.clear("certificate")?)?;
    let tls = Some((certificate.chain.as_path(), certificate.key.as_path()));
    let mut encrypted = bench.wharf(&Setup { name: "wharf TLS", tls, ..Setup::default() })?;
    encrypted.target.tls = Some(certificate.trusted());
    encrypted.target.host = format!("localhost:{}", encrypted.target.address.port());
    peers.push(encrypted);
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
            lateness::during(peer, || beside(peer, &large, &small)).map_err(|error| named(peer, &error))
        })?;
        for (peer, figures) in peers.iter().zip(medians) {
            table.push(&peer.name, u64::from(is_cold), figures);
        }
    }
    Ok(table)
}

/// Requests that wait for the registry that hangs.
const STUCK: usize = 2000;

/// Warm blobs of one registry while no client, and while many clients, wait for another registry's upstream.
pub(crate) fn beside_a_hung_registry(bench: &Bench) -> io::Result<Table> {
    let blobs = small_content(bench);
    let peer = bench.wharf(&Setup { hung: true, server: LIMITS, ..Setup::default() })?;
    warm(&peer, &blobs)?;
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..bench.repetitions {
        for (runs, count) in runs.iter_mut().zip([0, STUCK]) {
            let mut stuck = Vec::with_capacity(count);
            for number in 0..count {
                let mut connection = TcpStream::connect(peer.target.address)?;
                write!(connection, "GET /hung.example/v2/a/manifests/{number} HTTP/1.1\r\nHost: a\r\n\r\n")?;
                stuck.push(connection);
            }
            // By then all of them wait, and none has timed out.
            std::thread::sleep(Duration::from_secs(2));
            let measured =
                load::for_a_time(&peer, &blobs, 16, bench.duration).map_err(|error| named(&peer, &error))?;
            runs.push(of_answers(&measured));
        }
    }
    let title = "Warm small blobs beside a registry that hangs";
    let mut table = Table::new("hung-registry", title, "requests that wait");
    for (runs, count) in runs.iter().zip([0, STUCK]) {
        table.push(&peer.name, count as u64, medians(runs));
    }
    Ok(table)
}

fn beside(peer: &Peer, large: &[Request], small: &Request) -> io::Result<Figures> {
    load::run(async {
        let running = Rc::new(Cell::new(large.len()));
        let started = Instant::now();
        let pulls: Vec<_> = large
            .iter()
            .cloned()
            .map(|request| {
                let (target, running) = (peer.target.clone(), Rc::clone(&running));
                tokio::task::spawn_local(async move {
                    let pulled =
                        async { Client::open(&target).await?.fetch(&request, Check::Length, |_| {}).await };
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
            times.push(client.fetch(small, Check::Length, |_| {}).await?.whole);
        }
        let wall = started.elapsed();
        for pull in pulls {
            pull.await.map_err(io::Error::other)??;
        }
        let bytes: usize = large.iter().map(|request| request.content.len()).sum();
        Ok(vec![
            ("small p50 ms", percentile(&times, 0.5)),
            ("small p99 ms", percentile(&times, 0.99)),
            ("small max ms", percentile(&times, 1.0)),
            ("MB/s", bytes as f64 / 1e6 / wall.as_secs_f64()),
        ])
    })
}
