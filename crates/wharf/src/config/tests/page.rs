//! The tables of `docs/reference/configuration.md` and the schema follow the declarations.
//! `WHARF_WRITE_PAGES=1 cargo test -p wharf page` writes both.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::key::{Group, Section};
use crate::config::keys::SECTIONS;
use crate::config::keys::credentials::CREDENTIALS;
use crate::config::{Declared, Preset, Shape, Unit};

/// Marks the end of a table. The mark at its start names the section and the first key.
const END: &str = "<!-- end of keys -->";

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name)
}

/// Asserts that the file holds `expected`, or writes it if the variable is set.
fn check(name: &str, expected: &str) {
    let path = reference(name);
    if std::env::var_os("WHARF_WRITE_PAGES").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let line = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    let told = "run `WHARF_WRITE_PAGES=1 cargo test -p wharf page` and look at what it changes";
    assert!(found == expected, "docs/reference/{name} is not what the keys say: {line:#?}; {told}");
}

#[test]
fn the_tables_of_the_reference_page_are_the_declarations() {
    let mut page = fs::read_to_string(reference("configuration.md")).unwrap();
    let sections = || SECTIONS.into_iter().chain([&CREDENTIALS]);
    for section in sections() {
        for group in section.groups {
            let begin = format!("<!-- keys: {}.{} -->\n", section.name, group.keys[0].name());
            let (before, rest) =
                page.split_once(&begin).unwrap_or_else(|| panic!("the page has no line {begin:?}"));
            let (_, after) = rest.split_once(END).expect("each table has an end");
            page = format!("{before}{begin}\n{}\n{END}{after}", table(section, group));
        }
    }
    let marks = sections().map(|section| section.groups.len()).sum::<usize>();
    assert_eq!(page.matches("<!-- keys: ").count(), marks, "no table is there twice");
    check("configuration.md", &page);
}

#[test]
fn the_schema_of_the_reference_is_what_the_program_prints() {
    check("wharf.schema.json", &crate::schema::text());
}

fn table(section: &Section, group: &Group) -> String {
    let mut table =
        "| key | type | default | after a change | meaning |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for key in group.keys {
        let (name, kind, default) = (key.name(), words(key.shape()), default(*key));
        let change = if key.is_reloadable() { "reload" } else { "restart" };
        assert!(key.doc().ends_with('.'), "{}.{name} is described by a sentence", section.name);
        table.push_str(&format!("| `{name}` | {kind} | {default} | {change} | {} |\n", key.doc()));
    }
    table
}

fn default(key: &dyn Declared) -> String {
    let written = |text: &str| match key.shape() {
        Shape::Flag | Shape::Count { .. } => format!("`{text}`"),
        Shape::List(_) | Shape::OrOff(Shape::List(_)) => format!("`[\"{text}\"]`"),
        _ => format!("`\"{text}\"`"),
    };
    match key.default() {
        Preset::Value(text) => written(&text),
        Preset::Written(text) => written(text),
        Preset::Computed(words) => words.to_owned(),
        Preset::Absent => "none".to_owned(),
        Preset::Required => "required".to_owned(),
    }
}

/// The name of a shape for people.
fn words(shape: Shape) -> String {
    let alone = match shape {
        Shape::Text | Shape::Secret => "string",
        Shape::Host => "host name",
        Shape::Authority => "host or host:port",
        Shape::Registry => "registry name or alias",
        Shape::Upstream | Shape::Proxy => "URL",
        Shape::Address => "address",
        Shape::AddressOrSocket => "address, `\"unix:/PATH\"`",
        Shape::Mode => "permissions",
        Shape::Path => "path",
        Shape::Flag => "true or false",
        Shape::Count { unit: Unit::Bytes, .. } => "bytes",
        Shape::Count { min, max, .. } if max <= 1000 => return format!("{min} to {max}"),
        Shape::Count { .. } => "count",
        Shape::Time { may_be_forever: true, .. } => "time or `\"forever\"`",
        Shape::Time { may_be_zero: true, .. } => "time",
        Shape::Time { .. } => "time, not zero",
        Shape::Size => "size",
        Shape::Rate => "bytes per second",
        Shape::Images => "pattern",
        Shape::TagRules | Shape::AccessRules => "list of rules",
        Shape::Network => "address or network",
        Shape::NoProxy => "host, address or network",
        Shape::Repositories => "pattern",
        Shape::Certificates => "list of certificates",
        Shape::Credentials => "source or list of rules",
        Shape::CredentialSource => "source",
        Shape::Word(words) => {
            let words: Vec<String> = words().iter().map(|word| format!("`\"{word}\"`")).collect();
            let (last, others) = words.split_last().expect("a choice has words");
            return format!("{} or {last}", others.join(", "));
        }
        Shape::List(Shape::Host) => "list of host names",
        Shape::List(Shape::Upstream) => "URL, or list of URLs",
        Shape::List(Shape::Address) => "list of addresses",
        Shape::List(Shape::Images | Shape::Repositories) => "list of patterns",
        Shape::List(Shape::NoProxy) => "list of hosts, addresses and networks",
        Shape::List(Shape::Network) => "list of addresses and networks",
        Shape::List(item) => return format!("list of {}", words(*item)),
        Shape::OrOff(inner) => return format!("{} or `\"off\"`", words(*inner)),
    };
    alone.to_owned()
}
