//! `wharf list`: the stored images, or the pinned ones.

use policy::image::ImagePattern;
use serde_json::Value;
use url::Url;

use super::selector::resolve;
use super::table::{amount, columns, joined, text_of};
use super::{Failure, query};
use crate::admin_listener::AdminListener;
use crate::config::Config;
use crate::output::print;

/// The images to list, and how.
#[derive(Debug)]
pub(crate) struct List<'a> {
    pub(crate) pattern: Option<&'a ImagePattern>,
    /// Only images that no tag names.
    pub(crate) is_untagged: bool,
    /// The pins, also of images that are not held.
    pub(crate) is_pinned: bool,
    pub(crate) is_json: bool,
}

/// Prints the images that match, as a table or as JSON.
///
/// # Errors
/// [`Failure`].
pub(crate) fn list(config: &Config, url: Option<&Url>, list: &List<'_>) -> Result<(), Failure> {
    let List { pattern, is_json, .. } = *list;
    let resolved = pattern.map(|pattern| resolve(pattern, &config.registries)).transpose()?;
    let listener = AdminListener::find_or_open(config, url)?;
    if list.is_pinned {
        return pins(&listener, resolved.as_ref(), is_json);
    }
    let (text, document) = request(&listener, "images", resolved.as_ref(), list.is_untagged)?;
    if is_json {
        return Ok(print(&text)?);
    }
    let images = document["images"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut table = match (images, pattern) {
        ([], Some(pattern)) => format!("no stored image matches {pattern}; `wharf list` shows all\n"),
        ([], None) if list.is_untagged => "every stored image has a tag\n".to_owned(),
        ([], None) => "no image is stored yet\n".to_owned(),
        (images, _) => columns(HEADS, images.iter().map(row)),
    };
    if document["truncated"] == true {
        table.push_str(TRUNCATED);
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
    request(listener, "images", pattern, false)
}

fn request(
    listener: &AdminListener,
    what: &str,
    pattern: Option<&ImagePattern>,
    is_untagged: bool,
) -> Result<(String, Value), String> {
    let pattern = pattern.map(ToString::to_string);
    let mut pairs: Vec<_> = pattern.iter().map(|pattern| ("pattern", pattern.as_str())).collect();
    pairs.extend(is_untagged.then_some(("untagged", "true")));
    listener.request("GET", &format!("/api/{what}?{}", query(&pairs)))
}

/// Prints the pins.
fn pins(listener: &AdminListener, pattern: Option<&ImagePattern>, is_json: bool) -> Result<(), Failure> {
    let (text, document) = request(listener, "pins", pattern, false)?;
    let pins = document["pins"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |pin: &Value| {
        let image = format!("{}/{}", text_of(&pin["registry"]), text_of(&pin["repository"]));
        let held = if pin["held"] == true { "yes" } else { "no, kept once it is pulled" };
        [image, joined(&pin["tags"]), text_of(&pin["digest"]), held.to_owned()]
    };
    let mut shown = match pins {
        _ if is_json => text,
        [] => "no image is pinned\n".to_owned(),
        pins => columns(["IMAGE", "TAGS", "DIGEST", "HELD"], pins.iter().map(row)),
    };
    if document["truncated"] == true && !is_json {
        shown.push_str(TRUNCATED);
    }
    Ok(print(&shown)?)
}

/// The line below a list that is too long.
const TRUNCATED: &str = "(the list is too long and ends here; name fewer images with a pattern)\n";

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
