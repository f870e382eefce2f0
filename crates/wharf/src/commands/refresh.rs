//! `wharf refresh`: asks the upstreams which images tags name now, and fetches those of tags that have moved.

use policy::image::{ImageSelector, NamedImage};
use serde_json::{Value, json};
use url::Url;

use super::located::Located;
use super::selector::pattern_of;
use super::table::text_of;
use super::{Failure, list, query};
use crate::admin_listener::AdminListener;
use crate::config::Config;
use crate::output::{complain, print};

/// What to do without an admin listener.
const NO_LISTENER: &str = "set listen of [admin]: only a running wharf can ask an upstream";

/// Refreshes each tag and prints the result, or a JSON document on a line. Goes on after a failure.
///
/// # Errors
/// [`Failure`]: no request could be sent, or some tags were not refreshed.
pub(crate) fn refresh(
    config: &Config,
    url: Option<&Url>,
    images: &[ImageSelector],
    is_json: bool,
) -> Result<(), Failure> {
    let listener = AdminListener::find(config, url, NO_LISTENER)?;
    let mut failed_count = 0;
    let mut failed = |shown: &str, reason: &str| {
        failed_count += 1;
        if is_json {
            return print(&format!("{}\n", json!({ "image": shown, "status": "failed", "error": reason })));
        }
        complain(&format!("{shown}: {reason}"));
        Ok(())
    };
    for image in images {
        let targets = match targets(config, &listener, image) {
            Ok(targets) => targets,
            Err(reason) => {
                failed(&image.to_string(), &reason)?;
                continue;
            }
        };
        for (shown, target) in targets {
            match listener.request_patiently("POST", &format!("/api/refresh?{target}")) {
                Ok(mut document) if is_json => {
                    document["image"] = shown.into();
                    print(&format!("{document}\n"))?;
                }
                Ok(document) => print(&format!("{shown}: {}\n", describe(&document)))?,
                Err(reason) => failed(&shown, &reason)?,
            }
        }
    }
    match failed_count {
        0 => Ok(()),
        1 => Err(Failure::Failed("1 image was not refreshed".to_owned())),
        count => Err(Failure::Failed(format!("{count} images were not refreshed"))),
    }
}

/// The tags that an argument names, as the user knows them and as a query.
fn targets(
    config: &Config,
    listener: &AdminListener,
    image: &ImageSelector,
) -> Result<Vec<(String, String)>, String> {
    if let ImageSelector::One(name) = image {
        let pairs = Located::find(name, &config.registries)?.parameters();
        return Ok(vec![(image.to_string(), query(&pairs))]);
    }
    let pattern = pattern_of(image, &config.registries)?;
    let (_, document) = list::images(listener, Some(&pattern))?;
    let mut targets = Vec::new();
    for stored in document["images"].as_array().into_iter().flatten() {
        let (registry, repository) = (text_of(&stored["registry"]), text_of(&stored["repository"]));
        let Ok(digest) = text_of(&stored["digest"]).parse() else { continue };
        let named = NamedImage { registry: &registry, repository: &repository, digest: &digest };
        for tag in stored["tags"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if pattern.names(named, [tag]) {
                let pairs = [("registry", registry.as_str()), ("repository", &repository), ("tag", tag)];
                targets.push((format!("{registry}/{repository}:{tag}"), query(&pairs)));
            }
        }
    }
    if targets.is_empty() {
        return Err("no stored tag matches; `wharf list` shows all".to_owned());
    }
    Ok(targets)
}

fn describe(document: &Value) -> String {
    let (old, new) = (text_of(&document["old_digest"]), text_of(&document["digest"]));
    match document["status"].as_str() {
        Some("unchanged") => format!("unchanged ({new})"),
        Some("moved") => format!("moved from {old} to {new}"),
        Some("gone") => format!("gone upstream; the tag was removed here (it named {old})"),
        _ => format!("gone upstream; kept here, as on_upstream_404 wants ({old})"),
    }
}
