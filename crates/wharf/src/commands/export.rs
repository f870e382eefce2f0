//! `wharf export`: stored images as an OCI image layout, to be carried elsewhere.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use archive::{
    ExportReport, Selector, SentBytes, WriteError, Written, export as export_images, write_export,
};
use inventory::Keeper;
use oci::Digest;
use policy::eviction::Limits;
use tokio::sync::mpsc;
use url::Url;

use super::progress::ProgressLine;
use super::stores_at_rest::{NotOpen, StoresAtRest};
use super::table::amount;
use super::{NO_LISTENER, query, reason_of};
use crate::admin_listener::AdminListener;
use crate::config::Config;

/// Pieces of the archive that wait to be written.
const WAITING_COUNT_MAX: usize = 4;

/// The arguments of `wharf export`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArguments {
    /// alpine, ghcr.io/org/app:v1, ghcr.io/org/app@sha256:..., or patterns: `library/*`, `ghcr.io/org/*:v1.*`
    #[arg(value_name = "IMAGE", required_unless_present = "all")]
    images: Vec<Selector>,
    /// Export all images of all registries
    #[arg(long, conflicts_with = "images")]
    all: bool,
    /// The archive to write: a tar archive if it ends in .tar, a compressed one if it ends in .tar.zst,
    /// otherwise a directory
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// Leave out the blobs that this list of an earlier export names
    #[arg(long, value_name = "LIST")]
    since: Option<PathBuf>,
    /// The admin listener of the running wharf, http://HOST:PORT; by default the one in the configuration
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
    /// Write a list of the blobs in this archive and in those before it, for the next --since
    #[arg(long, value_name = "FILE")]
    list_out: Option<PathBuf>,
}

/// Exports. Returns the report for the operator.
///
/// # Errors
/// The reason for the operator; with the report if only some images were not exported.
pub(crate) fn export(config: &Config, arguments: &ExportArguments) -> Result<String, String> {
    let since = match &arguments.since {
        Some(path) => read_list(path)?,
        None => BTreeSet::new(),
    };
    refuse_form(&arguments.output)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    let opened = match arguments.url {
        Some(_) => Err(NotOpen::Running),
        None => runtime.block_on(StoresAtRest::open(config, None)),
    };
    let written = match opened {
        Ok(stores) => runtime.block_on(from_stores(&stores, arguments, &since))?,
        Err(NotOpen::Running) => from_server(config, arguments, &since)?,
        Err(NotOpen::Failed(reason)) => return Err(reason),
    };
    if let Some(path) = &arguments.list_out {
        write_list(path, since.union(&written.digests))?;
    }
    let text = describe(&written.report);
    if written.report.refusals.is_empty() { Ok(text) } else { Err(text.trim_end().to_owned()) }
}

/// Refuses names that promise another form of archive: without this, they would name a directory.
fn refuse_form(output: &Path) -> Result<(), String> {
    const OTHER_FORMS: [&str; 8] = [".gz", ".tgz", ".bz2", ".xz", ".zip", ".7z", ".zst", ".tzst"];
    let name = output.as_os_str().to_string_lossy();
    let is_other = OTHER_FORMS.iter().any(|form| name.ends_with(form)) && !name.ends_with(".tar.zst");
    if name == "-" || is_other {
        return Err(format!("{name}: write the name of a directory, or one that ends in .tar or .tar.zst"));
    }
    Ok(())
}

fn selectors(arguments: &ExportArguments) -> Vec<Selector> {
    if arguments.all { vec![Selector::all()] } else { arguments.images.clone() }
}

