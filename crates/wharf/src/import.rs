//! `wharf import`: images of another registry's directory or an OCI layout into a registry's store.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use archive::{Options, Report, Source};
use storage::StoreErrorKind;
use telemetry::Metrics;

use crate::config::{Config, Registry};
use crate::disk;

/// Imports everything at `path` into the store of the registry called `name`. Returns the report for the
/// user.
///
/// # Errors
/// The reason for the user, with the report as far as the import came.
pub(crate) fn import(config: &Config, path: &Path, name: &str) -> Result<String, String> {
    let registry = registry(config, name)?;
    let source = Source::open(path).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(copy(registry, Arc::new(source)))
}

async fn copy(registry: &Registry, source: Arc<Source>) -> Result<String, String> {
    let name = &registry.names.name;
    let metrics = Metrics::new(std::slice::from_ref(name)).registry(name);
    let store = storage::fs::open(&registry.root, metrics).map_err(|error| match error.kind() {
        StoreErrorKind::Locked => format!(
            "{} is in use by a running wharf; stop it, import, and start it again",
            registry.root.display()
        ),
        _ => disk::describe(name, &registry.root, &error),
    })?;
    let names = &registry.names;
    let hosts = names.aliases.iter().chain(&names.hosts).chain([&names.name]).cloned().collect();
    let options = Options { hosts, grants: registry.cache.links };
    let say = |image: &str| {
        // The report at the end matters, not this.
        let _ = writeln!(io::stderr(), "importing {image}");
    };
    let report = archive::import(source, &store, &options, say).await;
    let report = report.map_err(|error| format!("{error}; run the command again to continue"))?;
    let text = describe(&report);
    if report.refusals.is_empty() { Ok(text) } else { Err(text.trim_end().to_owned()) }
}

fn registry<'c>(config: &'c Config, name: &str) -> Result<&'c Registry, String> {
    let is_meant = |registry: &&Registry| {
        registry.names.name == name || registry.names.aliases.iter().any(|alias| alias == name)
    };
    config.registries.iter().find(is_meant).ok_or_else(|| {
        let names: Vec<_> = config.registries.iter().map(|registry| registry.names.name.as_str()).collect();
        format!("the configuration has no registry {name:?}; it has {}", names.join(", "))
    })
}

fn describe(report: &Report) -> String {
    let mut text = String::new();
    for refusal in &report.refusals {
        text += &format!("refused {refusal}\n");
    }
    text += &format!(
        "images   {} ({} incomplete: the rest is pulled when a client asks for it)\n",
        report.images, report.incomplete
    );
    text += &format!(
        "blobs    {} copied ({} bytes), {} held already\n",
        report.blobs, report.bytes, report.held_blobs
    );
    text += &format!("tags     {} written, {} held already\n", report.tags, report.held_tags);
    text += &format!("refused  {}\n", report.refusals.len());
    text
}
