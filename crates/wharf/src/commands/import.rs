//! `wharf import`: images of an archive or of another registry's directory into the stores.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use archive::{Options, Progress, Report, Source};
use policy::freshness::Replace;
use serde_json::json;
use url::Url;

use super::failure::Failure;
use super::progress::ProgressLine;
use super::query;
use super::table::amount;
use crate::admin_listener::AdminListener;
use crate::config::Config;
use crate::directory::Directory;
use crate::exchange::Socket;
use crate::output::print;

/// Bytes sent at once.
const PIECE_BYTES: usize = 256 * 1024;

/// The bound on a report, in bytes.
const REPORT_BYTES_MAX: u64 = 64 << 20;

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
    /// The admin listener of the running wharf, http://HOST:PORT; by default the one in the configuration
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
    /// Replace tags of which the store knows something newer, too
    #[arg(long)]
    replace_tags: bool,
    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// Imports, and prints the report.
///
/// # Errors
/// [`Failure`]; also if only some images were refused.
pub(crate) fn import(config: &Config, arguments: &ImportArguments) -> Result<(), Failure> {
    let listener = AdminListener::find_or_make(config, arguments.url.as_ref())?;
    let report = if !arguments.path.is_dir() {
        send(&listener, arguments)?
    } else if let Some(directory) = listener.directory() {
        copy(directory, arguments)?
    } else {
        return Err(Failure::Failed(format!(
            "a running wharf uses the store and takes archives only; stop it to import the directory {0}, or, \
             if that is an OCI image layout, pack it: tar -C {0} -cf layout.tar .",
            arguments.path.display()
        )));
    };
    let refused = report.refusals.len();
    if arguments.json {
        print(&format!("{}\n", json!(report)))?;
        return match refused {
            0 => Ok(()),
            _ => Err(Failure::Failed(format!("{refused} parts were refused; `refusals` names them"))),
        };
    }
    let text = describe(&report);
    if refused > 0 {
        return Err(Failure::Failed(text.trim_end().to_owned()));
    }
    Ok(print(&text)?)
}

/// Imports a directory.
fn copy(directory: &Directory, arguments: &ImportArguments) -> Result<Report, String> {
    let say = |image: &str| {
        // The report at the end matters, not this.
        let _ = writeln!(io::stderr(), "importing {image}");
    };
    let replace = if arguments.replace_tags { Replace::All } else { Replace::Older };
    let options = Options { registry: arguments.registry.clone(), made_at: SystemTime::now(), replace };
    let source = Arc::new(Source::open(&arguments.path).map_err(|error| error.to_string())?);
    let report = directory.run(async |archives| archive::import(source, &*archives, &options, say).await);
    report.map_err(|error| format!("{error}; run the command again to continue"))
}

/// Sends an archive to the admin listener.
fn send(listener: &AdminListener, arguments: &ImportArguments) -> Result<Report, String> {
    let path = &arguments.path;
    let mut parameters: Vec<_> = arguments.registry.iter().map(|name| ("registry", name.as_str())).collect();
    parameters.extend(arguments.replace_tags.then_some(("replace_tags", "true")));
    let target = format!("/api/import?{}", query(&parameters));
    let mut input = open(path)?;
    let framing = "Transfer-Encoding: chunked\r\nContent-Type: application/x-tar";
    let send = |socket: &mut Socket| {
        let mut line = ProgressLine::new();
        let (mut piece, mut progress) = (vec![0; PIECE_BYTES], Progress::default());
        progress.total = path.metadata().map_or(0, |metadata| metadata.len());
        loop {
            let len = input.read(&mut piece)?;
            write!(socket, "{len:x}\r\n")?;
            socket.write_all(&piece[..len])?;
            socket.write_all(b"\r\n")?;
            if len == 0 {
                line.end();
                return Ok(());
            }
            progress.done += len as u64;
            line.show(progress);
        }
    };
    let answer = listener.stream("POST", &target, framing, send)?;
    if answer.status != 200 {
        return Err(listener.reason_of(answer));
    }
    let report = serde_json::from_reader(answer.content.take(REPORT_BYTES_MAX));
    report.map_err(|error| format!("the answer is not readable: {error}"))
}

fn open(path: &Path) -> Result<Box<dyn Read>, String> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Box::new(file))
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
    for kept in &report.kept {
        text += &format!("kept     {kept}\n");
    }
    let (written, held, kept) = (report.tags, report.held_tags, report.kept_tags);
    text += &format!("tags     {written} written, {held} held already, {kept} kept");
    if kept > 0 {
        text += " (wharf knows something newer than the archive; `--replace-tags` takes the archive's)";
    }
    text += "\n";
    text += &format!("refused  {}\n", report.refusals.len());
    text
}
