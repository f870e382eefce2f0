//! Content that is not stored yet: for one client, for a herd, and from an upstream that throttles each
//! connection.

use std::io;
use std::time::Duration;

use super::{Bench, named};
use crate::client::{Check, Request};
use crate::lateness;
use crate::load::{self, Measured, percentile};
use crate::peer::Peer;
use crate::report::{Figures, Table};

/// The sizes of the image's layers, in bytes.
const LAYERS: [u64; 8] = [128 << 20, 48 << 20, 32 << 20, 16 << 20, 8 << 20, 3 << 20, 400_000, 30_000];

/// Twelve layers of one size.
const EVEN_LAYERS: [u64; 12] = [16 << 20; 12];

/// Layers that docker and containerd download at a time.
const LAYERS_AT_A_TIME: usize = 3;

/// Connections of a client that is alone. In a herd each has as many as docker: [`LAYERS_AT_A_TIME`].
const LANES: usize = 8;

/// The throttle of each answer of a slow upstream, in bytes per second.
const SLOW: u64 = 50_000_000;

/// A usual throttle of each answer of a content network, in bytes per second.
const THROTTLED: u64 = 20_000_000;

/// The figure of a pull of the stored image.
const SENDING: &str = "seconds when held";

/// The layers of the herd's image, in bytes; small, because a thousand clients multiply it.
const HERD_LAYERS: [u64; 4] = [16 << 20, 6 << 20, 1 << 20, 100_000];

pub(crate) fn image(bench: &Bench) -> io::Result<Table> {
    let mut table = Table::new("cold-image", "A cold image of 236 MiB, one client", "clients");
    pulls(bench, &mut table, "cold", &LAYERS, &[1], true)?;
    Ok(table)
}

pub(crate) fn slow_image(bench: &Bench) -> io::Result<Table> {
    let throttle = bench.upstreams.throttle(SLOW);
    let title = "The cold image from an upstream of 50 MB/s for each answer";
    let mut table = Table::new("cold-image-slow", title, "clients");
    let pulled = pulls(bench, &mut table, "slow", &LAYERS, &[1], true);
    throttle.lift();
    pulled.map(|()| table)
}

/// One client that pulls the manifest and then three layers at a time, as docker and containerd do.
pub(crate) fn few_at_a_time(bench: &Bench) -> io::Result<Table> {
    let throttle = bench.upstreams.throttle(SLOW);
    let title =
        "A cold image of 192 MiB in 12 layers, three at a time, from an upstream of 50 MB/s for each answer";
    let mut table = Table::new("cold-layers", title, "clients");
    let mut runs: Vec<(String, Vec<Figures>)> = Vec::new();
    for repetition in 0..bench.repetitions {
        let tag = format!("layers{repetition}");
        let image = bench.upstreams.put_image(&tag, 9500 + repetition as u64, &EVEN_LAYERS);
        let (manifest, blobs) = image.split_first().expect("an image has a manifest");
        let mut peers = bench.caches()?;
        peers.push(Peer::direct(bench.upstreams.direct()));
        for peer in &peers {
            bench.upstreams.forget_requests();
            load::once(peer, manifest, Check::Bytes).map_err(|error| named(peer, &error))?;
            let measured = load::to_the_end(peer, blobs, 1, LAYERS_AT_A_TIME, Check::Bytes);
            let measured = measured.map_err(|error| named(peer, &error))?;
            let bytes: usize = blobs.iter().map(|request| request.content.len()).sum();
            let sent = bench.upstreams.bytes_sent(blobs) as f64 / bytes as f64;
            let figures = of_pull(&measured, sent, bench.upstreams.request_count() as f64);
            match runs.iter_mut().find(|(name, _)| *name == peer.name) {
                Some((_, known)) => known.push(figures),
                None => runs.push((peer.name.clone(), vec![figures])),
            }
        }
    }
    throttle.lift();
    for (name, runs) in &runs {
        table.push(name, 1, crate::report::medians(runs));
    }
    Ok(table)
}

pub(crate) fn herd(bench: &Bench) -> io::Result<Table> {
    let mut table = Table::new("herd", "A herd on one cold image of 23 MiB", "clients");
    pulls(bench, &mut table, "herd", &HERD_LAYERS, &[1, 16, 100, 1000], false)?;
    Ok(table)
}

