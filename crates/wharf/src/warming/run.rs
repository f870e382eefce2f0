//! One warming of a list of images: some at a time, each reported when it is done.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache::{Backend, KeptBlobs, Wanted, WarmError, WarmProgress, Warmed};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use oci::{Digest, Platform, Repository};
use parking_lot::Mutex;
use serde_json::{Value, json};
use telemetry::error_chain;
use tokio::time::{MissedTickBehavior, interval};

use super::{Asked, Choice, Lines, Target, Warmer};

/// Images that are worked on at a time. Each registry bounds its blobs by itself.
const IMAGE_COUNT_AT_ONCE: usize = 4;

/// The time between two reports of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// After this number of intervals, the warmed images count as used again: until the end of the run they must
/// not be the first to go.
const RENEWAL_INTERVAL_COUNT: u64 = 60;

/// The result of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) image_count: usize,
    /// Images that were here already.
    pub(super) held_count: usize,
    pub(super) fetched_count: usize,
    pub(super) failed_count: usize,
    pub(super) fetched_bytes: u64,
}

/// An image that is done: its backend, its repository and its manifests.
type Done = (Arc<Backend>, Repository, Vec<Digest>);

struct Run<'a> {
    choice: &'a Choice,
    /// What must stay in the stores, by registry.
    kept: Mutex<HashMap<String, Arc<KeptBlobs>>>,
    done: Mutex<Vec<Done>>,
    /// The images in progress, by their place in the list.
    active: Mutex<BTreeMap<usize, (String, Arc<WarmProgress>)>>,
}

/// Brings the images into their stores. Returns `None` if the client left or wharf stops first.
pub(super) async fn run(
    warmer: &Warmer,
    images: Vec<String>,
    choice: &Choice,
    lines: &Lines,
) -> Option<Report> {
    let run = Run { choice, kept: Mutex::default(), done: Mutex::default(), active: Mutex::default() };
    let asked = warmer.find(images);
    let mut report = Report { image_count: asked.len(), ..Report::default() };
    let mut queue = asked.into_iter().enumerate();
    let mut under_way = FuturesUnordered::new();
    let mut ticks = interval(PROGRESS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut tick_count = 0_u64;
    loop {
        while under_way.len() < IMAGE_COUNT_AT_ONCE
            && let Some((index, asked)) = queue.next()
        {
            under_way.push(run.warm(index, asked));
        }
        tokio::select! {
            biased;
            () = lines.gone() => return None,
            () = warmer.shutdown.cancelled() => return None,
            ended = under_way.next() => match ended {
                Some((text, result)) => {
                    report.count(&result);
                    lines.send(&line(&text, &result)).await;
                }
                None => break,
            },
            _ = ticks.tick() => {
                tick_count += 1;
                run.tell_progress(lines);
                if tick_count.is_multiple_of(RENEWAL_INTERVAL_COUNT) {
                    run.renew();
                }
            }
        }
    }
    lines.send(&report.document()).await;
    Some(report)
}

impl Run<'_> {
    /// Warms one image. Returns it as it was written, and the result.
    async fn warm(&self, index: usize, asked: Asked) -> (String, Result<Warmed, String>) {
        let Asked { text, target } = asked;
        let result = match target {
            Ok(target) => {
                let progress = Arc::new(WarmProgress::default());
                self.active.lock().insert(index, (text.clone(), Arc::clone(&progress)));
                let result = self.warm_target(&target, &progress).await;
                self.active.lock().remove(&index);
                result.map_err(|error| error_chain(&error).to_string())
            }
            Err(why) => Err(why),
        };
        (text, result)
    }

    async fn warm_target(&self, target: &Target, progress: &WarmProgress) -> Result<Warmed, WarmError> {
        let Target { backend, repository, reference } = target;
        let kept = Arc::clone(self.kept.lock().entry(target.registry().to_owned()).or_default());
        let Choice { platforms, with_referrers } = self.choice;
        let wanted = Wanted { repository, reference, platforms, with_referrers: *with_referrers };
        let warmed = backend.warm(wanted, &kept, progress).await?;
        self.done.lock().push((Arc::clone(backend), repository.clone(), warmed.manifests.clone()));
        Ok(warmed)
    }

    fn tell_progress(&self, lines: &Lines) {
        for (text, progress) in self.active.lock().values() {
            lines.try_send(&json!({
                "event": "progress",
                "image": text,
                "done_bytes": progress.done.load(Ordering::Relaxed),
                "total_bytes": progress.total.load(Ordering::Relaxed),
            }));
        }
    }

    /// Notes another use of the images that are done.
    fn renew(&self) {
        for (backend, repository, manifests) in self.done.lock().iter() {
            backend.note_use(repository, manifests);
        }
    }
}

/// The line of an image that is done.
fn line(text: &str, result: &Result<Warmed, String>) -> Value {
    match result {
        Ok(warmed) => json!({
            "event": "image",
            "image": text,
            "state": if warmed.was_held { "held" } else { "fetched" },
            "digest": warmed.digest.to_string(),
            "total_bytes": warmed.total_bytes,
            "fetched_bytes": warmed.fetched_bytes,
            "platforms": texts(&warmed.platforms),
            "missing_platforms": texts(&warmed.unmatched),
            "referrers": warmed.referrer_count,
            "stale": warmed.is_stale,
        }),
        Err(error) => json!({ "event": "image", "image": text, "state": "failed", "error": error }),
    }
}

/// Platforms as texts.
pub(super) fn texts(platforms: &[Platform]) -> Vec<String> {
    platforms.iter().map(ToString::to_string).collect()
}

impl Report {
    fn count(&mut self, result: &Result<Warmed, String>) {
        match result {
            Ok(warmed) => {
                if warmed.was_held {
                    self.held_count += 1;
                } else {
                    self.fetched_count += 1;
                }
                self.fetched_bytes += warmed.fetched_bytes;
            }
            Err(_) => self.failed_count += 1,
        }
    }

    fn document(&self) -> Value {
        json!({
            "event": "report",
            "images": self.image_count,
            "held": self.held_count,
            "fetched": self.fetched_count,
            "failed": self.failed_count,
            "fetched_bytes": self.fetched_bytes,
        })
    }
}
