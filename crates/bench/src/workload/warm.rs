//! Stored content: large blobs, ranges, manifests, small blobs; without and with TLS.

use std::fs;
use std::io;

use super::{Bench, Kind, named, warm};
use crate::certificate::Certificate;
use crate::client::{Check, Request};
use crate::load::{self, Measured, percentile};
use crate::peer::{NginxStatic, Peer, Setup};
use crate::report::{Figures, Table};

/// Connections of the large transfers.
const CONNECTIONS: [usize; 3] = [1, 8, 64];

/// Connections for small answers.
const SMALL_CONNECTIONS: usize = 16;

const SMALL_BLOB_COUNT: u64 = 2000;

const RANGE_BYTES: u64 = 1 << 20;

pub(crate) fn blob(bench: &Bench) -> io::Result<Table> {
    let content = [bench.upstreams.put_blob(1, bench.blob_bytes)];
    let peers = peers_for(bench, &content, Kind::Large)?;
    let title = format!("A warm blob of {} MiB", bench.blob_bytes >> 20);
    transfers(bench, Table::new("warm-blob", title, "connections"), &peers, &content, &CONNECTIONS)
}

pub(crate) fn range(bench: &Bench) -> io::Result<Table> {
    let whole = bench.upstreams.put_blob(1, bench.blob_bytes);
    let peers = peers_for(bench, std::slice::from_ref(&whole), Kind::Large)?;
    let mut random = fastrand::Rng::with_seed(7);
    let ranges: Vec<Request> = (0..256)
        .map(|_| {
            let first = random.u64(0..=bench.blob_bytes - RANGE_BYTES);
            Request { range: Some((first, first + RANGE_BYTES - 1)), ..whole.clone() }
        })
        .collect();
    let table = Table::new("warm-range", "Ranges of 1 MiB of that blob", "connections");
    // Caches that do not serve ranges of stored content are left out.
    let peers: Vec<Peer> =
        peers.into_iter().filter(|peer| load::once(peer, &ranges[0], Check::Bytes).is_ok()).collect();
    transfers(bench, table, &peers, &ranges, &[1, 8])
}

pub(crate) fn blob_over_tls(bench: &Bench) -> io::Result<Table> {
    let content = [bench.upstreams.put_blob(1, bench.blob_bytes)];
    let certificate = Certificate::make(&bench.workspace.clear("certificate")?)?;
    let tls = Some((certificate.chain.as_path(), certificate.key.as_path()));
    let mut peers = vec![bench.wharf(&Setup { name: "wharf TLS", tls, ..Setup::default() })?];
    if let Some(program) = &bench.programs.nginx {
        let nginx = NginxStatic { program, sendfile: true, nopush: true, tls };
        peers.push(nginx.start(&bench.workspace, "nginx TLS", &content)?);
    }
    for peer in &mut peers {
        peer.target.tls = Some(certificate.trusted());
        peer.target.host = format!("localhost:{}", peer.target.address.port());
        warm(peer, &content)?;
    }
    let table = Table::new("warm-blob-tls", "The warm blob over TLS 1.3", "connections");
    transfers(bench, table, &peers, &content, &[1, 8])
}

pub(crate) fn manifest_by_digest(bench: &Bench) -> io::Result<Table> {
    let manifest = bench.upstreams.put_image("warm", 11, &[20_000, 30_000, 40_000]).swap_remove(0);
    let digest = testkit::digest_of(&manifest.content);
    let path = manifest.path.replace("warm", &digest);
    let by_digest = [Request::whole(path, manifest.content)];
    let peers = peers_for(bench, &by_digest, Kind::Small)?;
    small(
        bench,
        Table::new("manifest-by-digest", "A warm manifest by digest", "connections"),
        &peers,
        &by_digest,
    )
}

pub(crate) fn manifest_by_tag(bench: &Bench) -> io::Result<Table> {
    let by_tag = [bench.upstreams.put_image("warm", 11, &[20_000, 30_000, 40_000]).swap_remove(0)];
    let mut peers = peers_for(bench, &by_tag, Kind::Small)?;
    let kept = Setup { name: "wharf tag_ttl=1h", defaults: "tag_ttl = \"1h\"", ..Setup::default() };
    let kept = bench.wharf(&kept)?;
    warm(&kept, &by_tag)?;
    peers.insert(1, kept);
    small(bench, Table::new("manifest-by-tag", "A warm manifest by tag", "connections"), &peers, &by_tag)
}

pub(crate) fn small_blobs(bench: &Bench) -> io::Result<Table> {
    let blobs = small_content(bench);
    let peers = peers_for(bench, &blobs, Kind::Small)?;
    let title = format!("{SMALL_BLOB_COUNT} warm blobs of 4 to 64 KiB");
    small(bench, Table::new("small-blobs", title, "connections"), &peers, &blobs)
}

