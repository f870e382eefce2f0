//! `GET /api/stats`: what each registry's store holds, what was evicted, and where pulls were served from.

use std::sync::Arc;

use axum::extract::State;
use http::{Response, Uri};
use inventory::Keeper;
use serde_json::{Map, Value, json};
use storage::{Held, Space, Usage};
use telemetry::{Evicted, Pulls};

use super::failure::answer;
use super::images::rfc_3339;
use super::openapi::{list, object};
use super::selection::keepers;
use crate::parts::Parts;

pub(super) async fn stats(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    let chosen = match keepers(&parts.keepers, &uri) {
        Ok(chosen) => chosen,
        Err(failure) => return answer(Err(failure)),
    };
    let snapshot = parts.control.snapshot();
    let mut total = Total::default();
    let mut stores = Vec::new();
    for keeper in &chosen {
        let space = keeper.space().await;
        let served = snapshot.routes.registries();
        let backend = served.iter().find(|backend| backend.name() == keeper.inventory().name());
        let mut document = stats_of(keeper, space, &mut total);
        let trouble = backend.and_then(|backend| backend.store_health().trouble());
        document.insert("write_trouble".to_owned(), json!(trouble.map(|trouble| trouble.as_str())));
        let scrub = backend.map(|backend| backend.scrub_report()).unwrap_or_default();
        let scrub = json!({
            "round_begin": scrub.began_at.and_then(rfc_3339),
            "last_round_end": scrub.ended_at.and_then(rfc_3339),
            "bytes": scrub.bytes,
            "damaged": scrub.damaged,
            "healed": scrub.healed,
        });
        document.insert("scrub".to_owned(), scrub);
        stores.push(Value::Object(document));
    }
    answer(Ok(json!({ "registries": stores, "total": total.document(parts.keepers.cap()) })))
}

/// The sums over all registries of an answer.
#[derive(Debug, Default)]
struct Total {
    images: usize,
    usage: Usage,
    lists: Held,
    pulls: Pulls,
    evicted: [(u64, u64); Evicted::ALL.len()],
    /// The least free space of a store's file system.
    free: Option<u64>,
}

fn stats_of(keeper: &Keeper, space: Option<Space>, total: &mut Total) -> Map<String, Value> {
    let inventory = keeper.inventory();
    let (usage, figures) = (inventory.usage(), inventory.image_figures());
    let pulls = inventory.metrics().pulls();
    let mut evicted = total.evicted;
    for (at, reason) in Evicted::ALL.iter().enumerate() {
        evicted[at] = inventory.metrics().evictions(*reason);
    }
    let lists = inventory.lists();
    total.add((figures.count, &usage, lists), pulls, &evicted, space);
    let mut document = held_document(figures.count, &usage, lists);
    document.insert("registry".to_owned(), json!(inventory.name()));
    document.insert("counting".to_owned(), json!(usage.is_counting || !inventory.is_complete()));
    document.insert("cap_bytes".to_owned(), json!(inventory.cap()));
    document.insert("free_bytes".to_owned(), json!(space.map(|space| space.free)));
    document.insert("oldest_use".to_owned(), json!(figures.oldest_use.and_then(rfc_3339)));
    document.insert("evicted".to_owned(), evicted_document(&evicted));
    document.insert("pulls".to_owned(), pulls_document(pulls));
    document
}

impl Total {
    fn add(
        &mut self,
        (images, usage, lists): (usize, &Usage, Held),
        pulls: Pulls,
        evicted: &[(u64, u64)],
        space: Option<Space>,
    ) {
        let add = |sum: &mut Held, held: Held| {
            sum.bytes = sum.bytes.saturating_add(held.bytes);
            sum.count += held.count;
        };
        self.images += images;
        add(&mut self.usage.manifests, usage.manifests);
        add(&mut self.usage.blobs, usage.blobs);
        add(&mut self.usage.partial, usage.partial);
        add(&mut self.usage.quarantine, usage.quarantine);
        add(&mut self.lists, lists);
        self.pulls.store_requests += pulls.store_requests;
        self.pulls.upstream_requests += pulls.upstream_requests;
        self.pulls.store_bytes += pulls.store_bytes;
        self.pulls.upstream_bytes += pulls.upstream_bytes;
        for (sum, (images, bytes)) in self.evicted.iter_mut().zip(evicted) {
            sum.0 += images;
            sum.1 += bytes;
        }
        let free = space.map(|space| space.free);
        self.free = self.free.into_iter().chain(free).min();
    }

