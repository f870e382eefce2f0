//! What we build on may be given away with the program, and some of it may not be there at all.

use std::collections::BTreeSet;
use std::process::Command;

use crate::tree;

/// Licences under which anybody may use, change and pass on the program (SPDX identifiers).
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that must not be there, each with the reason.
const BANNED: &[(&str, &str)] = &[
    ("native-tls", "TLS is rustls, here and in what we use"),
    ("openssl-sys", "TLS is rustls, and nothing is linked from the system"),
    ("ring", "one library for cryptography, aws-lc-rs, is enough to keep up to date"),
    ("serde_yaml", "it is given up by its author"),
];

#[test]
fn every_dependency_may_be_given_away_and_none_is_banned() {
    let mut complaints = Vec::new();
    for (name, licence) in packages() {
        if !is_allowed(&licence) {
            complaints.push(format!("{name} is under {licence:?}"));
        }
        if let Some((_, reason)) = BANNED.iter().find(|(banned, _)| name.split(' ').next() == Some(banned)) {
            complaints.push(format!("{name} is there: {reason}"));
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// Everything from outside that a build or a test on this kind of machine takes in, with its licence; nothing
/// is fetched for that.
fn packages() -> BTreeSet<(String, String)> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(tree::root()).args(["tree", "--workspace", "--locked", "--offline"]);
    let output = command.args(["--prefix=none", "--format={p}\t{l}"]).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("text");
    let packages = lines.lines().filter_map(|line| line.trim_end_matches(" (*)").split_once('\t'));
    // Ours stand with the folder that they lie in.
    let foreign = packages.filter(|(package, _)| !package.contains(" (/"));
    let found: BTreeSet<_> =
        foreign.map(|(package, licence)| (package.to_owned(), licence.to_owned())).collect();
    assert!(found.len() > 100, "only {} packages", found.len());
    found
}

/// Whether an SPDX expression leaves a choice of allowed licences only.
fn is_allowed(expression: &str) -> bool {
    // The slash is how crates wrote OR before SPDX.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>) -> bool {
    let mut is_allowed = all_of(words);
    while words.next_if_eq(&"OR").is_some() {
        is_allowed |= all_of(words);
    }
    is_allowed
}

fn all_of(words: &mut Words<'_>) -> bool {
    let mut is_allowed = one(words);
    while words.next_if_eq(&"AND").is_some() {
        is_allowed &= one(words);
    }
    is_allowed
}

fn one(words: &mut Words<'_>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let is_allowed = any_of(words);
        return words.next() == Some(")") && is_allowed;
    }
    let Some(mut licence) = words.next().map(str::to_owned) else { return false };
    if words.next_if_eq(&"WITH").is_some() {
        licence = format!("{licence} WITH {}", words.next().unwrap_or_default());
    }
    ALLOWED.contains(&licence.as_str())
}

#[test]
fn expressions_of_licences_are_read_as_spdx_means_them() {
    for (expression, expected) in [
        ("MIT", true),
        ("", false),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only AND MIT", false),
        ("MIT/Apache-2.0", true),
        ("(MIT OR GPL-3.0-only) AND ISC", true),
        ("MIT OR ISC AND GPL-3.0-only", true),
        ("ISC AND (GPL-3.0-only OR AGPL-3.0-only)", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("GPL-2.0-only WITH Classpath-exception-2.0", false),
        ("(MIT", false),
        ("MIT ISC", false),
    ] {
        assert_eq!(is_allowed(expression), expected, "{expression:?}");
    }
}