/// Blobs of 4 to 64 KiB, in an order that has nothing to do with their sizes.
pub(crate) fn small_content(bench: &Bench) -> Vec<Request> {
    let mut random = fastrand::Rng::with_seed(3);
    (0..SMALL_BLOB_COUNT)
        .map(|number| bench.upstreams.put_blob(1000 + number, random.u64(4096..=65_536)))
        .collect()
}

/// The servers, all of them warm.
fn peers_for(bench: &Bench, content: &[Request], kind: Kind) -> io::Result<Vec<Peer>> {
    let mut peers = Vec::new();
    peers.extend(bench.nginx_static("nginx sendfile", content, kind)?);
    peers.push(bench.wharf(&Setup::default())?);
    peers.extend(bench.wharf_before()?);
    if kind == Kind::Large {
        peers.push(bench.wharf(&Setup {
            name: "wharf copying",
            server: "sendfile = false",
            ..Setup::default()
        })?);
        peers.extend(bench.nginx_static("nginx copying", content, Kind::Copying)?);
    }
    peers.extend(bench.nginx_cache()?);
    peers.extend(bench.registries()?);
    for peer in &peers {
        warm(peer, content)?;
    }
    Ok(peers)
}

/// Rates and costs of large answers.
fn transfers(
    bench: &Bench,
    mut table: Table,
    peers: &[Peer],
    requests: &[Request],
    connections: &[usize],
) -> io::Result<Table> {
    for &count in connections {
        for peer in peers {
            // Untimed: at this many connections at once, every byte of every body is right.
            let some = &requests[..requests.len().min(4)];
            load::to_the_end(peer, some, count.min(8), 1, Check::Bytes)
                .map_err(|error| named(peer, &error))?;
        }
        let medians = bench.interleave(peers, |peer| {
            let measured = load::for_a_time(peer, requests, count, bench.duration)
                .map_err(|error| named(peer, &error))?;
            Ok(of_transfers(&measured))
        })?;
        push_all(&mut table, peers, count, medians, "CPU-s/GiB");
    }
    Ok(table)
}

pub(crate) fn of_transfers(measured: &Measured) -> Figures {
    vec![
        ("MB/s", measured.megabytes_per_second()),
        ("CPU-s/GiB", measured.cpu_seconds_per_gib()),
        ("first byte p50 ms", percentile(&measured.first_bytes, 0.5)),
        ("first byte p99 ms", percentile(&measured.first_bytes, 0.99)),
        ("memory MiB", measured.resident_max as f64 / f64::from(1 << 20)),
        ("foreign CPU", measured.foreign),
    ]
}

/// Rates and costs of small answers.
pub(crate) fn small(
    bench: &Bench,
    mut table: Table,
    peers: &[Peer],
    requests: &[Request],
) -> io::Result<Table> {
    let medians = bench.interleave(peers, |peer| {
        bench.upstreams.forget_requests();
        let measured = load::for_a_time(peer, requests, SMALL_CONNECTIONS, bench.duration)
            .map_err(|error| named(peer, &error))?;
        let mut figures = of_answers(&measured);
        let asked = bench.upstreams.request_count() as f64 / measured.answers as f64;
        figures.insert(4, ("upstream requests each", asked));
        Ok(figures)
    })?;
    push_all(&mut table, peers, SMALL_CONNECTIONS, medians, "CPU us");
    Ok(table)
}

pub(crate) fn of_answers(measured: &Measured) -> Figures {
    vec![
        ("requests/s", measured.answers_per_second()),
        ("CPU us", measured.cpu_microseconds_per_answer()),
        ("p50 ms", percentile(&measured.wholes, 0.5)),
        ("p99 ms", percentile(&measured.wholes, 0.99)),
        ("memory MiB", measured.resident_max as f64 / f64::from(1 << 20)),
        ("foreign CPU", measured.foreign),
    ]
}

/// Adds the rows, each with the ratio of `cost` to that of the first server.
fn push_all(table: &mut Table, peers: &[Peer], at: usize, medians: Vec<Figures>, cost: &str) {
    let cost_of =
        |figures: &Figures| figures.iter().find(|(name, _)| *name == cost).map_or(f64::NAN, |it| it.1);
    let first = medians.first().map_or(f64::NAN, cost_of);
    for (peer, mut figures) in peers.iter().zip(medians) {
        let ratio = cost_of(&figures) / first;
        figures.insert(2, ("x the first", ratio));
        table.push(&peer.name, at as u64, figures);
    }
}

/// Files of the content below `directory`, so that they can be dropped from the page cache.
pub(crate) fn forget_cached(directory: &std::path::Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget_cached(&entry.path())?;
        } else if entry.file_type()?.is_file() {
            let file = fs::File::open(entry.path())?;
            // Pages that were never written cannot be dropped.
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}
