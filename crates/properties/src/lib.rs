//! Properties that hold for every input of the parsers of foreign bytes: from clients, from upstreams, and on
//! disk.
//!
//! Each module has one function `check`, which takes any bytes and panics when a property does not hold. The
//! ordinary tests replay the inputs in `crates/fuzz/corpus`; `.ci/fuzz` searches for more. Important rules
//! are implemented here a second time, so that one mistake cannot hide in both places.

pub mod bolt;
pub mod challenge;
pub mod header;
pub mod host;
pub mod link;
pub mod location;
pub mod manifest;
pub mod name;
pub mod realm;
pub mod request;
pub mod stored;
pub mod tarball;
pub mod token;

/// A check of one input.
pub type Check = fn(&[u8]);

/// Every check by the name of its folder in the corpus.
pub const CHECKS: [(&str, Check); 13] = [
    ("bolt", bolt::check),
    ("challenge", challenge::check),
    ("header", header::check),
    ("host", host::check),
    ("link", link::check),
    ("location", location::check),
    ("manifest", manifest::check),
    ("name", name::check),
    ("realm", realm::check),
    ("request", request::check),
    ("stored", stored::check),
    ("tarball", tarball::check),
    ("token", token::check),
];

/// The first line and the rest.
fn split_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}
