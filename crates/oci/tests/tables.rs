//! Replays the tables in `data`: what each parser accepts, what it reads there, and what it refuses.

#![expect(clippy::unwrap_used, reason = "a table that cannot be read fails its test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;

use oci::{
    Challenge, Digest, ErrorCode, MediaType, Page, RangeError, RangeRequest, Reference, Repository, Request,
    RequestError, Tag,
};

/// The text of a line with its escapes undone; `repositories.accepted.txt` says which there are.
fn unescape(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            '\\' => {
                let escaped = rest.chars().next().unwrap();
                rest = &rest[escaped.len_utf8()..];
                match escaped {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    '0' => text.push('\0'),
                    's' => text.push(' '),
                    '\\' => text.push('\\'),
                    'e' => {}
                    other => panic!("no such escape: \\{other} in {line}"),
                }
            }
            '{' => {
                let (repeat, behind) = rest.split_once('}').unwrap();
                let (unit, count) = repeat.rsplit_once('*').unwrap();
                text.push_str(&unit.repeat(count.parse().unwrap()));
                rest = behind;
            }
            other => text.push(other),
        }
    }
    text
}

fn read_lines(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    let table = std::fs::read_to_string(path).unwrap();
    let lines: Vec<String> =
        table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect();
    assert!(!lines.is_empty(), "{file} is empty");
    lines
}

/// Each line of `file` is accepted, and printing what was read gives the line again; or each is refused.
fn check_texts<T: FromStr + ToString>(file: &str, is_accepted: bool) {
    for line in read_lines(file) {
        let text = unescape(&line);
        match text.parse::<T>() {
            Ok(value) if is_accepted => assert_eq!(value.to_string(), text, "{file}: {line}"),
            Ok(_) => panic!("{file}: {line} is accepted"),
            Err(_) if is_accepted => panic!("{file}: {line} is refused"),
            Err(_) => {}
        }
    }
}

/// Each line of `file` reads `<text> => <rendering>`, and `render` gives just that.
fn check_pairs(file: &str, render: impl Fn(&str) -> String) {
    for line in read_lines(file) {
        let (text, wanted) = line.split_once(" => ").unwrap_or_else(|| panic!("{file}: no arrow in {line}"));
        assert_eq!(render(&unescape(text)), unescape(wanted), "{file}: {line}");
    }
}

fn render_request(target: &str) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    match Request::parse(path, query) {
        Ok(Request::Version) => "version".to_owned(),
        Ok(Request::Catalog { page }) => format!("catalog{}", render_page(&page)),
        Ok(Request::Manifest { repository, reference: Reference::Tag(tag) }) => {
            format!("manifest {repository} tag {tag}")
        }
        Ok(Request::Manifest { repository, reference: Reference::Digest(digest) }) => {
            format!("manifest {repository} digest {digest}")
        }
        Ok(Request::Blob { repository, digest }) => format!("blob {repository} {digest}"),
        Ok(Request::Tags { repository, page }) => format!("tags {repository}{}", render_page(&page)),
        Ok(Request::Referrers { repository, digest, artifact_type, page }) => {
            let artifact_type = artifact_type.map(|it| format!(" type={it}")).unwrap_or_default();
            format!("referrers {repository} {digest}{artifact_type}{}", render_page(&page))
        }
        Err(error) => render_refusal(error).to_owned(),
    }
}

fn render_page(page: &Page) -> String {
    let n = page.n.map(|n| format!(" n={n}")).unwrap_or_default();
    let last = page.last.as_ref().map(|last| format!(" last={last}")).unwrap_or_default();
    let cursor = page.cursor.as_ref().map(|(key, value)| format!(" {key}={value}")).unwrap_or_default();
    n + &last + &cursor
}

fn render_refusal(error: RequestError) -> &'static str {
    match (error, error.code()) {
        (RequestError::NotFound, ErrorCode::NameUnknown) => "not-found",
        (RequestError::NameInvalid(_), ErrorCode::NameInvalid) => "name",
        (RequestError::DigestInvalid(_), ErrorCode::DigestInvalid) => "digest",
        (RequestError::TagInvalid(_), ErrorCode::TagInvalid) => "tag",
        (RequestError::PathInvalid, ErrorCode::NameInvalid) => "path",
        (RequestError::QueryInvalid(_), ErrorCode::NameInvalid) => "query",
        (RequestError::QueryInvalid(_), ErrorCode::PaginationNumberInvalid) => "number",
        other => panic!("no such refusal: {other:?}"),
    }
}

fn render_range(header: &str) -> String {
    match RangeRequest::parse(header) {
        Ok(Some(range)) => match range.resolve(100) {
            Some(bytes) => format!("{}..{}", bytes.start, bytes.end),
            None => "nothing".to_owned(),
        },
        Ok(None) => "ignored".to_owned(),
        Err(RangeError::Multiple) => "several".to_owned(),
    }
}

fn render_challenges(header: &str) -> String {
    let render = |challenge: &Challenge| {
        let (scheme, parameters) = match challenge {
            Challenge::Basic { realm } => ("basic", vec![("realm", realm.clone())]),
            Challenge::Bearer { realm, service, scope, error } => {
                let realm = ("realm", Some(realm.clone()));
                let rest = [("service", service), ("scope", scope), ("error", error)];
                let rest = rest.into_iter().map(|(name, value)| (name, value.clone()));
                ("bearer", [realm].into_iter().chain(rest).collect())
            }
        };
        let given = parameters.into_iter().filter_map(|(name, value)| Some(format!(" {name}={}", value?)));
        scheme.to_owned() + &given.collect::<String>()
    };
    Challenge::parse_all(header).iter().map(render).collect::<Vec<_>>().join(" | ")
}

#[test]
fn every_table_holds() {
    check_texts::<Repository>("repositories.accepted.txt", true);
    check_texts::<Repository>("repositories.refused.txt", false);
    check_texts::<Tag>("tags.accepted.txt", true);
    check_texts::<Reference>("tags.accepted.txt", true);
    check_texts::<Tag>("tags.refused.txt", false);
    check_texts::<Reference>("tags.refused.txt", false);
    check_texts::<Digest>("digests.accepted.txt", true);
    check_texts::<Reference>("digests.accepted.txt", true);
    check_texts::<Digest>("digests.refused.txt", false);
    check_texts::<MediaType>("media_types.accepted.txt", true);
    check_texts::<MediaType>("media_types.refused.txt", false);
    check_pairs("requests.accepted.txt", render_request);
    check_pairs("requests.refused.txt", render_request);
    check_pairs("ranges.accepted.txt", render_range);
    check_pairs("ranges.refused.txt", render_range);
    check_pairs("challenges.accepted.txt", render_challenges);
    for line in read_lines("challenges.refused.txt") {
        assert_eq!(render_challenges(&unescape(&line)), "", "{line}");
    }
}

/// A table that nothing replays would prove nothing.
#[test]
fn every_table_is_replayed() {
    let source = include_str!("tables.rs");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let files: BTreeSet<String> = std::fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!files.is_empty());
    for file in files {
        assert!(source.contains(&format!("(\"{file}\"")), "nothing replays {file}");
    }
}
