//! How long a file may be, what it may be called, what it may not contain.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

use crate::tree;

/// The longest source file, in lines; tests apart.
const FILE_LINES_MAX: usize = 600;

/// The files that may hold `unsafe`, each block with its proof.
const MAY_BE_UNSAFE: &[&str] = &[];

#[test]
fn no_source_file_is_too_long_to_read_in_one_sitting() {
    let files = tree::files("crates", "rs").into_iter().filter(|(path, _)| !tree::is_test(path));
    let long: Vec<_> = files
        .map(|(path, text)| (text.lines().count(), path))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

/// The widest line, in characters: rustfmt's `max_width`, which it does not apply to comments and macros.
const LINE_CHARACTERS_MAX: usize = 110;

#[test]
fn no_line_is_wider_than_rustfmt_is_told() {
    let mut wide = Vec::new();
    for (path, text) in tree::files("crates", "rs") {
        for (index, line) in text.lines().enumerate() {
            if without_strings(line).chars().count() > LINE_CHARACTERS_MAX {
                wide.push(format!("{path}:{}", index + 1));
            }
        }
    }
    assert!(wide.is_empty(), "{wide:#?}");
}

/// The line with its string literals emptied: rustfmt breaks none, and neither do we where a test compares
/// one.
fn without_strings(line: &str) -> String {
    let (mut kept, mut is_in_string) = (String::new(), false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if is_in_string => drop(characters.next()),
            '"' => {
                is_in_string = !is_in_string;
                kept.push('"');
            }
            '/' if !is_in_string && characters.as_str().starts_with('/') => {
                kept.push('/');
                kept.push_str(characters.as_str());
                break;
            }
            _ if is_in_string => {}
            other => kept.push(other),
        }
    }
    kept
}

