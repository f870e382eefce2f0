//! Tar archives as streams: read within bounds, because others wrote them, and written.

mod decode;
mod entries;
mod header;
mod pax;
mod transfer;

pub(crate) use decode::decoded;
pub use entries::TarError;
pub(crate) use entries::{Entries, Entry, Kind};
pub(crate) use header::{END, comment, header_of, padding_after};
pub(crate) use transfer::{Arrival, read_ahead};
