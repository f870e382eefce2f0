//! `POST /api/refresh`: asks the upstream now which manifest a tag names, and fetches the image of a tag that
//! has moved.
//!
//! That may take long. After a while the answer begins, with blank lines until the document comes: so neither
//! side takes the other for dead.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use bytes::Bytes;
use cache::{Backend, Refreshed};
use http::{Response, Uri};
use oci::Digest;
use serde_json::{Value, json};
use server::SideContent;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::failure::{Failure, answer};
use super::openapi::object;
use super::selection::Selection;
use crate::parts::Parts;
use crate::streamed::Streamed;

/// A refresh that takes longer is answered before its result is known.
const STATUS_WAIT_MAX: Duration = Duration::from_secs(20);

/// The time between two blank lines.
const BLANK_LINE_INTERVAL: Duration = Duration::from_secs(10);

type Work = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>;

pub(super) async fn refresh(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    let mut work: Work = Box::pin(async move { refresh_tag(&parts, &uri).await });
    match timeout(STATUS_WAIT_MAX, &mut work).await {
        Ok(result) => answer(result),
        Err(_) => {
            let (sender, receiver) = mpsc::channel(1);
            tokio::spawn(go_on(work, sender));
            Streamed::answer("application/json", SideContent::Streamed(receiver))
        }
    }
}

/// Sends blank lines until the work has ended, and its document then. A client that leaves ends the work.
async fn go_on(mut work: Work, sender: mpsc::Sender<Bytes>) {
    loop {
        tokio::select! {
            biased;
            () = sender.closed() => return,
            result = &mut work => {
                let document = result.unwrap_or_else(|failure| failure.document());
                let _ = sender.send(Bytes::from(format!("{document}\n"))).await;
                return;
            }
            () = sleep(BLANK_LINE_INTERVAL) => {
                let _ = sender.try_send(Bytes::from_static(b"\n"));
            }
        }
    }
}

async fn refresh_tag(parts: &Parts, uri: &Uri) -> Result<Value, Failure> {
    let selection = Selection::read(&parts.keepers, uri)?;
    let shown = selection.shown();
    let tag = selection.tag().ok_or_else(|| Failure::digest_to_refresh(&shown))?;
    let (inventory, repository) = (selection.keeper.inventory(), &selection.repository);
    let unknown = || Failure::unknown_image(&shown, &format!("{}/{repository}", inventory.name()));
    let backend = backend(parts, inventory.name()).ok_or_else(unknown)?;
    let refreshed = backend.refresh(repository, tag).await;
    let failed = |error| Failure::refresh(&shown, inventory.name(), &error);
    let refreshed = refreshed.map_err(failed)?.ok_or_else(unknown)?;
    let (status, before, now) = match &refreshed {
        Refreshed::Unchanged { digest } => ("unchanged", digest, Some(digest)),
        Refreshed::Moved { from, to } => ("moved", from, Some(to)),
        Refreshed::Gone { was, is_kept: true } => ("gone_and_kept", was, None),
        Refreshed::Gone { was, is_kept: false } => ("gone", was, None),
    };
    if let Some(digest) = now.filter(|digest| !inventory.is_held(repository, digest)) {
        return Err(Failure::not_stored(&shown, digest));
    }
    Ok(json!({
        "registry": inventory.name(),
        "repository": repository.as_str(),
        "tag": tag.as_str(),
        "status": status,
        "old_digest": before.to_string(),
        "digest": now.map(Digest::to_string),
    }))
}

/// The schema of the answer.
pub(super) fn schema() -> Value {
    let text = || json!({ "type": "string" });
    object(&[
        ("registry", text()),
        ("repository", text()),
        ("tag", text()),
        ("status", json!({ "enum": ["unchanged", "moved", "gone", "gone_and_kept"] })),
        ("old_digest", text()),
        ("digest", json!({ "type": ["string", "null"] })),
    ])
}

/// The backend of a registry.
pub(super) fn backend(parts: &Parts, registry: &str) -> Option<Arc<Backend>> {
    let snapshot = parts.control.snapshot();
    let backends = snapshot.routes.registries().iter();
    backends.into_iter().find(|backend| backend.name() == registry).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work_of(length: Duration, result: Result<Value, Failure>) -> Work {
        Box::pin(async move {
            sleep(length).await;
            result
        })
    }

    #[tokio::test(start_paused = true)]
    async fn long_work_gives_signs_of_life_and_its_document_or_its_failure_at_the_end() {
        for (result, expected) in [
            (Ok(json!({ "status": "moved" })), "{\"status\":\"moved\"}\n".to_owned()),
            (Err(Failure::busy()), format!("{}\n", Failure::busy().document())),
        ] {
            let (sender, mut receiver) = mpsc::channel(1);
            tokio::spawn(go_on(work_of(BLANK_LINE_INTERVAL * 5 / 2, result), sender));
            let mut text = String::new();
            while let Some(bytes) = receiver.recv().await {
                text.push_str(std::str::from_utf8(&bytes).expect("text"));
            }
            assert_eq!(text, format!("\n\n{expected}"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_ends_the_work() {
        let (sender, receiver) = mpsc::channel(1);
        let going_on = tokio::spawn(go_on(Box::pin(std::future::pending()), sender));
        drop(receiver);
        going_on.await.expect("no panic");
    }
}
