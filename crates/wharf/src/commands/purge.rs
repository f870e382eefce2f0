//! `wharf purge`: removes images that the user names, by name, by a pattern or by their age.

use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::selector::Selector;
use super::table::{amount, columns, joined, text_of};
use super::{Failure, consent, query};
use crate::admin_listener::AdminListener;
use crate::config::Config;
use crate::output::{complain, print};

/// The images to purge, and how.
#[derive(Debug)]
pub(crate) struct Purge<'a> {
    pub(crate) images: &'a [Selector],
    /// Only images that were not used for this time.
    pub(crate) unused_for: Option<Duration>,
    pub(crate) is_dry_run: bool,
    /// The user agrees beforehand.
    pub(crate) yes: bool,
}

/// Removes the images and prints the result of each. Goes on after a failure.
///
/// # Errors
/// [`Failure`]: no request could be sent, or some images were not removed.
pub(crate) fn purge(config: &Config, url: Option<&Url>, purge: &Purge<'_>) -> Result<(), Failure> {
    let listener = AdminListener::find_or_open(config, url)?;
    let is_exact =
        purge.unused_for.is_none() && purge.images.iter().all(|image| matches!(image, Selector::One(_)));
    if is_exact { purge_named(config, &listener, purge) } else { purge_matching(config, &listener, purge) }
}

/// Removes the images that were named one by one.
fn purge_named(config: &Config, listener: &AdminListener, purge: &Purge<'_>) -> Result<(), Failure> {
    let mut failed_count = 0;
    for image in purge.images {
        match purge_one(config, listener, image, purge.is_dry_run) {
            Ok(line) => print(&format!("{image}: {line}\n"))?,
            Err(reason) => {
                complain(&format!("{image}: {reason}"));
                failed_count += 1;
            }
        }
    }
    if purge.is_dry_run && purge.images.len() > 1 {
        let plan = plan(config, listener, purge)?;
        print(&format!("{} would come free in all\n", amount(&plan["freed_bytes"])))?;
    }
    not_all_removed(failed_count)
}

fn purge_one(
    config: &Config,
    listener: &AdminListener,
    image: &Selector,
    is_dry_run: bool,
) -> Result<String, String> {
    let Selector::One(name) = image else { return Err("a pattern names no single image".to_owned()) };
    let located = name.locate(&config.registries)?;
    let (kind, value) = located.object;
    let mut pairs = vec![("registry", located.registry), ("repository", &located.repository), (kind, value)];
    if is_dry_run {
        pairs.push(("dry_run", "true"));
    }
    let (_, document) = listener.request("DELETE", &format!("/api/images?{}", query(&pairs)))?;
    let (digest, freed) = (text_of(&document["image"]["digest"]), amount(&document["freed_bytes"]));
    Ok(match is_dry_run {
        true => format!("would be removed ({digest}), {freed} would come free"),
        false => format!("removed ({digest}), {freed} freed"),
    })
}

/// Shows what would be removed, asks, and removes it.
fn purge_matching(config: &Config, listener: &AdminListener, purge: &Purge<'_>) -> Result<(), Failure> {
    let plan = plan(config, listener, purge)?;
    let images = plan["images"].as_array().map(Vec::as_slice).unwrap_or_default();
    let kept = plan["kept"].as_array().map(Vec::as_slice).unwrap_or_default();
    if images.is_empty() && kept.is_empty() {
        return Ok(print("no stored image matches; nothing was removed\n")?);
    }
    if !images.is_empty() {
        let rows = images.iter().map(|image| {
            [shown(image), joined(&image["tags"]), text_of(&image["last_use"]), amount(&image["freed_bytes"])]
        });
        print(&columns(["IMAGE", "TAGS", "LAST USE", "OF ITS OWN"], rows))?;
    }
    for image in kept {
        complain(&text_of(&image["message"]));
    }
    let (count, freed) = (counted(images.len()), amount(&plan["freed_bytes"]));
    print(&format!("{count} would be removed, {freed} would come free\n"))?;
    if plan["truncated"] == true {
        print("(there are more; run the command again afterwards)\n")?;
    }
    if purge.is_dry_run {
        return Ok(());
    }
    if images.is_empty() {
        return not_all_removed(kept.len());
    }
    if !consent::is_given(purge.yes, &format!("Remove {count}?"))? {
        return Ok(print("nothing was removed\n")?);
    }
    let failed_count = remove(listener, images, purge.unused_for)?;
    not_all_removed(failed_count + kept.len())
}

/// Removes the planned images. Returns how many were not removed.
fn remove(
    listener: &AdminListener,
    images: &[Value],
    unused_for: Option<Duration>,
) -> Result<usize, Failure> {
    let (mut freed, mut failed_count) = (0, 0);
    let seconds = unused_for.map(|unused_for| unused_for.as_secs().to_string());
    for image in images {
        let (registry, repository) = (text_of(&image["registry"]), text_of(&image["repository"]));
        let digest = text_of(&image["digest"]);
        let mut pairs =
            vec![("registry", registry.as_str()), ("repository", &repository), ("digest", &digest)];
        pairs.extend(seconds.as_ref().map(|seconds| ("unused_for", seconds.as_str())));
        match listener.request("DELETE", &format!("/api/images?{}", query(&pairs))) {
            Ok((_, document)) => {
                freed += document["freed_bytes"].as_u64().unwrap_or(0);
                let bytes = amount(&document["freed_bytes"]);
                print(&format!("{}: removed ({digest}), {bytes} freed\n", shown(image)))?;
            }
            Err(reason) => {
                complain(&format!("{}: {reason}", shown(image)));
                failed_count += 1;
            }
        }
    }
    print(&format!("{} freed in all\n", amount(&freed.into())))?;
    Ok(failed_count)
}

/// The images that would be removed.
fn plan(config: &Config, listener: &AdminListener, purge: &Purge<'_>) -> Result<Value, Failure> {
    let mut pairs = vec![("dry_run", "true".to_owned())];
    for image in purge.images {
        pairs.push(("pattern", image.pattern(&config.registries)?.to_string()));
    }
    if let Some(unused_for) = purge.unused_for {
        pairs.push(("unused_for", unused_for.as_secs().to_string()));
    }
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let (_, document) = listener.request("DELETE", &format!("/api/images?{}", query(&pairs)))?;
    Ok(document)
}

/// The image, as people write it: by its first tag, or by its digest.
fn shown(image: &Value) -> String {
    let name = format!("{}/{}", text_of(&image["registry"]), text_of(&image["repository"]));
    match image["tags"][0].as_str() {
        Some(tag) => format!("{name}:{tag}"),
        None => format!("{name}@{}", text_of(&image["digest"])),
    }
}

fn counted(count: usize) -> String {
    if count == 1 { "1 image".to_owned() } else { format!("{count} images") }
}

fn not_all_removed(failed_count: usize) -> Result<(), Failure> {
    match failed_count {
        0 => Ok(()),
        count => Err(Failure::Failed(format!("not removed: {}", counted(count)))),
    }
}
