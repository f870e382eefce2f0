//! The commands about stored images: each asks the running wharf at its admin listener.

mod export;
mod image_list;
mod image_name;
mod import;
mod progress;
mod pull;
mod pull_progress;
mod stores_at_rest;
mod table;

use std::fmt::Write as _;

use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use self::table::{amount, columns};
use crate::admin_listener::AdminListener;
use crate::config::Config;

pub(crate) use self::export::{ExportArguments, export};
pub(crate) use self::image_list::ImageList;
pub(crate) use self::image_name::ImageName;
pub(crate) use self::import::{ImportArguments, import};
pub(crate) use self::pull::{Work, work};

/// The change that a command makes to images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Purge { is_dry_run: bool },
    Pin,
    Unpin,
}

/// `wharf list`: the stored images, as a table or as JSON.
///
/// # Errors
/// A line for the operator.
pub(crate) fn list(
    config: &Config,
    url: Option<&Url>,
    pattern: Option<&str>,
    is_json: bool,
) -> Result<String, String> {
    let query = pattern.map(|pattern| query(&[("pattern", pattern)])).unwrap_or_default();
    let (text, document) =
        AdminListener::find_or_open(config, url)?.request("GET", &format!("/api/images?{query}"))?;
    if is_json {
        return Ok(text);
    }
    let rows = document["images"].as_array().into_iter().flatten().map(image_row);
    let mut table = columns(["IMAGE", "TAGS", "DIGEST", "LAST USE", "PINNED"], rows);
    if document["truncated"] == true {
        table.push_str("(the list is too long and ends here; name fewer images with a pattern)\n");
    }
    if document["complete"] == false {
        table.push_str("(wharf has just started and still looks for further images)\n");
    }
    Ok(table)
}

fn image_row(image: &Value) -> [String; 5] {
    let tags: Vec<&str> = image["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let pinned = if image["pinned"] == true { "yes" } else { "" };
    [
        format!("{}/{}", text_of(&image["registry"]), text_of(&image["repository"])),
        tags.join(","),
        text_of(&image["digest"]),
        text_of(&image["last_use"]),
        pinned.to_owned(),
    ]
}

/// `wharf stats`: what each registry's store holds.
///
/// # Errors
/// A line for the operator.
pub(crate) fn stats(config: &Config, url: Option<&Url>, is_json: bool) -> Result<String, String> {
    let (text, document) = AdminListener::find_or_open(config, url)?.request("GET", "/api/stats")?;
    if is_json {
        return Ok(text);
    }
    let heads =
        ["REGISTRY", "MANIFESTS", "BLOBS", "BLOB BYTES", "UNFINISHED", "DAMAGED", "CAP", "OLDEST USE"];
    let stores = document["registries"].as_array().into_iter().flatten();
    let rows = stores.clone().map(|store| {
        [
            text_of(&store["registry"]),
            store["manifests"]["objects"].to_string(),
            store["blobs"]["objects"].to_string(),
            amount(&store["blobs"]["bytes"]),
            amount(&store["partial"]["bytes"]),
            amount(&store["quarantine"]["bytes"]),
            amount(&store["cap_bytes"]),
            text_of(&store["oldest_use"]),
        ]
    });
    let mut table = columns(heads, rows);
    if stores.clone().any(|store| store["counting"] == true) {
        table.push_str("(wharf has just started and still counts; the figures may be too small)\n");
    }
    Ok(table)
}

/// The results of a command for several images.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// A line for each image that was changed.
    pub(crate) done: String,
    /// A line for each image that was not.
    pub(crate) failed: String,
}

/// `wharf purge`, `wharf pin` and `wharf unpin`: changes each image, and goes on after a failure.
///
/// # Errors
/// A line for the operator if no request could be sent.
pub(crate) fn change(
    config: &Config,
    url: Option<&Url>,
    images: &[ImageName],
    change: Change,
) -> Result<Results, String> {
    let listener = AdminListener::find_or_open(config, url)?;
    let mut results = Results::default();
    for image in images {
        let (out, line) = match change_one(config, &listener, image, change) {
            Ok(line) => (&mut results.done, line),
            Err(line) => (&mut results.failed, line),
        };
        let _ = writeln!(out, "{image}: {line}");
    }
    Ok(results)
}

fn change_one(
    config: &Config,
    listener: &AdminListener,
    image: &ImageName,
    change: Change,
) -> Result<String, String> {
    let located = image.locate(&config.registries)?;
    let (kind, value) = located.object;
    let mut pairs = vec![("registry", located.registry), ("repository", &located.repository), (kind, value)];
    if change == (Change::Purge { is_dry_run: true }) {
        pairs.push(("dry_run", "true"));
    }
    let (method, path) = match change {
        Change::Purge { .. } => ("DELETE", "/api/images"),
        Change::Pin => ("PUT", "/api/pins"),
        Change::Unpin => ("DELETE", "/api/pins"),
    };
    let (_, document) = listener.request(method, &format!("{path}?{}", query(&pairs)))?;
    let digest = text_of(document["image"].get("digest").unwrap_or(&document["digest"]));
    let is_changed = document["changed"] == true;
    Ok(match change {
        Change::Purge { is_dry_run: true } => format!("would be removed ({digest})"),
        Change::Purge { .. } => format!("removed ({digest}), {} freed", amount(&document["freed_bytes"])),
        Change::Pin if is_changed => format!("pinned ({digest})"),
        Change::Pin => format!("was pinned already ({digest})"),
        Change::Unpin if is_changed => format!("no longer pinned ({digest})"),
        Change::Unpin => format!("was not pinned ({digest})"),
    })
}

fn query(pairs: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}