async fn from_stores(
    stores: &StoresAtRest,
    arguments: &ExportArguments,
    since: &BTreeSet<Digest>,
) -> Result<Written, String> {
    let targets = stores.all_open().await;
    for target in &targets {
        let keeper = Keeper::new(target.inventory.clone(), Limits::default());
        keeper.walk().await.map_err(|error| format!("{}: {error}", target.name))?;
    }
    let (sender, receiver) = mpsc::channel(WAITING_COUNT_MAX);
    let since: HashSet<_> = since.iter().cloned().collect();
    let selectors = selectors(arguments);
    let exporting = tokio::spawn(async move { export_images(&targets, &selectors, since, sender).await });
    let output = arguments.output.clone();
    let writing = tokio::task::spawn_blocking(move || write(SentBytes::new(receiver), &output));
    let written = writing.await.map_err(|error| error.to_string())?;
    // The writer reports what ended the stream.
    let _ = exporting.await;
    written
}

/// Lets the running wharf send the archive.
fn from_server(
    config: &Config,
    arguments: &ExportArguments,
    since: &BTreeSet<Digest>,
) -> Result<Written, String> {
    let listener = AdminListener::find(config, arguments.url.as_ref(), NO_LISTENER)?;
    let images: Vec<_> = arguments.images.iter().map(ToString::to_string).collect();
    let images = images.join(",");
    let choice = if arguments.all { ("all", "true") } else { ("images", images.as_str()) };
    let target = format!("/api/export?{}", query(&[choice]));
    let list: String = since.iter().map(|digest| format!("{digest}\n")).collect();
    let framing = format!("Content-Length: {}", list.len());
    let method = if since.is_empty() { "GET" } else { "POST" };
    let answer = listener.stream(method, &target, &framing, |socket| socket.write_all(list.as_bytes()))?;
    match answer.status {
        200 => write(answer.content, &arguments.output),
        _ => Err(reason_of(answer)),
    }
}

fn write(input: impl Read, output: &Path) -> Result<Written, String> {
    let mut line = ProgressLine::new();
    let written = write_export(input, output, &mut |progress| line.show(progress));
    line.end();
    written.map_err(|error| {
        let report = match &error {
            WriteError::NoImages(report) => describe(report),
            _ => String::new(),
        };
        format!("{report}{error}; nothing was written to {}", output.display())
    })
}

/// Reads a list: one digest a line.
fn read_list(path: &Path) -> Result<BTreeSet<Digest>, String> {
    let failed = |reason: String| format!("{}: {reason}", path.display());
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parse = |line: &str| line.parse().map_err(|error| failed(format!("{line:?}: {error}")));
    lines.map(parse).collect()
}

fn write_list<'d>(path: &Path, digests: impl Iterator<Item = &'d Digest>) -> Result<(), String> {
    let text: String = digests.map(|digest| format!("{digest}\n")).collect();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = path.with_file_name(format!(".{name}.wharf"));
    fs::write(&temporary, text)
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn describe(report: &ExportReport) -> String {
    let mut text = String::new();
    for part in &report.left_out {
        text += &format!("left out {part}\n");
    }
    for refusal in &report.refusals {
        text += &format!("refused  {refusal}\n");
    }
    text += &format!("images   {}\n", report.images);
    text += &format!(
        "blobs    {} ({}), {} in an earlier archive\n",
        report.blobs,
        amount(&report.bytes.into()),
        report.earlier_blobs
    );
    text += &format!("refused  {}\n", report.refusals.len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_another_form_is_refused() {
        for name in ["-", "a.tar.gz", "a.tgz", "a.zip", "a.zst"] {
            assert!(refuse_form(Path::new(name)).unwrap_err().contains(name), "{name}");
        }
        for name in ["a.tar", "a.tar.zst", "a", "a.d/b-1.2"] {
            assert_eq!(refuse_form(Path::new(name)), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        let digests: BTreeSet<Digest> =
            ["a", "b"].map(|hex| format!("sha256:{}", hex.repeat(64)).parse().unwrap()).into();
        write_list(&path, digests.iter()).unwrap();
        assert_eq!(read_list(&path).unwrap(), digests);
        fs::write(&path, "# comment\n\nsha256:1\n").unwrap();
        assert!(read_list(&path).unwrap_err().contains("sha256:1"));
        assert!(read_list(&directory.path().join("none")).unwrap_err().contains("none"));
    }
}
