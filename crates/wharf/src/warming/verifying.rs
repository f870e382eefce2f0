//! Verifies a list of images: whether each can be pulled while its upstream is gone.

use futures_util::{StreamExt, stream};
use inventory::{Missing, Verification};
use oci::Platforms;
use serde_json::{Value, json};
use telemetry::error_chain;

use super::run::texts;
use super::{Asked, Lines, Warmer};

/// Images that are looked at at a time.
const IMAGE_COUNT_AT_ONCE: usize = 8;

/// The most missing parts that are named for one image; further ones are counted.
const NAMED_COUNT_MAX: usize = 100;

/// Verifies the images. Ends early if the client leaves or wharf stops.
pub(super) async fn run(warmer: &Warmer, images: Vec<String>, platforms: &Platforms, lines: &Lines) {
    let asked = warmer.find(images);
    let (image_count, mut whole_count) = (asked.len(), 0);
    let mut verified =
        stream::iter(asked).map(|asked| verify(asked, platforms)).buffered(IMAGE_COUNT_AT_ONCE);
    loop {
        tokio::select! {
            biased;
            () = lines.gone() => return,
            () = warmer.shutdown.cancelled() => return,
            next = verified.next() => match next {
                Some(line) => {
                    whole_count += usize::from(line["state"] == "whole");
                    lines.send(&line).await;
                }
                None => break,
            },
        }
    }
    let report = json!({
        "event": "report",
        "images": image_count,
        "whole": whole_count,
        "incomplete": image_count - whole_count,
    });
    lines.send(&report).await;
}

async fn verify(asked: Asked, platforms: &Platforms) -> Value {
    let text = asked.text;
    let result = match asked.target {
        Ok(target) => {
            let verified = target.backend.verify(&target.repository, &target.reference, platforms).await;
            verified.map_err(|error| error_chain(&error).to_string())
        }
        Err(why) => Err(why),
    };
    match result {
        Ok(verification) => line(&text, &verification),
        Err(error) => json!({ "event": "image", "image": text, "state": "failed", "error": error }),
    }
}

fn line(text: &str, verification: &Verification) -> Value {
    let Verification { digest, survey, missing } = verification;
    let named: Vec<Value> = missing.iter().take(NAMED_COUNT_MAX).map(part).collect();
    json!({
        "event": "image",
        "image": text,
        "state": if missing.is_empty() { "whole" } else { "incomplete" },
        "digest": digest.as_ref().map(ToString::to_string),
        "total_bytes": survey.bytes(),
        "missing_bytes": survey.missing_bytes(),
        "platforms": texts(&survey.platforms),
        "missing_platforms": texts(&survey.unmatched),
        "missing": named,
        "missing_count": missing.len(),
    })
}

fn part(missing: &Missing) -> Value {
    json!({ "kind": missing.kind(), "text": missing.to_string() })
}
