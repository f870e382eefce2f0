//! Clients that Debian does not have, or only in old versions: `.ci/modern` builds them from their published
//! modules, sets their directory in `WHARF_MODERN_BIN`, and runs these tests in addition to those of the
//! older clients.

mod builds;
mod charts;
mod conformance;
mod copies;
mod engine;
mod lazy;
mod nodes;
mod referring;
mod signatures;

use std::io::{self, Write};

use crate::lab::Lab;
use crate::process::{Surroundings, modern_directory};

/// Returns true if `.ci/modern` has built these programs. Otherwise prints that the test is skipped.
fn built(programs: &[&str]) -> bool {
    let directory = modern_directory();
    let missing: Vec<_> = programs
        .iter()
        .filter(|name| directory.as_ref().is_none_or(|directory| !directory.join(name).exists()))
        .collect();
    if !missing.is_empty() {
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        // Bypasses the capture of the test runner, as for Debian's clients.
        writeln!(io::stderr(), "skipped: {test}: .ci/modern has not built {missing:?}")
            .expect("standard error can be written");
    }
    missing.is_empty()
}

/// Runs a program of `.ci/modern` to its end, and returns its output without the final line end.
fn run(surroundings: &Surroundings, program: &str, arguments: &[&str]) -> String {
    let written = surroundings.run(surroundings.command(program).args(arguments));
    String::from_utf8(written).expect("text").trim_end().to_owned()
}

/// Names through wharf: by virtual host and by a path on the bare domain.
fn names(lab: &Lab, registry: &str, repository: &str) -> [String; 2] {
    [format!("{}/{repository}", lab.vhost(registry)), format!("{}/{registry}/{repository}", lab.bare_host())]
}
