//! The commands about stored images: each asks the running wharf at its admin listener.

mod cert;
mod client;
mod consent;
mod export;
mod failure;
mod files;
mod image_list;
mod import;
mod interruption;
mod list;
mod located;
mod offline;
mod pins;
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

use url::form_urlencoded::Serializer;

use self::table::text_of;

pub(crate) use self::cert::{CertArguments, cert};
pub(crate) use self::client::{ClientArguments, client, list as list_clients};
pub(crate) use self::export::{ExportArguments, export};
pub(crate) use self::failure::Failure;
pub(crate) use self::image_list::ImageList;
pub(crate) use self::import::{ImportArguments, import};
pub(crate) use self::list::{List, list};
pub(crate) use self::located::{Located, serve_from};
pub(crate) use self::offline::{OfflineArguments, offline};
pub(crate) use self::pins::{Change, PinArguments, change};
pub(crate) use self::prune::{Prune, prune};
pub(crate) use self::pull::{Work, work};
pub(crate) use self::purge::{Purge, purge};
pub(crate) use self::refresh::refresh;
pub(crate) use self::show::show;
pub(crate) use self::stats::stats;

fn query<V: AsRef<str>>(pairs: &[(&str, V)]) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}