#[test]
fn a_wide_string_does_not_make_a_wide_line() {
    assert_eq!(without_strings(r#"call("a \" b", x); // "c""#), r#"call("", x); // "c""#);
    assert_eq!(without_strings(r#""open and \"#), "\"");
    assert_eq!(without_strings("    // https://example"), "    // https://example");
}

#[test]
fn no_documentation_has_code_that_no_test_would_run() {
    let mut fenced = Vec::new();
    for (path, text) in tree::files("crates", "rs") {
        let mut is_open = false;
        for (index, line) in text.lines().enumerate() {
            let comment = line.trim_start().strip_prefix("///").or(line.trim_start().strip_prefix("//!"));
            let Some(language) = comment.and_then(|it| it.trim_start().strip_prefix("```")) else { continue };
            is_open = !is_open;
            if is_open && language != "text" {
                fenced.push(format!("{path}:{}", index + 1));
            }
        }
    }
    assert!(fenced.is_empty(), ".ci/test runs no examples in documentation: {fenced:#?}");
}

/// The most fields of a struct.
const FIELD_COUNT_MAX: usize = 12;

/// Structs with more, each with the reason.
const MAY_BE_WIDE: &[(&str, &str)] = &[
    ("crates/cache/src/settings.rs: Settings", "one setting each, read and never changed"),
    ("crates/server/src/access_log.rs: Entry", "one field of the access line each"),
    ("crates/server/src/settings.rs: Settings", "one setting each, read and never changed"),
    ("crates/telemetry/src/metrics.rs: ProcessMetrics", "one metric each"),
    ("crates/telemetry/src/registry_metrics.rs: RegistryMetrics", "one metric each"),
    ("crates/wharf/src/config.rs: Config", "one part of the configuration each, read and never changed"),
    ("crates/wharf/src/config/process.rs: ServerSection", "one key each"),
    ("crates/wharf/src/config/registry.rs: Rules", "one key each"),
    ("crates/wharf/src/log/short.rs: Request", "one field of the access line each"),
];

#[test]
fn no_struct_is_a_record_of_everything() {
    let mut wide = Vec::new();
    for (path, text) in tree::files("crates", "rs").into_iter().filter(|(path, _)| !tree::is_test(path)) {
        if ["bench", "fuzz", "properties", "tidy"].contains(&tree::crate_of(&path)) {
            continue;
        }
        for (name, count) in structs(text.parse().unwrap_or_else(|error| panic!("{path}: {error}"))) {
            let full_name = format!("{path}: {name}");
            if count > FIELD_COUNT_MAX && !MAY_BE_WIDE.iter().any(|(listed, _)| *listed == full_name) {
                wide.push(format!("{full_name} has {count} fields"));
            }
        }
    }
    assert!(wide.is_empty(), "{wide:#?}");
}

/// The structs with named fields, at any depth, with how many each has.
fn structs(tokens: TokenStream) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "struct" => {
                let name = tokens.next().expect("a name").to_string();
                for token in tokens.by_ref() {
                    match token {
                        TokenTree::Punct(end) if end.as_char() == ';' => break,
                        TokenTree::Group(fields) if fields.delimiter() == Delimiter::Brace => {
                            found.push((name, field_count(fields.stream())));
                            break;
                        }
                        _ => {}
                    }
                }
            }
            TokenTree::Group(group) => found.extend(structs(group.stream())),
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    found
}

/// A field's name is followed by a colon that stands alone; one in a path has another beside it.
fn field_count(fields: TokenStream) -> usize {
    let (mut count, mut was_joint) = (0, false);
    for token in fields {
        let TokenTree::Punct(mark) = token else {
            was_joint = false;
            continue;
        };
        let is_joint = mark.spacing() == Spacing::Joint;
        count += usize::from(mark.as_char() == ':' && !is_joint && !was_joint);
        was_joint = is_joint;
    }
    count
}

#[test]
fn fields_are_counted_whatever_their_types_are() {
    let count = |text: &str| structs(text.parse().expect("Rust"));
    assert_eq!(count("struct A { a: b::C, pub(crate) d: Vec<e::F>, }"), [("A".to_owned(), 2)]);
    assert_eq!(
        count("struct A; struct B(u8); mod m { struct C<T: D> where T: E { #[f] g: &'static h::I } }"),
        [("C".to_owned(), 1)]
    );
}

#[test]
fn no_module_is_named_after_nothing() {
    let banned = ["utils", "util", "helpers", "helper", "common", "misc", "types", "manager", "mod"];
    let named: Vec<_> = tree::files("crates", "rs")
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| {
            let stem = path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
            banned.contains(&stem)
        })
        .collect();
    assert!(named.is_empty(), "{named:#?}");
}

#[test]
fn every_source_file_says_what_it_is() {
    let silent: Vec<_> = tree::files("crates", "rs")
        .into_iter()
        .filter(|(path, text)| !tree::is_test(path) && !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

/// The one place that may: it asks a daemon which is not ours, with growing pauses, whether it is ready.
const MAY_WAIT: &str = "crates/wharf/tests/clients/process.rs";

#[test]
fn no_test_waits_by_the_clock() {
    let waits: Vec<_> = tree::files("crates", "rs")
        .into_iter()
        .filter(|(path, _)| path.contains("/tests") && !path.starts_with("crates/tidy/") && path != MAY_WAIT)
        .flat_map(|(path, text)| {
            let lines = text.lines().enumerate().filter(|(_, line)| line.contains("thread::sleep("));
            lines.map(|(number, _)| format!("{path}:{}", number + 1)).collect::<Vec<_>>()
        })
        .collect();
    assert!(waits.is_empty(), "{waits:#?}");
}

#[test]
fn unsafe_code_lives_in_its_one_room() {
    let found: Vec<_> = tree::files("crates", "rs")
        .into_iter()
        .filter(|(path, _)| !MAY_BE_UNSAFE.contains(&path.as_str()) && !path.starts_with("crates/tidy/"))
        .filter(|(_, text)| {
            text.contains("unsafe {") || text.contains("unsafe fn") || text.contains("unsafe impl")
        })
        .map(|(path, _)| path)
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}
