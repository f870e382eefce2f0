//! `wharf prune`: removes what no image needs.

use serde_json::Value;
use url::Url;

use super::table::{amount, columns, text_of};
use super::unknown::unknown_registry;
use super::{Failure, consent, query};
use crate::admin_listener::AdminListener;
use crate::config::Config;
use crate::output::print;

/// The kinds in an answer, and what they are called.
const KINDS: [(&str, &str); 4] = [
    ("orphans", "blobs that no image needs"),
    ("partial", "unfinished blobs"),
    ("quarantine", "damaged files"),
    ("lists", "lists that no image needs"),
];

/// The selection and the mode of a prune.
#[derive(Debug)]
pub(crate) struct Prune<'a> {
    /// `None`: the stores of all registries.
    pub(crate) registry: Option<&'a str>,
    pub(crate) is_dry_run: bool,
    /// The user agrees beforehand.
    pub(crate) yes: bool,
    pub(crate) is_json: bool,
}

/// Shows what would be removed, asks, and removes it.
///
/// # Errors
/// [`Failure`]: no request could be sent, or something could not be removed.
pub(crate) fn prune(config: &Config, url: Option<&Url>, prune: &Prune<'_>) -> Result<(), Failure> {
    let registry = prune.registry.map(|name| located(config, name)).transpose()?;
    let listener = AdminListener::find_or_open(config, url)?;
    let send = |dry_run: &str| {
        let registry = registry.map(|name| ("registry", name));
        let pairs: Vec<_> = [("dry_run", dry_run)].into_iter().chain(registry).collect();
        listener.request("POST", &format!("/api/prune?{}", query(&pairs)))
    };
    let (text, plan) = send("true")?;
    let is_shown = !prune.is_json;
    if is_shown {
        print(&table(&plan, "would come free"))?;
    }
    if prune.is_dry_run {
        return if is_shown { Ok(()) } else { Ok(print(&text)?) };
    }
    if is_shown && total(&plan, "objects") == 0 {
        return Ok(());
    }
    if total(&plan, "objects") > 0 && !consent::is_given(prune.yes, "Remove them?")? {
        return Ok(print("nothing was removed\n")?);
    }
    let (text, done) = send("false")?;
    print(&if is_shown { format!("{} freed\n", amount(&total(&done, "bytes").into())) } else { text })?;
    let failures: u64 = registries(&done).filter_map(|store| store["failures"].as_u64()).sum();
    match failures {
        0 => Ok(()),
        count => {
            Err(Failure::Failed(format!("{count} could not be removed; the log of wharf has the reasons")))
        }
    }
}

/// The name of the registry that has this name or alias.
fn located<'c>(config: &'c Config, name: &str) -> Result<&'c str, String> {
    let is_it = |it: &String| it.eq_ignore_ascii_case(name);
    let mut names = config.registries.iter().map(|registry| &registry.names);
    let found = names.find(|names| is_it(&names.name) || names.aliases.iter().any(is_it));
    found.map(|names| names.name.as_str()).ok_or_else(|| unknown_registry(name, &config.registries))
}

fn table(plan: &Value, what: &str) -> String {
    let mut rows = Vec::new();
    for store in registries(plan) {
        for (kind, name) in KINDS {
            if store[kind]["objects"] != 0 {
                let (objects, bytes) = (store[kind]["objects"].to_string(), amount(&store[kind]["bytes"]));
                rows.push([text_of(&store["registry"]), name.to_owned(), objects, bytes]);
            }
        }
    }
    if rows.is_empty() {
        return "there is nothing to remove\n".to_owned();
    }
    let bytes = amount(&total(plan, "bytes").into());
    format!("{}{bytes} {what}\n", columns(["REGISTRY", "KIND", "OBJECTS", "SIZE"], rows))
}

/// The sum of a number over all registries and kinds.
fn total(document: &Value, number: &str) -> u64 {
    let numbers = registries(document).flat_map(|store| KINDS.map(|(kind, _)| store[kind][number].as_u64()));
    numbers.flatten().sum()
}

fn registries(document: &Value) -> impl Iterator<Item = &Value> {
    document["registries"].as_array().into_iter().flatten()
}
