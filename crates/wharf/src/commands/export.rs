//! `wharf export`: stored images as an OCI image layout, to be carried elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use archive::{ExportReport, Selector, WriteError, Written, write_export};
use oci::Digest;
use serde_json::json;
use url::Url;

use super::failure::Failure;
use super::interruption::Interruption;
use super::progress::ProgressLine;
use super::table::{amount, and_more, counted};
use crate::admin_listener::{AdminListener, admin_url};
use crate::config::Config;
use crate::exchange::Socket;
use crate::output::print;
use crate::streamed::Content;

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
    #[arg(long, value_name = "URL", value_parser = admin_url)]
    url: Option<Url>,
    /// Write a list of the blobs in this archive and in those before it, for the next --since
    #[arg(long, value_name = "FILE")]
    list_out: Option<PathBuf>,
    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// Exports, and prints the report.
///
/// # Errors
/// [`Failure`]; also if only some images were not exported.
pub(crate) fn export(config: &Config, arguments: &ExportArguments) -> Result<(), Failure> {
    let since = match &arguments.since {
        Some(path) => read_list(path)?,
        None => BTreeSet::new(),
    };
    refuse_form(&arguments.output)?;
    let written = fetch(config, arguments, &since)?;
    if let Some(path) = &arguments.list_out {
        write_list(path, since.union(&written.digests))?;
    }
    let refused = written.report.refused;
    if arguments.json {
        print(&document(&written, &arguments.output))?;
        return match refused {
            0 => Ok(()),
            _ => {
                let images = counted(refused, "image");
                Err(Failure::Failed(format!("not exported: {images}; `refusals` has the reasons")))
            }
        };
    }
    let text = describe(&written.report);
    if refused > 0 {
        return Err(Failure::Failed(text.trim_end().to_owned()));
    }
    Ok(print(&text)?)
}

/// The report for scripts, in one line.
fn document(written: &Written, output: &Path) -> String {
    let mut document = json!(written.report);
    document["index_digest"] = json!(written.index.to_string());
    document["path"] = json!(output.to_string_lossy());
    format!("{document}\n")
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

/// Gets the archive from the admin listener, and writes it.
fn fetch(config: &Config, arguments: &ExportArguments, since: &BTreeSet<Digest>) -> Result<Written, Failure> {
    let listener = AdminListener::find_or_open(config, arguments.url.as_ref())?;
    let images: Vec<_> = arguments.images.iter().map(ToString::to_string).collect();
    let since: Vec<_> = since.iter().map(ToString::to_string).collect();
    let choice = json!({ "images": images, "all": arguments.all, "since": since }).to_string();
    let framing = format!("Content-Type: application/json\r\nContent-Length: {}", choice.len());
    let send = |socket: &mut Socket| socket.write_all(choice.as_bytes());
    let answer = listener.stream("POST", "/api/export", &framing, send)?;
    match answer.status {
        200 => write(answer.content, &arguments.output),
        _ => Err(Failure::Failed(listener.reason_of(answer))),
    }
}

/// Writes the archive. A signal ends that, and leaves nothing behind.
fn write(input: Content, output: &Path) -> Result<Written, Failure> {
    let watched = input.connection().and_then(Interruption::watch);
    let interruption = watched.map_err(|error| format!("cannot watch for signals: {error}"))?;
    let mut line = ProgressLine::new();
    let written = write_export(input, output, &mut |progress| line.show(progress));
    line.end();
    written.map_err(|error| {
        let nothing = format!("nothing was written to {}", output.display());
        match (interruption.code(), &error) {
            (Some(code), _) => Failure::Interrupted(format!("interrupted; {nothing}"), code),
            (None, WriteError::NoImages(report)) => {
                Failure::Failed(format!("{}{error}; {nothing}", describe(report)))
            }
            (None, _) => Failure::Failed(format!("{error}; {nothing}")),
        }
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
    let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        // Half a list has no use.
        let _ = fs::remove_file(&temporary);
        format!("{}: {error}", path.display())
    })
}

fn describe(report: &ExportReport) -> String {
    let mut text = String::new();
    for part in &report.left_out {
        text += &format!("left out {part}\n");
    }
    text += &and_more("left out", report.left_out_parts, report.left_out.len());
    for refusal in &report.refusals {
        text += &format!("refused  {refusal}\n");
    }
    text += &and_more("refused ", report.refused, report.refusals.len());
    text += &format!("images   {}\n", report.images);
    text += &format!(
        "blobs    {} ({}), {} in an earlier archive\n",
        report.blobs,
        amount(&report.bytes.into()),
        report.earlier_blobs
    );
    text += &format!("refused  {}\n", report.refused);
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
