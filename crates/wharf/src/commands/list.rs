//! `wharf list`: the stored images.

use policy::eviction::ImagePattern;
use serde_json::Value;
use url::Url;

use super::selector::resolve;
use super::table::{amount, columns, joined, text_of};
use super::{Failure, query};
use crate::admin_listener::AdminListener;
use crate::config::Config;
use crate::output::print;

/// Prints the images that match, as a table or as JSON.
///
/// # Errors
/// [`Failure`].
pub(crate) fn list(
    config: &Config,
    url: Option<&Url>,
    pattern: Option<&ImagePattern>,
    is_json: bool,
) -> Result<(), Failure> {
    let resolved = pattern.map(|pattern| resolve(pattern, &config.registries)).transpose()?;
    let listener = AdminListener::find_or_open(config, url)?;
    let (text, document) = images(&listener, resolved.as_ref())?;
    if is_json {
        return Ok(print(&text)?);
    }
    let images = document["images"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut table = match (images, pattern) {
        ([], Some(pattern)) => format!("no stored image matches {pattern}; `wharf list` shows all\n"),
        ([], None) => "no image is stored yet\n".to_owned(),
        (images, _) => columns(HEADS, images.iter().map(row)),
    };
    if document["truncated"] == true {
        table.push_str("(the list is too long and ends here; name fewer images with a pattern)\n");
    }
    if document["complete"] == false {
        table.push_str("(wharf has just started and still looks for further images)\n");
    }
    Ok(print(&table)?)
}

/// The images that match, as the text of the answer and as a document.
///
/// # Errors
/// A line for the operator.
pub(super) fn images(
    listener: &AdminListener,
    pattern: Option<&ImagePattern>,
) -> Result<(String, Value), String> {
    let query = pattern.map(|pattern| query(&[("pattern", &pattern.to_string())])).unwrap_or_default();
    listener.request("GET", &format!("/api/images?{query}"))
}

const HEADS: [&str; 8] = ["IMAGE", "TAGS", "PLATFORMS", "SIZE", "LAST USE", "PINNED", "DIGEST", "MISSING"];

/// The cell after the repository of a part of an image that has a tag of its own.
const PART: &str = " (a part)";

fn row(image: &Value) -> [String; 8] {
    let pinned = if image["pinned"] == true { "yes" } else { "" };
    let part = if image["part_of_index"] == true { PART } else { "" };
    let missing = match joined(&image["platforms"]["missing"]) {
        names if names.is_empty() && image["whole"] == false => "some parts".to_owned(),
        names => names,
    };
    [
        format!("{}/{}{part}", text_of(&image["registry"]), text_of(&image["repository"])),
        joined(&image["tags"]),
        joined(&image["platforms"]["held"]),
        amount(&image["bytes"]),
        text_of(&image["last_use"]),
        pinned.to_owned(),
        text_of(&image["digest"]),
        missing,
    ]
}
