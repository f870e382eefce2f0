//! Load: many connections that send requests for a time, or until all are answered.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use crate::client::{Check, Client, Request, Target, Timing};
use crate::peer::Peer;
use crate::processor;

/// The measurement of a server under load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) wall: Duration,
    /// Processor time of the server.
    pub(crate) cpu: Duration,
    /// Body bytes received.
    pub(crate) bytes: u64,
    /// Answers received whole.
    pub(crate) answers: u64,
    /// The highest memory usage of the server, in bytes.
    pub(crate) resident_max: u64,
    pub(crate) first_bytes: Vec<Duration>,
    pub(crate) wholes: Vec<Duration>,
    /// The average number of processors busy with neither the server nor this process.
    pub(crate) foreign: f64,
}

impl Measured {
    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.wall.as_secs_f64()
    }

    pub(crate) fn cpu_seconds_per_gib(&self) -> f64 {
        self.cpu.as_secs_f64() / (self.bytes as f64 / f64::from(1 << 30))
    }

    pub(crate) fn answers_per_second(&self) -> f64 {
        self.answers as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn cpu_microseconds_per_answer(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.answers as f64
    }
}

/// The value below which `share` of `times` lie, in milliseconds.
pub(crate) fn percentile(times: &[Duration], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// The state that the connections of one load share.
struct Shared {
    measured: RefCell<Measured>,
    /// Whether answers count now.
    counts: Cell<bool>,
    stops: Cell<bool>,
    next: Cell<usize>,
}

impl Shared {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            measured: RefCell::default(),
            counts: Cell::new(true),
            stops: Cell::new(false),
            next: Cell::new(0),
        })
    }

    fn progress(&self, bytes: usize) {
        if self.counts.get() {
            self.measured.borrow_mut().bytes += bytes as u64;
        }
    }

    fn answered(&self, timing: Timing) {
        if self.counts.get() {
            let mut measured = self.measured.borrow_mut();
            measured.answers += 1;
            measured.first_bytes.push(timing.first_byte);
            measured.wholes.push(timing.whole);
        }
    }

    fn next<'a>(&self, requests: &'a [Request]) -> &'a Request {
        let next = self.next.get();
        self.next.set(next + 1);
        &requests[next % requests.len()]
    }
}

/// Loads `peer` for `duration` with `connections` that send `requests` in turn. Answers that are unfinished
/// then are read to their end and checked, but not counted.
pub(crate) fn for_a_time(
    peer: &Peer,
    requests: &[Request],
    connections: usize,
    duration: Duration,
) -> io::Result<Measured> {
    run(async {
        let shared = Shared::new();
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(Client::open(&peer.target).await?);
        }
        let meter = Meter::start(peer);
        let tasks: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                let (shared, requests) = (Rc::clone(&shared), requests.to_vec());
                tokio::task::spawn_local(async move {
                    while !shared.stops.get() {
                        let request = shared.next(&requests);
                        let timing =
                            client.fetch(request, Check::Length, |bytes| shared.progress(bytes)).await?;
                        shared.answered(timing);
                    }
                    Ok::<_, io::Error>(())
                })
            })
            .collect();
        let resident_max = meter.watch(duration).await;
        meter.stop(&mut shared.measured.borrow_mut());
        shared.measured.borrow_mut().resident_max = resident_max;
        shared.counts.set(false);
        shared.stops.set(true);
        for task in tasks {
            task.await.map_err(io::Error::other)??;
        }
        Ok(shared.measured.take())
    })
}

/// `connections` at once send all of `requests`, each in order, `lanes` at a time.
pub(crate) fn to_the_end(
    peer: &Peer,
    requests: &[Request],
    connections: usize,
    lanes: usize,
    check: Check,
) -> io::Result<Measured> {
    run(async {
        let shared = Shared::new();
        let meter = Meter::start(peer);
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let next = Rc::new(Cell::new(0));
            for _ in 0..lanes.min(requests.len()) {
                let (shared, next) = (Rc::clone(&shared), Rc::clone(&next));
                let (requests, target) = (requests.to_vec(), peer.target.clone());
                tasks.push(tokio::task::spawn_local(async move {
                    fetch_all(&target, &requests, &next, &shared, check).await
                }));
            }
        }
        for task in tasks {
            task.await.map_err(io::Error::other)??;
        }
        meter.stop(&mut shared.measured.borrow_mut());
        shared.measured.borrow_mut().resident_max = processor::usage(peer.id()).resident;
        Ok(shared.measured.take())
    })
}

async fn fetch_all(
    target: &Target,
    requests: &[Request],
    next: &Cell<usize>,
    shared: &Shared,
    check: Check,
) -> io::Result<()> {
    let mut client = Client::open(target).await?;
    loop {
        let index = next.get();
        next.set(index + 1);
        let Some(request) = requests.get(index) else { return Ok(()) };
        let timing = client.fetch(request, check, |bytes| shared.progress(bytes)).await?;
        shared.answered(timing);
    }
}

/// One request on a new connection.
pub(crate) fn once(peer: &Peer, request: &Request, check: Check) -> io::Result<Timing> {
    run(async { Client::open(&peer.target).await?.fetch(request, check, |_| {}).await })
}

/// Runs on one thread, as the client has one processor.
pub(crate) fn run<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, future)
}

/// The clocks at the start of a measurement.
struct Meter {
    id: u32,
    started: Instant,
    server: Duration,
    ours: Duration,
    busy: u64,
}

impl Meter {
    fn start(peer: &Peer) -> Self {
        let id = peer.id();
        Self {
            id,
            started: Instant::now(),
            server: processor::usage(id).cpu,
            ours: processor::usage(std::process::id()).cpu,
            busy: processor::busy_ticks(),
        }
    }

    /// Waits for `duration`, and returns the highest memory usage of the server.
    async fn watch(&self, duration: Duration) -> u64 {
        let mut resident_max = 0;
        while self.started.elapsed() < duration {
            let left = duration.saturating_sub(self.started.elapsed());
            tokio::time::sleep(left.min(Duration::from_millis(500))).await;
            resident_max = resident_max.max(processor::usage(self.id).resident);
        }
        resident_max
    }

    fn stop(&self, measured: &mut Measured) {
        measured.wall = self.started.elapsed();
        measured.cpu = processor::usage(self.id).cpu.saturating_sub(self.server);
        // The peer is a child of this process, and so is every other peer, all idle.
        let ours = processor::usage(std::process::id()).cpu.saturating_sub(self.ours);
        let busy = processor::busy_ticks().saturating_sub(self.busy) as f64 / processor::ticks_per_second();
        measured.foreign = (busy - ours.as_secs_f64()).max(0.0) / measured.wall.as_secs_f64();
    }
}
