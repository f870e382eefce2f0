//! `wharf import`: images of an archive or of another registry's directory into the stores.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use archive::{Options, Report, Source};

use super::stores_at_rest::{NotOpen, StoresAtRest};
use super::table::amount;
use crate::config::Config;

/// The arguments of `wharf import`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArguments {
    /// A tar archive, plain, gzip or zstd (OCI image layout, `docker save`, another wharf's export), `-` for
    /// standard input, or a directory (OCI image layout, storage directory of registry:2)
    path: PathBuf,
    /// The registry whose images they are, such as `docker.io`; not needed where the names of the images say
    /// so
    #[arg(long, value_name = "NAME")]
    registry: Option<String>,
}

/// Imports. Returns the report for the operator.
///
/// # Errors
/// The reason for the operator, with the report as far as the import came.
pub(crate) fn import(config: &Config, arguments: &ImportArguments) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    let registry = arguments.registry.as_deref();
    match runtime.block_on(StoresAtRest::open(config, registry)) {
        Ok(stores) => runtime.block_on(into_stores(&stores, arguments)),
        Err(NotOpen::Running) => {
            Err("a running wharf uses the store; stop it, import, and start it again".to_owned())
        }
        Err(NotOpen::Failed(reason)) => Err(reason),
    }
}

async fn into_stores(stores: &StoresAtRest, arguments: &ImportArguments) -> Result<String, String> {
    let path = &arguments.path;
    let say = |image: &str| {
        // The report at the end matters, not this.
        let _ = writeln!(io::stderr(), "importing {image}");
    };
    let mut options = Options { registry: arguments.registry.clone(), made_at: SystemTime::now() };
    let report = if path.is_dir() {
        let source = Source::open(path).map_err(|error| error.to_string())?;
        archive::import(Arc::new(source), stores, &options, say).await
    } else {
        let (input, made_at) = open(path)?;
        options.made_at = made_at;
        archive::import_archive(input, stores, &options, say).await
    };
    let report = report.map_err(|error| format!("{error}; run the command again to continue"))?;
    let text = describe(&report);
    if report.refusals.is_empty() { Ok(text) } else { Err(text.trim_end().to_owned()) }
}

/// Opens an archive, and tells when it was written.
fn open(path: &Path) -> Result<(Box<dyn Read + Send>, SystemTime), String> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), SystemTime::now()));
    }
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(failed)?;
    let made_at = file.metadata().and_then(|metadata| metadata.modified()).map_err(failed)?;
    Ok((Box::new(file), made_at))
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
        "blobs    {} copied ({}), {} held already\n",
        report.blobs,
        amount(&report.bytes.into()),
        report.held_blobs
    );
    text += &format!("tags     {} written, {} held already\n", report.tags, report.held_tags);
    text += &format!("refused  {}\n", report.refusals.len());
    text
}
