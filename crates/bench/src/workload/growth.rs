//! The growth of figures with connections and registries.

use std::io;
use std::time::Instant;

use super::{Bench, Kind, named, warm};
use crate::client::Request;
use crate::load;
use crate::peer::Setup;
use crate::processor;
use crate::report::Table;
use crate::workload::warm::{of_answers, of_transfers};

pub(crate) fn connections(bench: &Bench) -> io::Result<Table> {
    let large = [bench.upstreams.put_blob(1, bench.blob_bytes)];
    let small = [bench.upstreams.put_blob(2, 16 << 10)];
    let content: Vec<Request> = large.iter().chain(&small).cloned().collect();
    let mut peers = Vec::new();
    peers.extend(bench.nginx_static("nginx sendfile", &content, Kind::Large)?);
    peers.push(bench.wharf(&Setup::default())?);
    for peer in &peers {
        warm(peer, &content)?;
    }
    let mut table = Table::new("grow-connections", "Growth with connections", "connections");
    for count in [1, 10, 100, 1000] {
        let medians = bench.interleave(&peers, |peer| {
            let failed = |error: io::Error| named(peer, &error);
            let streams = load::for_a_time(peer, &large, count, bench.duration).map_err(failed)?;
            let answers = load::for_a_time(peer, &small, count, bench.duration).map_err(failed)?;
            let mut figures = of_transfers(&streams);
            figures.extend(of_answers(&answers).into_iter().take(4));
            Ok(figures)
        })?;
        for (peer, figures) in peers.iter().zip(medians) {
            table.push(&peer.name, count as u64, figures);
        }
    }
    Ok(table)
}

pub(crate) fn registries(bench: &Bench) -> io::Result<Table> {
    let mut table = Table::new("grow-registries", "Growth with registries", "registries");
    let image = bench.upstreams.put_image("registries", 31, &[50_000]);
    for count in [1, 10, 100] {
        let mut runs = Vec::new();
        for _ in 0..bench.repetitions {
            let started = Instant::now();
            let peer = bench.wharf(&Setup { registries: count, ..Setup::default() })?;
            let first = started.elapsed();
            let idle = processor::usage(peer.id()).resident;
            warm(&peer, &image)?;
            let hits = load::for_a_time(&peer, &image[1..], 16, bench.duration)?;
            let mut figures = vec![
                ("listens after ms", first.as_secs_f64() * 1e3),
                ("idle MiB", idle as f64 / f64::from(1 << 20)),
            ];
            figures.extend(of_answers(&hits).into_iter().take(4));
            runs.push(figures);
        }
        table.push("wharf", count as u64, crate::report::medians(&runs));
    }
    Ok(table)
}
