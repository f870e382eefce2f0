//! `wharf import`: images of an archive or of another registry's directory into the stores.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use archive::{Options, Progress, Report, Source};
use url::Url;

use super::progress::ProgressLine;
use super::stores_at_rest::{NotOpen, StoresAtRest};
use super::table::amount;
use super::{NO_LISTENER, query, reason_of};
use crate::admin_listener::AdminListener;
use crate::config::Config;
use crate::exchange::Socket;

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
}

/// Imports. Returns the report for the operator.
///
/// # Errors
/// The reason for the operator, with the report as far as the import came.
pub(crate) fn import(config: &Config, arguments: &ImportArguments) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    let registry = arguments.registry.as_deref();
    let opened = match arguments.url {
        Some(_) => Err(NotOpen::Running),
        None => runtime.block_on(StoresAtRest::open(config, registry)),
    };
    match opened {
        Ok(stores) => runtime.block_on(into_stores(&stores, arguments)),
        Err(NotOpen::Running) => into_server(config, arguments),
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
    outcome(&report)
}

/// Sends the archive to the running wharf.
fn into_server(config: &Config, arguments: &ImportArguments) -> Result<String, String> {
    let path = &arguments.path;
    if path.is_dir() {
        return Err(format!(
            "a running wharf uses the store and takes archives only; stop it to import the directory {0}, or, if \
             that is an OCI image layout, pack it: tar -C {0} -cf layout.tar .",
            path.display()
        ));
    }
    let listener = AdminListener::find(config, arguments.url.as_ref(), NO_LISTENER)?;
    let parameters: Vec<_> = arguments.registry.iter().map(|name| ("registry", name.as_str())).collect();
    let target = format!("/api/import?{}", query(&parameters));
    let (mut input, _) = open(path)?;
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
        return Err(reason_of(answer));
    }
    let report = serde_json::from_reader(answer.content.take(REPORT_BYTES_MAX));
    outcome(&report.map_err(|error| format!("the answer is not readable: {error}"))?)
}

fn outcome(report: &Report) -> Result<String, String> {
    let text = describe(report);
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
