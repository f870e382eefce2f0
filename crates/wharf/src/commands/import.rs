//! `wharf import`: images of an archive or of another program's directory into the stores.

mod arguments;
mod carrier;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use archive::{ImportError, Options, Report, Source};
use policy::freshness::Replace;
use serde_json::json;

use super::failure::Failure;
use super::progress::announce;
use super::table::{amount, and_more, counted};
use crate::admin_listener::AdminListener;
use crate::config::Config;
use crate::directory::Directory;
use crate::output::print;
use crate::registry_set::NewStores;
pub(crate) use arguments::ImportArguments;
use carrier::Carrier;

/// Imports, and prints the report.
///
/// # Errors
/// [`Failure`]; also if only some images were refused.
pub(crate) fn import(config: &Config, arguments: &ImportArguments) -> Result<(), Failure> {
    let is_directory = arguments.path.is_dir();
    if arguments.names.is_some() && !is_directory {
        return Err(Failure::WrongUse("--names is for directories; an archive has its names".to_owned()));
    }
    let listener = AdminListener::find_or_make(config, arguments.url.as_ref(), NewStores::All)?;
    if let Some(directory) = listener.directory() {
        directory.measure();
    }
    let report = match listener.directory() {
        Some(directory) if is_directory => copy(directory, arguments)?,
        _ => {
            let mut carrier = Carrier::new(&listener, arguments);
            if is_directory {
                carrier.directory(&open_source(arguments)?)?
            } else {
                carrier.archive(open(&arguments.path)?)?
            }
        }
    };
    let refused = report.refused;
    if arguments.json {
        print(&format!("{}\n", json!(report)))?;
        return match refused {
            0 => Ok(()),
            _ => {
                let parts = counted(refused, "part");
                Err(Failure::Failed(format!("not imported: {parts}; `refusals` has the reasons")))
            }
        };
    }
    let text = describe(&report);
    if refused > 0 {
        return Err(Failure::Failed(text.trim_end().to_owned()));
    }
    Ok(print(&text)?)
}

fn open_source(arguments: &ImportArguments) -> Result<Source, String> {
    Source::open(&arguments.path, arguments.names.as_deref()).map_err(|error| error.to_string())
}

/// Imports a directory into the stores, which no wharf uses.
fn copy(directory: &Directory, arguments: &ImportArguments) -> Result<Report, String> {
    let replace = if arguments.replace_tags { Replace::All } else { Replace::Older };
    let options = Options {
        registry: arguments.registry.clone(),
        made_at: SystemTime::now(),
        replace,
        takes_incomplete: true,
    };
    let source = Arc::new(open_source(arguments)?);
    let report =
        directory.run(async |archives| archive::import(source, &*archives, &options, announce).await);
    report.map_err(|error| match error {
        ImportError::Target(reason) => reason,
        error => format!("{error}; run the command again to continue"),
    })
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
    text += &and_more("refused", report.refused, report.refusals.len());
    let incomplete = match report.incomplete {
        0 => String::new(),
        count => format!(" ({count} incomplete: the rest is pulled when a client asks for it)"),
    };
    text += &format!("images   {}{incomplete}\n", report.images);
    let cloned = match report.cloned_bytes {
        0 => String::new(),
        bytes => format!(", {} of it cloned", amount(&bytes.into())),
    };
    text += &format!(
        "blobs    {} copied ({}{cloned}), {} held already\n",
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
    text += &format!("refused  {}\n", report.refused);
    text
}
