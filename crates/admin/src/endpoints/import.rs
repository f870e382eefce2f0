//! `POST /api/import` takes an archive and stores its images.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use archive::{Options, SentBytes, import_archive};
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use bytes::Bytes;
use http::Response;
use policy::freshness::Replace;
use serde_json::{Value, json};
use server::Working;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::info;

use super::failure::{Failure, answer};
use super::openapi::{list, object};
use super::selection::optional;
use crate::parts::Parts;

/// Pieces of an archive that wait.
const WAITING_COUNT_MAX: usize = 4;

/// An import that is busy with the store tells the connection so often.
const BUSY_EVERY: Duration = Duration::from_secs(5);

/// The longest time in which the rest of an unwanted archive is read.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(20);

/// An archive that brings less than this in [`PACE_WINDOW`] is ended: only one import runs at a time.
const PACE_BYTES_MIN: u64 = 1 << 20;
const PACE_WINDOW: Duration = Duration::from_secs(300);

pub(super) async fn import(State(parts): State<Arc<Parts>>, request: Request) -> Response<String> {
    answer(take(&parts, request).await)
}

async fn take(parts: &Parts, request: Request) -> Result<Value, Failure> {
    let registry = optional::<String>(request.uri(), "registry")?;
    let replaces = optional::<bool>(request.uri(), "replace_tags")?.unwrap_or(false);
    let replace = if replaces { Replace::All } else { Replace::Older };
    let takes_incomplete = optional::<bool>(request.uri(), "incomplete")?.unwrap_or(false);
    let Some(turn) = parts.archives.begin_import() else { return Err(Failure::busy()) };
    let working = request.extensions().get::<Working>().cloned();
    let (sender, receiver) = mpsc::channel(WAITING_COUNT_MAX);
    let targets = Arc::clone(&parts.archives);
    let options = Options { registry, made_at: SystemTime::now(), replace, takes_incomplete };
    // The inventory must learn of every stored image, even if the client leaves.
    let importing = tokio::spawn(async move {
        let _turn = turn;
        import_archive(SentBytes::new(receiver), &*targets, &options, |image| info!(image, "imported")).await
    });
    let busy = async {
        loop {
            tokio::time::sleep(BUSY_EVERY).await;
            working.iter().for_each(Working::goes_on);
        }
    };
    let imported = async {
        pump(request.into_body(), sender, working.as_ref()).await;
        tokio::select! {
            imported = importing => imported.expect("an import does not panic"),
            () = busy => unreachable!("it never ends"),
        }
    };
    let report = imported.await.map_err(|error| Failure::import(&error))?;
    info!(images = report.images, bytes = report.bytes, refused = report.refused, "an archive was imported");
    Ok(json!(report))
}

/// Passes the content on. The rest of an archive that the import does not want is read and dropped for a
/// while, so that the client reads the answer.
async fn pump(mut content: Body, sender: mpsc::Sender<std::io::Result<Bytes>>, working: Option<&Working>) {
    let mut is_wanted = true;
    let mut drained_until = None;
    let mut pace = Pace::new();
    loop {
        if drained_until.is_some_and(|until| Instant::now() > until) {
            return;
        }
        let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut content).poll_frame(cx)).await;
        working.into_iter().for_each(Working::goes_on);
        let piece = match frame {
            None => return,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) if pace.is_kept_with(bytes.len()) => Ok(bytes),
                Ok(_) => Err(std::io::Error::other("the archive comes too slowly")),
                // Trailers.
                Err(_) => continue,
            },
            Some(Err(error)) => Err(std::io::Error::other(error)),
        };
        let is_last = piece.is_err();
        let sent_from = Instant::now();
        let mut sending = std::pin::pin!(sender.send(piece));
        while is_wanted {
            match tokio::time::timeout(BUSY_EVERY, &mut sending).await {
                Ok(sent) => {
                    is_wanted = sent.is_ok();
                    break;
                }
                Err(_) => working.into_iter().for_each(Working::goes_on),
            }
        }
        pace.excuse(sent_from.elapsed());
        if is_last {
            return;
        }
        if !is_wanted {
            drained_until.get_or_insert_with(|| Instant::now() + DRAIN_WAIT_MAX);
        }
    }
}

/// The pace of a client that sends an archive.
struct Pace {
    since: Instant,
    bytes: u64,
}

impl Pace {
    fn new() -> Self {
        Self { since: Instant::now(), bytes: 0 }
    }

    /// Counts further bytes. Returns whether the client is fast enough.
    fn is_kept_with(&mut self, len: usize) -> bool {
        self.bytes += len as u64;
        if self.since.elapsed() < PACE_WINDOW {
            return true;
        }
        let is_kept = self.bytes >= PACE_BYTES_MIN;
        *self = Self::new();
        is_kept
    }

    /// Leaves out the time in which the store was waited for.
    fn excuse(&mut self, waited: Duration) {
        self.since += waited;
    }
}

/// The schema of the report of an import.
pub(super) fn schema() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    let text = json!({ "type": "string" });
    let refusal = object(&[("what", text.clone()), ("reason", text.clone())]);
    let stored = json!({ "type": ["string", "null"] });
    let kept = object(&[("image", text.clone()), ("stored", stored), ("archived", text)]);
    let of_blobs = ["images", "incomplete", "blobs", "bytes", "cloned_bytes", "held_blobs"];
    let counts = of_blobs.iter().chain(&["tags", "held_tags", "kept_tags", "refused"]);
    let mut properties: Vec<(&str, Value)> = counts.map(|name| (*name, count.clone())).collect();
    properties.push(("kept", list(&kept)));
    properties.push(("refusals", list(&refusal)));
    object(&properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_archive_that_drips_is_ended_and_one_that_waits_for_the_store_is_not() {
        let minute = Duration::from_secs(60);
        let after = async |pace: &mut Pace, len: usize| {
            tokio::time::advance(minute).await;
            pace.is_kept_with(len)
        };
        let (mut dripping, mut slow, mut excused) = (Pace::new(), Pace::new(), Pace::new());
        let (mut dripped, mut kept, mut waited) = (0, 0, 0);
        for _ in 0..20 {
            dripped += u32::from(!after(&mut dripping, 1).await);
            kept += u32::from(slow.is_kept_with(1 << 20));
            excused.excuse(minute);
            waited += u32::from(excused.is_kept_with(1));
        }
        assert_eq!((dripped, kept, waited), (4, 20, 20));
    }
}
