//! Why an image is not in the store as a whole.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use oci::Platform;

use crate::error::PullError;
use crate::store_health::WriteTrouble;

/// The reasons why an image is not in the store as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WarmError {
    /// A part of it could not be pulled.
    Pull(PullError),
    /// The image has none of the chosen platforms, but these.
    NoPlatform(Vec<Platform>),
    /// It does not fit beside what must stay. In bytes.
    NoRoom(u64),
    /// The store did not take it.
    NotStored {
        /// The registry's name.
        registry: Arc<str>,
        /// The reason, if a call of the store failed meanwhile.
        trouble: Option<WriteTrouble>,
    },
    /// Parts of it were removed again while the others were fetched, each time.
    Removed,
    /// Its tag named another image each time that its image was complete.
    Moved,
    /// One of its manifests cannot be read.
    Unreadable,
    /// Something that is attached to it is not here.
    Referrer {
        /// Its digest or tag.
        what: String,
        /// Why it is not here.
        why: Box<WarmError>,
    },
}

impl fmt::Display for WarmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pull(error) => error.fmt(f),
            Self::NoPlatform(offered) => {
                let offered: Vec<String> = offered.iter().map(ToString::to_string).collect();
                let offered = offered.join(", ");
                write!(f, "the image is not for the chosen platforms, but for {offered}; choose among those")
            }
            Self::NoRoom(bytes) => write!(
                f,
                "the store has no room for its missing {bytes} bytes beside the images that must stay: \
                 those that were warmed with it, pinned ones, and those that were used in the last 10 \
                 minutes; free disk space, raise max_size, or list fewer images or platforms"
            ),
            Self::NotStored { registry, trouble: Some(trouble) } => {
                write!(f, "the store of {registry} did not take it: {trouble}; {}", trouble.advice())
            }
            Self::NotStored { registry, trouble: None } => {
                write!(f, "the store of {registry} did not take it; wharf's log says why")
            }
            Self::Removed => f.write_str(
                "parts of it were removed again while it was fetched, by a purge, a prune or to make room; \
                 try again when that is over",
            ),
            Self::Moved => {
                f.write_str("its tag moved again and again while it was fetched; try again in a while")
            }
            Self::Unreadable => f.write_str("one of its manifests cannot be read or names too much"),
            Self::Referrer { what, why } => {
                write!(f, "not everything that is attached to it is here: {what}: {why}")
            }
        }
    }
}

impl Error for WarmError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Pull(error) => error.source(),
            Self::Referrer { why, .. } => why.source(),
            _ => None,
        }
    }
}
