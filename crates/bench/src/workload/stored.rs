//! The growth of figures with what is stored: the first answer, the time until everything is known, memory,
//! the cost of a hit, and the cost of an eviction.

mod images;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Bench, named, warm};
use crate::admin;
use crate::client::{Check, Request};
use crate::load;
use crate::peer::{Peer, Setup};
use crate::processor;
use crate::report::{Figures, Table};
use crate::workload::warm::of_answers;
use images::{BLOBS_PER_IMAGE, Images};

/// Images that are too old for the rule and go after each start, at most.
const EVICTED_MAX: u64 = 1000;

/// The longest time until a start has walked the store, or all old images have gone.
const WAIT_MAX: Duration = Duration::from_secs(900);

/// wharf is asked this often at the most, and an answer may take a tenth of the time.
const ASK_EVERY: Duration = Duration::from_millis(20);
const ANSWER_SHARE: u32 = 10;

const NAME: &str = "wharf stored";
const REGISTRY: &str = "registry0.example";
const DEFAULTS: &str = "unused_for = \"365d\"";

/// A store that outlives its servers, and an image in it that clients pull.
struct Stored {
    data: PathBuf,
    pulled: Vec<Request>,
    /// The memory of a server that has nothing else.
    base: u64,
}

/// Figures with more and more images of eight blobs.
pub(crate) fn run(bench: &Bench) -> io::Result<Table> {
    let mut table = Table::new("grow-stored", "Growth with what is stored", "blobs");
    let stored = first_image(bench)?;
    let mut images = Images::new(&stored.data.join(REGISTRY));
    for wanted in [1000, 10_000, 100_000, 1_000_000] {
        if wanted > bench.stored_max {
            break;
        }
        images.grow_to(wanted / BLOBS_PER_IMAGE)?;
        let mut runs = Vec::new();
        for _ in 0..bench.repetitions {
            images.put_old((wanted / BLOBS_PER_IMAGE / 5).min(EVICTED_MAX))?;
            runs.push(measure(bench, &stored, wanted)?);
        }
        table.push("wharf", wanted, crate::report::medians(&runs));
    }
    Ok(table)
}

fn first_image(bench: &Bench) -> io::Result<Stored> {
    let pulled = bench.upstreams.put_image("stored", 21, &[50_000]);
    let first = {
        let peer = bench.wharf(&Setup { name: NAME, ..Setup::default() })?;
        warm(&peer, &pulled)?;
        peer.data.clone()
    };
    let data = bench.workspace.directory.join("stored");
    fs::rename(&first, &data)?;
    let peer = start(bench, &data)?;
    wait_until_counted(&peer)?;
    let base = processor::usage(peer.id()).resident;
    Ok(Stored { data, pulled, base })
}

fn start(bench: &Bench, data: &Path) -> io::Result<Peer> {
    let data = Some(data.to_owned());
    bench.wharf(&Setup { name: NAME, defaults: DEFAULTS, data, ..Setup::default() })
}

fn measure(bench: &Bench, stored: &Stored, blob_count: u64) -> io::Result<Figures> {
    let failed = |error: io::Error| io::Error::other(format!("{NAME} with {blob_count} blobs: {error}"));
    let started = Instant::now();
    let peer = start(bench, &stored.data)?;
    load::once(&peer, &stored.pulled[1], Check::Bytes).map_err(|error| named(&peer, &error))?;
    let first = started.elapsed();
    wait_until_measured(&peer).map_err(failed)?;
    let measured = started.elapsed();
    wait_until_counted(&peer).map_err(failed)?;
    let counted = started.elapsed();
    let idle = processor::usage(peer.id()).resident;
    let evictions = watch_evictions(&peer).map_err(failed)?;
    let hits = load::for_a_time(&peer, &stored.pulled[1..], 16, bench.duration)?;
    let mut figures = vec![
        ("first answer ms", first.as_secs_f64() * 1e3),
        ("usage exact after s", measured.as_secs_f64()),
        ("all known after s", counted.as_secs_f64()),
        ("idle MiB", idle as f64 / f64::from(1 << 20)),
        ("bytes of memory/blob", idle.saturating_sub(stored.base) as f64 / blob_count as f64),
    ];
    figures.extend(evictions);
    figures.extend(of_answers(&hits).into_iter().take(4));
    Ok(figures)
}

/// Waits until wharf knows the usage of its store to the byte. Until then the series has no sample.
fn wait_until_measured(peer: &Peer) -> io::Result<()> {
    let series = format!("wharf_stored_bytes{{registry=\"{REGISTRY}\",kind=\"blob\"}} ");
    wait("the usage is exact", || Ok(value(&admin::get(peer, "/metrics")?, &series).is_some()))
}

/// Waits until wharf knows the usage of its store to the byte, and every image in it.
fn wait_until_counted(peer: &Peer) -> io::Result<()> {
    wait("everything is known", || Ok(admin::get(peer, "/api/stats")?.contains(r#""counting":false"#)))
}

/// The time of an eviction, and the processor time. The first batch after a start is not counted: before it,
/// wharf makes durable what an earlier process may have removed.
fn watch_evictions(peer: &Peer) -> io::Result<Figures> {
    let labels = format!("{{registry=\"{REGISTRY}\",kind=\"blob\"}} ");
    let series = format!("wharf_stored_objects{labels}");
    let evicted = format!("wharf_evicted_images_total{{registry=\"{REGISTRY}\",reason=\"unused\"}} ");
    let mut looks: Vec<(Instant, Duration, f64)> = Vec::new();
    wait("the old images have gone", || {
        let text = admin::get(peer, "/metrics")?;
        let held = value(&text, &series).ok_or_else(|| io::Error::other(format!("no {series}")))?;
        if looks.last().is_none_or(|(.., before)| held < *before) {
            looks.push((Instant::now(), processor::usage(peer.id()).cpu, held));
        }
        Ok(value(&text, &evicted).is_some_and(|count| count > 0.0))
    })?;
    let (Some(first), Some(last)) = (looks.get(1), looks.last()) else { return Ok(unknown()) };
    let image_count = (first.2 - last.2) / BLOBS_PER_IMAGE as f64;
    let (wall, cpu) = ((last.0 - first.0).as_secs_f64(), (last.1 - first.1).as_secs_f64());
    if image_count == 0.0 {
        return Ok(unknown());
    }
    Ok(vec![("eviction ms", wall * 1e3 / image_count), ("eviction CPU µs", cpu * 1e6 / image_count)])
}

/// The store was so small that all went between two looks.
fn unknown() -> Figures {
    vec![("eviction ms", f64::NAN), ("eviction CPU µs", f64::NAN)]
}

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.parse().ok())
}

fn wait(what: &str, mut is_so: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let started = Instant::now();
    loop {
        let asked = Instant::now();
        if is_so()? {
            return Ok(());
        }
        if started.elapsed() > WAIT_MAX {
            return Err(io::Error::other(format!("waited {WAIT_MAX:?} in vain until {what}")));
        }
        std::thread::sleep(ASK_EVERY.max(asked.elapsed() * ANSWER_SHARE));
    }
}
