//! `wharf show`: everything that is known of one image.

use std::fmt::Write as _;

use policy::image::ImageSelector;
use serde_json::Value;
use url::Url;

use super::located::Located;
use super::selector::pattern_of;
use super::table::{amount, columns, joined, text_of};
use super::{Failure, list, query};
use crate::admin_listener::AdminListener;
use crate::config::Config;
use crate::output::print;

/// Prints the image, as tables or as JSON.
///
/// # Errors
/// [`Failure`].
pub(crate) fn show(
    config: &Config,
    url: Option<&Url>,
    image: &ImageSelector,
    is_json: bool,
) -> Result<(), Failure> {
    let listener = AdminListener::find_or_open(config, url)?;
    let target = match image {
        ImageSelector::One(name) => query(&Located::find(name, &config.registries)?.parameters()),
        ImageSelector::Pattern(_) => only_match(config, &listener, image)?,
    };
    let (_, mut document) = listener.request("GET", &format!("/api/image?{target}"))?;
    let registry = config.registries.iter().find(|it| document["registry"] == it.names.name.as_str());
    document["upstream"] = registry.map(|registry| registry.upstream.upstream.to_string()).into();
    Ok(print(&if is_json { format!("{document}\n") } else { tables(&document) })?)
}

/// The query for the one image that matches.
fn only_match(config: &Config, listener: &AdminListener, image: &ImageSelector) -> Result<String, Failure> {
    let (_, document) = list::images(listener, Some(&pattern_of(image, &config.registries)?))?;
    let images = document["images"].as_array().map(Vec::as_slice).unwrap_or_default();
    match images {
        [] => Err(Failure::Failed(format!("no stored image matches {image}; `wharf list` shows all"))),
        [one] => Ok(query(&[
            ("registry", text_of(&one["registry"]).as_str()),
            ("repository", &text_of(&one["repository"])),
            ("digest", &text_of(&one["digest"])),
        ])),
        several => Err(Failure::Failed(format!(
            "{} stored images match {image}; name one of them, as `wharf list '{image}'` shows them",
            several.len()
        ))),
    }
}

fn tables(image: &Value) -> String {
    let mut text = String::new();
    let mut line = |head: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(text, "{head:<13}{value}");
        }
    };
    line("IMAGE", format!("{}/{}", text_of(&image["registry"]), text_of(&image["repository"])));
    line("DIGEST", text_of(&image["digest"]));
    line("MEDIA TYPE", text_of(&image["media_type"]));
    line("ARTIFACT", image["artifact_type"].as_str().unwrap_or_default().to_owned());
    line("TAGS", joined(&image["tags"]));
    let checks = image["tag_checks"].as_array().into_iter().flatten();
    let checks =
        checks.map(|check| format!("{} at {}", text_of(&check["tag"]), text_of(&check["checked_at"])));
    line("LAST CHECK", checks.collect::<Vec<_>>().join(", "));
    line("PLATFORMS", joined(&image["platforms"]["held"]));
    line("MISSING", joined(&image["platforms"]["missing"]));
    line("WHOLE", yes_or_no(&image["whole"]));
    let (own, shared) = (amount(&image["own_bytes"]), amount(&image["shared_bytes"]));
    line(
        "SIZE",
        format!("{} ({own} of its own, {shared} shared with other images)", amount(&image["bytes"])),
    );
    line("LAST USE", text_of(&image["last_use"]));
    line("PINNED", yes_or_no(&image["pinned"]));
    if image["part_of_index"] == true {
        let part_of = joined(&image["part_of"]).replace(',', " and of ");
        line("PART", format!("of {part_of}, so it cannot be removed alone"));
    }
    let referrers = &image["referrers"];
    let attached = [joined(&referrers["digests"]), joined(&referrers["tags"])];
    line("REFERRERS", attached.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(","));
    line("UPSTREAM", image["upstream"].as_str().unwrap_or_default().to_owned());
    line("SOURCE", image["source"].as_str().unwrap_or_default().to_owned());
    let manifests = image["manifests"].as_array().into_iter().flatten().map(|part| {
        let platform = part["platform"].as_str().unwrap_or_default().to_owned();
        [text_of(&part["digest"]), platform, amount(&part["bytes"]), held(part)]
    });
    let heads = ["MANIFEST", "PLATFORM", "SIZE", "HELD"];
    let _ = write!(text, "\n{}", columns(heads, manifests));
    let blobs = image["blobs"].as_array().into_iter().flatten().map(|part| {
        let media_type = part["media_type"].as_str().unwrap_or_default().to_owned();
        [text_of(&part["digest"]), text_of(&part["role"]), amount(&part["bytes"]), held(part), media_type]
    });
    let _ = write!(text, "\n{}", columns(["BLOB", "ROLE", "SIZE", "HELD", "MEDIA TYPE"], blobs));
    text
}

fn held(part: &Value) -> String {
    let text = match (part["held"] == true, part["shared"] == true) {
        (false, _) => "no",
        (true, false) => "yes",
        (true, true) => "shared",
    };
    text.to_owned()
}

fn yes_or_no(flag: &Value) -> String {
    (if *flag == true { "yes" } else { "no" }).to_owned()
}
