//! `wharf purge`: removes images that the user names, by name, by a pattern or by their age.

mod report;

use std::time::Duration;

use policy::image::ImageSelector;
use serde_json::Value;
use url::Url;

use super::located::Located;
use super::selector::{pattern_of, repository_pattern_of};
use super::table::{amount, text_of};
use super::{Failure, consent, query};
use crate::admin_listener::AdminListener;
use crate::config::Config;
use crate::output::{complain, print};
use report::{Report, counted, plan_table, shown, shown_tag};

/// The images to purge, and how.
#[derive(Debug)]
pub(crate) struct Purge<'a> {
    pub(crate) images: &'a [ImageSelector],
    /// Only images that were not used for this time.
    pub(crate) unused_for: Option<Duration>,
    /// Only images that no tag names.
    pub(crate) is_untagged: bool,
    pub(crate) is_dry_run: bool,
    /// The user agrees beforehand.
    pub(crate) yes: bool,
    pub(crate) is_json: bool,
}

/// Removes the images and prints the result of each. Goes on after a failure.
///
/// # Errors
/// [`Failure`]: no request could be sent, or some images were not removed.
pub(crate) fn purge(config: &Config, url: Option<&Url>, purge: &Purge<'_>) -> Result<(), Failure> {
    let listener = AdminListener::find_or_open(config, url)?;
    let is_exact = purge.unused_for.is_none()
        && !purge.is_untagged
        && purge.images.iter().all(|image| matches!(image, ImageSelector::One(_)));
    if is_exact { purge_named(config, &listener, purge) } else { purge_matching(config, &listener, purge) }
}

/// Removes the images that were named one by one.
fn purge_named(config: &Config, listener: &AdminListener, purge: &Purge<'_>) -> Result<(), Failure> {
    let mut report = Report::new(purge.is_dry_run, purge.is_json);
    for image in purge.images {
        match purge_one(config, listener, image, purge.is_dry_run) {
            Ok(document) => report.add(&image.to_string(), &document)?,
            Err(reason) => report.fail(&image.to_string(), &reason),
        }
    }
    if purge.is_dry_run && purge.images.len() > 1 {
        // Layers that several of them share come free once.
        report.set_freed(&plan(config, listener, purge)?["freed_bytes"])?;
    }
    report.end()
}

fn purge_one(
    config: &Config,
    listener: &AdminListener,
    image: &ImageSelector,
    is_dry_run: bool,
) -> Result<Value, String> {
    let ImageSelector::One(name) = image else { return Err("a pattern names no single image".to_owned()) };
    let mut pairs = Vec::from(Located::find(name, &config.registries)?.parameters());
    if is_dry_run {
        pairs.push(("dry_run", "true".to_owned()));
    }
    let (_, document) = listener.request("DELETE", &format!("/api/images?{}", query(&pairs)))?;
    Ok(document)
}

/// Shows what would be removed, asks, and removes it.
fn purge_matching(config: &Config, listener: &AdminListener, purge: &Purge<'_>) -> Result<(), Failure> {
    let plan = plan(config, listener, purge)?;
    let rows = |name: &str| plan[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let (images, tags, kept) = (rows("images"), rows("tags_only"), rows("kept"));
    let is_shown = !purge.is_json;
    if is_shown {
        if images.is_empty() && tags.is_empty() && kept.is_empty() {
            return Ok(print("no stored image matches; nothing was removed\n")?);
        }
        print(&plan_table(images, tags))?;
        kept.iter().for_each(|image| complain(&text_of(&image["message"])));
        let freed = amount(&plan["freed_bytes"]);
        print(&format!("{} would be removed, {freed} would come free\n", counted(images.len(), tags.len())))?;
        if plan["truncated"] == true {
            print("(there are more; run the command again afterwards)\n")?;
        }
    }
    if purge.is_dry_run {
        return if is_shown { Ok(()) } else { Ok(print(&format!("{plan}\n"))?) };
    }
    let is_empty = images.is_empty() && tags.is_empty();
    let question = format!("Remove {}?", counted(images.len(), tags.len()));
    if !is_empty && !consent::is_given(purge.yes, &question)? {
        return Ok(print("nothing was removed\n")?);
    }
    let mut report = Report::new(false, purge.is_json);
    kept.iter().for_each(|image| report.keep(image));
    remove(listener, &plan, purge.unused_for, &mut report)?;
    report.end()
}

/// Removes what was planned.
fn remove(
    listener: &AdminListener,
    plan: &Value,
    unused_for: Option<Duration>,
    report: &mut Report,
) -> Result<(), Failure> {
    let seconds = unused_for.map(|unused_for| unused_for.as_secs().to_string());
    let images = plan["images"].as_array().into_iter().flatten();
    let images = images.map(|image| (image, "digest", shown(image)));
    let tags = plan["tags_only"].as_array().into_iter().flatten();
    let tags = tags.map(|tag| (tag, "tag", shown_tag(tag)));
    for (object, kind, name) in images.chain(tags) {
        let (registry, repository) = (text_of(&object["registry"]), text_of(&object["repository"]));
        let value = text_of(&object[kind]);
        let mut pairs = vec![("registry", registry.as_str()), ("repository", &repository), (kind, &value)];
        pairs.extend(seconds.as_ref().map(|seconds| ("unused_for", seconds.as_str())));
        match listener.request("DELETE", &format!("/api/images?{}", query(&pairs))) {
            Ok((_, document)) => report.add(&name, &document)?,
            Err(reason) => report.fail(&name, &reason),
        }
    }
    report.sum_up()
}

/// The images that would be removed.
fn plan(config: &Config, listener: &AdminListener, purge: &Purge<'_>) -> Result<Value, Failure> {
    let mut pairs = vec![("dry_run", "true".to_owned())];
    for image in purge.images {
        let pattern = match purge.is_untagged {
            true => repository_pattern_of(image, &config.registries)?,
            false => pattern_of(image, &config.registries)?,
        };
        pairs.push(("pattern", pattern.to_string()));
    }
    if purge.is_untagged {
        pairs.push(("untagged", "true".to_owned()));
    }
    if let Some(unused_for) = purge.unused_for {
        pairs.push(("unused_for", unused_for.as_secs().to_string()));
    }
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let (_, document) = listener.request("DELETE", &format!("/api/images?{}", query(&pairs)))?;
    Ok(document)
}
