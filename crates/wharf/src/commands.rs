//! The commands about stored images: each asks the running wharf at its admin listener.

mod cert;
mod consent;
mod export;
mod failure;
mod image_list;
mod import;
mod interruption;
mod list;
mod located;
mod offline;
mod progress;
mod prune;
mod pull;
mod pull_progress;
mod purge;
mod refresh;
mod selector;
mod show;
mod stats;
mod table;
mod unknown;

use std::fmt::Write as _;

use oci::Reference;
use policy::image::ImageName;
use url::Url;
use url::form_urlencoded::Serializer;

use self::table::text_of;
use crate::admin_listener::AdminListener;
use crate::config::Config;
use crate::registry_set::NewStores;

pub(crate) use self::cert::{CertArguments, cert};
pub(crate) use self::export::{ExportArguments, export};
pub(crate) use self::failure::Failure;
pub(crate) use self::image_list::ImageList;
pub(crate) use self::import::{ImportArguments, import};
pub(crate) use self::list::{List, list};
pub(crate) use self::located::{Located, serve_from};
pub(crate) use self::offline::{OfflineArguments, offline};
pub(crate) use self::prune::{Prune, prune};
pub(crate) use self::pull::{Work, work};
pub(crate) use self::purge::{Purge, purge};
pub(crate) use self::refresh::refresh;
pub(crate) use self::show::show;
pub(crate) use self::stats::stats;

/// The change that a command makes to images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Pin,
    Unpin,
}

/// The results of a command for several images.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// A line for each image that was changed.
    pub(crate) done: String,
    /// A line for each image that was not.
    pub(crate) failed: String,
}

/// `wharf pin` and `wharf unpin`: changes each image, and goes on after a failure.
///
/// # Errors
/// A line for the operator if no request could be sent.
pub(crate) fn change(
    config: &Config,
    url: Option<&Url>,
    images: &[ImageName],
    change: Change,
) -> Result<Results, String> {
    // A store notes its pins, so one that does not exist is made for an image that is not pulled yet.
    let located = images.iter().filter_map(|image| Located::find(image, &config.registries).ok());
    let located = located.filter(|located| matches!(located.reference, Reference::Digest(_)));
    let new_stores = match change {
        Change::Pin => NewStores::Of(located.map(|located| located.registry.to_owned()).collect()),
        Change::Unpin => NewStores::none(),
    };
    let listener = AdminListener::find_or_make(config, url, new_stores)?;
    let mut results = Results::default();
    for image in images {
        let (out, line) = match change_one(config, &listener, image, change) {
            Ok(line) => (&mut results.done, line),
            Err(line) => (&mut results.failed, line),
        };
        let _ = writeln!(out, "{image}: {line}");
    }
    Ok(results)
}

fn change_one(
    config: &Config,
    listener: &AdminListener,
    image: &ImageName,
    change: Change,
) -> Result<String, String> {
    let pairs = Located::find(image, &config.registries)?.parameters();
    let method = match change {
        Change::Pin => "PUT",
        Change::Unpin => "DELETE",
    };
    let (_, document) = listener.request(method, &format!("/api/pins?{}", query(&pairs)))?;
    let digest = text_of(&document["digest"]);
    let line = match (change, document["changed"] == true) {
        (Change::Pin, true) => format!("pinned ({digest})"),
        (Change::Pin, false) => format!("was pinned already ({digest})"),
        (Change::Unpin, true) => format!("no longer pinned ({digest})"),
        (Change::Unpin, false) => format!("was not pinned ({digest})"),
    };
    let is_ahead = change == Change::Pin && document["held"] == false;
    Ok(if is_ahead { line + "; wharf does not hold it, and keeps it once it is pulled" } else { line })
}

fn query<V: AsRef<str>>(pairs: &[(&str, V)]) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}