    fn document(&self, cap: Option<u64>) -> Value {
        let mut document = held_document(self.images, &self.usage, self.lists);
        document.insert("cap_bytes".to_owned(), json!(cap));
        document.insert("free_bytes".to_owned(), json!(self.free));
        document.insert("evicted".to_owned(), evicted_document(&self.evicted));
        document.insert("pulls".to_owned(), pulls_document(self.pulls));
        Value::Object(document)
    }
}

fn held_document(images: usize, usage: &Usage, lists: Held) -> Map<String, Value> {
    let held = |held: Held| json!({ "bytes": held.bytes, "objects": held.count });
    let parts = [
        ("images", json!(images)),
        ("manifests", held(usage.manifests)),
        ("blobs", held(usage.blobs)),
        ("partial", held(usage.partial)),
        ("quarantine", held(usage.quarantine)),
        ("lists", held(lists)),
    ];
    parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn evicted_document(evicted: &[(u64, u64)]) -> Value {
    let rows = Evicted::ALL.iter().zip(evicted).map(|(reason, (images, bytes))| {
        (reason.as_str().to_owned(), json!({ "images": images, "bytes": bytes }))
    });
    Value::Object(rows.collect())
}

fn pulls_document(pulls: Pulls) -> Value {
    json!({
        "store_requests": pulls.store_requests,
        "upstream_requests": pulls.upstream_requests,
        "store_bytes": pulls.store_bytes,
        "upstream_bytes": pulls.upstream_bytes,
        "hit_ratio_requests": ratio(pulls.store_requests, pulls.upstream_requests),
        "hit_ratio_bytes": ratio(pulls.store_bytes, pulls.upstream_bytes),
    })
}

/// The share of the first of both; `None`: there is neither.
fn ratio(store: u64, upstream: u64) -> Option<f64> {
    let all = store as f64 + upstream as f64;
    (all > 0.0).then(|| store as f64 / all)
}

/// The schema of the answer.
pub(super) fn schema() -> Value {
    let time = || json!({ "type": ["string", "null"], "format": "date-time" });
    let common = [
        ("images", number()),
        ("manifests", held_schema()),
        ("blobs", held_schema()),
        ("partial", held_schema()),
        ("quarantine", held_schema()),
        ("lists", held_schema()),
        ("cap_bytes", number_or_null()),
        ("free_bytes", number_or_null()),
        ("evicted", evicted_schema()),
        ("pulls", pulls_schema()),
    ];
    let counting = json!({ "type": "boolean", "description": "Whether the figures may still be too small." });
    let trouble = json!({
        "type": ["string", "null"],
        "description": "Why the store cannot be written; null if it can.",
    });
    let scrub = object(&[
        ("round_begin", time()),
        ("last_round_end", time()),
        ("bytes", number()),
        ("damaged", number()),
        ("healed", number()),
    ]);
    let own = [
        ("registry", json!({ "type": "string" })),
        ("counting", counting),
        ("oldest_use", time()),
        ("write_trouble", trouble),
        ("scrub", scrub),
    ];
    let store: Vec<_> = common.iter().cloned().chain(own).collect();
    object(&[("registries", list(&object(&store))), ("total", object(&common))])
}

fn number() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn number_or_null() -> Value {
    json!({ "type": ["integer", "null"], "minimum": 0 })
}

fn held_schema() -> Value {
    object(&[("bytes", number()), ("objects", number())])
}

fn evicted_schema() -> Value {
    let reason = object(&[("images", number()), ("bytes", number())]);
    let reasons: Vec<_> = Evicted::ALL.iter().map(|it| (it.as_str(), reason.clone())).collect();
    object(&reasons)
}

fn pulls_schema() -> Value {
    let ratio = || json!({ "type": ["number", "null"], "minimum": 0, "maximum": 1 });
    object(&[
        ("store_requests", number()),
        ("upstream_requests", number()),
        ("store_bytes", number()),
        ("upstream_bytes", number()),
        ("hit_ratio_requests", ratio()),
        ("hit_ratio_bytes", ratio()),
    ])
}
