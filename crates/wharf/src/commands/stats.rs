//! `wharf stats`: what each registry's store holds, and where pulls were served from.

use std::fmt::Write as _;

use serde_json::Value;
use url::Url;

use super::table::{amount, columns, text_of};
use crate::admin_listener::AdminListener;
use crate::config::Config;

const HEADS: [&str; 11] = [
    "REGISTRY",
    "IMAGES",
    "MANIFESTS",
    "BLOBS",
    "BYTES",
    "CAP",
    "HITS",
    "HIT BYTES",
    "EVICTED",
    "DAMAGED",
    "OLDEST USE",
];

/// The statistics, as a table or as JSON.
///
/// # Errors
/// A line for the operator.
pub(crate) fn stats(config: &Config, url: Option<&Url>, is_json: bool) -> Result<String, String> {
    let (text, document) = AdminListener::find_or_open(config, url)?.request("GET", "/api/stats")?;
    Ok(if is_json { text } else { table(&document) })
}

fn table(document: &Value) -> String {
    let stores: Vec<&Value> = document["registries"].as_array().into_iter().flatten().collect();
    let total = &document["total"];
    let rows = stores.iter().map(|store| row(store, text_of(&store["registry"])));
    let mut table = columns(HEADS, rows.chain([row(total, "(all)".to_owned())]));
    // Writing to a string does not fail.
    let _ = writeln!(table, "{} free on the file system", amount(&total["free_bytes"]));
    for store in &stores {
        let registry = text_of(&store["registry"]);
        if let Some(trouble) = store["write_trouble"].as_str() {
            let _ = writeln!(table, "{registry}: the store cannot be written: {trouble}");
        }
        if let Some(begin) = store["scrub"]["round_begin"].as_str() {
            let (bytes, damaged) = (amount(&store["scrub"]["bytes"]), &store["scrub"]["damaged"]);
            let _ = writeln!(table, "{registry}: scrubbed {bytes} since {begin}, {damaged} files damaged");
        } else if store["scrub"]["damaged"].as_u64().is_some_and(|count| count > 0) {
            let (damaged, healed) = (&store["scrub"]["damaged"], &store["scrub"]["healed"]);
            let end = text_of(&store["scrub"]["last_round_end"]);
            let _ = writeln!(
                table,
                "{registry}: the scrub until {end} found {damaged} damaged files, {healed} fetched again"
            );
        }
    }
    if stores.iter().any(|store| store["counting"] == true) {
        table.push_str("(wharf has just started and still counts; the figures may be too small)\n");
    }
    table
}

fn row(store: &Value, name: String) -> [String; 11] {
    let sum = |one: &Value, other: &Value| -> Value {
        (one.as_u64().unwrap_or(0) + other.as_u64().unwrap_or(0)).into()
    };
    let evicted = store["evicted"].as_object().into_iter().flatten();
    let evicted: u64 = evicted.filter_map(|(_, of_reason)| of_reason["bytes"].as_u64()).sum();
    [
        name,
        store["images"].to_string(),
        store["manifests"]["objects"].to_string(),
        store["blobs"]["objects"].to_string(),
        amount(&sum(&store["manifests"]["bytes"], &store["blobs"]["bytes"])),
        amount(&store["cap_bytes"]),
        percent(&store["pulls"]["hit_ratio_requests"]),
        percent(&store["pulls"]["hit_ratio_bytes"]),
        amount(&evicted.into()),
        amount(&store["quarantine"]["bytes"]),
        text_of(&store["oldest_use"]),
    ]
}

/// A ratio in percent; `-`: there is none.
fn percent(ratio: &Value) -> String {
    ratio.as_f64().map_or_else(|| "-".to_owned(), |ratio| format!("{:.1} %", 100.0 * ratio))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn store(trouble: Value) -> Value {
        let held = |bytes: u64| json!({ "bytes": bytes, "objects": 2 });
        json!({
            "registry": "docker.io", "images": 1, "manifests": held(24), "blobs": held(1000),
            "quarantine": held(0), "cap_bytes": null, "oldest_use": null,
            "pulls": { "hit_ratio_requests": 0.75, "hit_ratio_bytes": null },
            "evicted": { "cap": { "images": 1, "bytes": 2048 }, "purge": { "images": 1, "bytes": 1024 } },
            "write_trouble": trouble, "counting": false, "free_bytes": 4096,
            "scrub": { "round_begin": null, "last_round_end": null, "damaged": 0, "healed": 0, "bytes": 0 },
        })
    }

    #[test]
    fn the_table_has_a_row_for_each_registry_and_for_all() {
        let document = json!({ "registries": [store(Value::Null)], "total": store(Value::Null) });
        let shown = table(&document);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].starts_with("REGISTRY"), "{shown}");
        let words: Vec<&str> = lines[1].split_whitespace().collect();
        let expected =
            ["docker.io", "1", "2", "2", "1.0", "KiB", "-", "75.0", "%", "-", "3.0", "KiB", "0", "B", "-"];
        assert_eq!(words, expected);
        assert!(lines[2].starts_with("(all)") && lines[3].starts_with("4.0 KiB free"), "{shown}");
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn a_store_that_cannot_be_written_and_damage_have_a_line() {
        let mut damaged = store(json!("disk full"));
        damaged["scrub"]["damaged"] = json!(2);
        let shown = table(&json!({ "registries": [damaged], "total": store(Value::Null) }));
        assert!(shown.contains("docker.io: the store cannot be written: disk full\n"), "{shown}");
        assert!(shown.contains("found 2 damaged files, 0 fetched again\n"), "{shown}");
    }
}