/// One large blob through a throttle on each answer: the time to the first byte and to the last.
pub(crate) fn blob(bench: &Bench) -> io::Result<Table> {
    let throttle = bench.upstreams.throttle(THROTTLED);
    let title = "A cold blob of 200 MiB from an upstream of 20 MB/s for each answer";
    let mut table = Table::new("cold-blob", title, "clients");
    let direct = [Peer::direct(bench.upstreams.direct())];
    let mut runs = vec![Vec::new(); 1];
    let mut names = vec!["direct".to_owned()];
    for repetition in 0..bench.repetitions {
        let content = [bench.upstreams.put_blob(7000 + repetition as u64, 200 << 20)];
        let caches = bench.caches()?;
        for (index, peer) in direct.iter().chain(&caches).enumerate() {
            if runs.len() <= index {
                runs.push(Vec::new());
                names.push(peer.name.clone());
            }
            let (measured, sent, _) = pull(bench, peer, &content, 1, 1, Check::Bytes)?;
            runs[index].push(vec![
                ("first byte ms", percentile(&measured.first_bytes, 0.5)),
                ("seconds", measured.wall.as_secs_f64()),
                ("MB/s", measured.megabytes_per_second()),
                ("upstream bytes / blob", sent),
            ]);
        }
    }
    throttle.lift();
    for (name, runs) in names.iter().zip(&runs) {
        table.push(name, 1, crate::report::medians(runs));
    }
    Ok(table)
}

/// Pulls of a cold image by each number of clients at once. Every repetition has a new image and empty
/// stores.
fn pulls(
    bench: &Bench,
    table: &mut Table,
    tag: &str,
    layers: &[u64],
    clients: &[usize],
    with_direct: bool,
) -> io::Result<()> {
    let mut lone: Vec<(String, f64)> = Vec::new();
    for &count in clients {
        let mut runs: Vec<(String, Vec<Figures>)> = Vec::new();
        for repetition in 0..bench.repetitions {
            let seed = 9000 + repetition as u64;
            let image = bench.upstreams.put_image(&format!("{tag}{repetition}"), seed, layers);
            let mut peers = bench.caches()?;
            if with_direct {
                peers.push(Peer::direct(bench.upstreams.direct()));
            }
            if repetition % 2 == 1 {
                peers.reverse();
            }
            for peer in &peers {
                let lanes = if with_direct { LANES } else { LAYERS_AT_A_TIME };
                // Comparing the bytes of the largest herd would take the client longer than pulling them.
                let check = if count > 100 { Check::Length } else { Check::Bytes };
                let measured = lateness::during(peer, || {
                    let (measured, sent, requests) = pull(bench, peer, &image, count, lanes, check)?;
                    Ok(of_pull(&measured, sent, requests))
                })
                .and_then(|mut figures| {
                    if !with_direct {
                        // The same clients once more with the stored image: the time of sending alone.
                        let (held, ..) = pull(bench, peer, &image, count, lanes, check)?;
                        figures.insert(1, (SENDING, held.wall.as_secs_f64()));
                    }
                    Ok(figures)
                });
                let figures = match measured {
                    Ok(figures) => figures,
                    // A peer that cannot do it must not end the run.
                    Err(error) if peer.is_other() => {
                        table.failures.push(format!("{count} {}: {error}", table.variable));
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                match runs.iter_mut().find(|(name, _)| *name == peer.name) {
                    Some((_, known)) => known.push(figures),
                    None => runs.push((peer.name.clone(), vec![figures])),
                }
            }
        }
        for (name, figures) in runs {
            let mut figures = crate::report::medians(&figures);
            let seconds = figures[0].1;
            match lone.iter().find(|(known, _)| *known == name) {
                Some((_, alone)) => {
                    figures.push(("x its lone client", seconds / alone));
                    if let Some((_, sending)) = figures.iter().find(|(name, _)| *name == SENDING) {
                        figures.push(("x (1.2 lone + held)", seconds / (1.2 * alone + sending)));
                    }
                }
                None => lone.push((name.clone(), seconds)),
            }
            table.push(&name, count as u64, figures);
        }
    }
    Ok(())
}

/// `count` clients pull the image. Returns the measurement, the upstream's bytes in images, and its requests.
fn pull(
    bench: &Bench,
    peer: &Peer,
    image: &[Request],
    count: usize,
    lanes: usize,
    check: Check,
) -> io::Result<(Measured, f64, f64)> {
    bench.upstreams.forget_requests();
    let measured = load::to_the_end(peer, image, count, lanes, check).map_err(|error| named(peer, &error))?;
    let bytes: usize = image.iter().map(|request| request.content.len()).sum();
    let sent = bench.upstreams.bytes_sent(image) as f64 / bytes as f64;
    Ok((measured, sent, bench.upstreams.request_count() as f64))
}

fn of_pull(measured: &Measured, sent: f64, requests: f64) -> Figures {
    let slowest = measured.wholes.iter().max().copied().unwrap_or(Duration::ZERO);
    vec![
        ("seconds", measured.wall.as_secs_f64()),
        ("CPU s", measured.cpu.as_secs_f64()),
        ("upstream bytes / image", sent),
        ("upstream requests", requests),
        ("slowest answer s", slowest.as_secs_f64()),
        ("memory MiB", measured.resident_max as f64 / f64::from(1 << 20)),
    ]
}
