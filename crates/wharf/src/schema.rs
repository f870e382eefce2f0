//! The JSON Schema of the configuration (draft-07), from which editors complete and check a `wharf.toml`.
//!
//! It follows from the declarations of the keys. It describes each value's shape and no relation between
//! values, so `wharf check` finds more mistakes.

use serde_json::{Map, Value, json};

use crate::config::access_rules::{ADDRESSES, NAMES, REPOSITORY_KEYS};
use crate::config::credential_rules::kind_words;
use crate::config::keys::SECTIONS;
use crate::config::keys::access::ACCESS;
use crate::config::keys::credentials::CREDENTIALS;
use crate::config::pairs::{CERT_FILE, KEY_FILE};
use crate::config::tag_rules::{PATTERN, TTL};
use crate::config::{Declared, Preset, Section, Shape, Unit};

/// A text with a variable may have any value.
const VARIABLE: &str = r".*\$\{.*";

const ADDRESS: &str = r"(?:[0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]+";
const SOCKET_FILE: &str = r"unix:/.+";
const MODE: &str = r"0?[67][0-7]{2}";
const HOST: &str = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?";
const AUTHORITY: &str = r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?";
const UPSTREAM: &str = r"https?://[^@?#\s]+";
const PROXY: &str = r"(?:https?|socks5h?)://[^\s]+";
/// Only a shell expands `~`.
const PATH: &str = r"[^~].*";
const TIME: &str = r"(?:[0-9]+(?:ms|s|m|h|d))+";
const RATE: &str = r"[0-9]+(?:\.[0-9]{1,3})? ?(?:[kKMGTP]?B|[KMGTP]iB)(?: ?/s)?";
const SIZE: &str = r"[0-9]+(?:\.[0-9]{1,3})? ?(?:[kKMGTP]?B|[KMGTP]iB)|(?:[1-9][0-9]?|100) ?%";
const IMAGES: &str = r"[A-Za-z0-9/._*?-]+(?::[A-Za-z0-9._*?-]+)?";
const REPOSITORIES: &str = r"[A-Za-z0-9/.:_*?-]+";
const NO_PROXY: &str = r"[0-9A-Za-z.:/_*\[\]-]+";
const NETWORK: &str = r"[0-9A-Fa-f.:]+(?:/[0-9]{1,3})?";
const TAGS: &str = r"(?:[A-Za-z0-9/._*?-]+:)?[A-Za-z0-9._*?-]+";
const TIME_BUT_ZERO: &str = r"(?:0+(?:ms|s|m|h|d))*0*[1-9][0-9]*(?:ms|s|m|h|d)(?:[0-9]+(?:ms|s|m|h|d))*";

/// The whole schema.
pub(crate) fn schema() -> Value {
    let mut top = Map::new();
    for section in SECTIONS {
        let (mut table, name) = (table_of(section), section.name);
        match name.split_once('.') {
            Some((outer, inner)) => top[outer]["properties"][inner] = table,
            None if name == "registry" => {
                top.insert("defaults".to_owned(), defaults_of(section));
                table["description"] = json!("One registry that wharf caches.");
                table["properties"][ACCESS.name] = table_of(&ACCESS);
                let list = json!({ "type": "array", "minItems": 1, "items": table });
                top.insert(name.to_owned(), with_description(list, section.doc));
            }
            None => {
                top.insert(name.to_owned(), table);
            }
        }
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "wharf.toml",
        "description": "The configuration of wharf, a pull-through cache for container registries.",
        "type": "object",
        "additionalProperties": false,
        "properties": top,
    })
}

/// The schema as `wharf check --schema` prints it.
pub(crate) fn text() -> String {
    serde_json::to_string_pretty(&schema()).expect("a value in memory can be written") + "\n"
}

fn table_of(section: &Section) -> Value {
    let required: Vec<&str> = section
        .keys()
        .filter(|key| matches!(key.default(), Preset::Required))
        .map(|key| key.name())
        .collect();
    let mut table = object(section.keys(), section.doc);
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

fn defaults_of(registry: &Section) -> Value {
    object(registry.shared_keys(), "Defaults for all registries, which each registry can override.")
}

fn object(keys: impl Iterator<Item = &'static dyn Declared>, doc: &str) -> Value {
    let properties: Map<String, Value> = keys.map(|key| (key.name().to_owned(), property(key))).collect();
    let table = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    with_description(table, doc)
}

fn with_description(mut value: Value, doc: &str) -> Value {
    value["description"] = json!(plain(doc));
    value
}

fn property(key: &dyn Declared) -> Value {
    let mut property = value_of(key.shape());
    let mut description = plain(key.doc());
    match key.default() {
        Preset::Value(text) => property["default"] = default_of(key.shape(), &text),
        Preset::Written(text) => property["default"] = default_of(key.shape(), text),
        Preset::Computed(words) => description.push_str(&format!(" Default: {}.", plain(words))),
        Preset::Absent | Preset::Required => {}
    }
    if let Shape::Count { unit: Unit::Bytes, .. } = key.shape() {
        description.push_str(" Unit: bytes.");
    }
    if !key.is_reloadable() {
        description.push_str(" A change needs a restart.");
    }
    property["description"] = json!(description);
    property
}

fn value_of(shape: Shape) -> Value {
    match shape {
        Shape::Text | Shape::Secret => json!({ "type": "string" }),
        Shape::Host => pattern(HOST, true),
        Shape::Authority => pattern(AUTHORITY, false),
        Shape::Registry => pattern(AUTHORITY, true),
        Shape::Upstream => pattern(UPSTREAM, false),
        Shape::Proxy => pattern(PROXY, true),
        Shape::Address => pattern(ADDRESS, false),
        Shape::AddressOrSocket => pattern(&format!("{ADDRESS}|{SOCKET_FILE}"), false),
        Shape::Mode => pattern(MODE, false),
        Shape::Path => pattern(PATH, false),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Count { min, max, .. } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Time { may_be_forever: true, .. } => pattern(&format!("{TIME}|forever"), false),
        Shape::Time { may_be_zero: true, .. } => pattern(TIME, false),
        Shape::Time { .. } => pattern(TIME_BUT_ZERO, false),
        Shape::Size => pattern(SIZE, false),
        Shape::Rate => pattern(RATE, false),
        Shape::Images => pattern(IMAGES, false),
        Shape::TagRules => tag_rules(),
        Shape::AccessRules => access_rules(),
        Shape::Network => pattern(NETWORK, false),
        Shape::NoProxy => pattern(NO_PROXY, false),
        Shape::Repositories => pattern(REPOSITORIES, false),
        Shape::Certificates => certificates(),
        Shape::CredentialSource => pattern(&credential_source(), false),
        Shape::Credentials => {
            let rule = table_of(&CREDENTIALS);
            json!({ "anyOf": [pattern(&credential_source(), true), { "type": "array", "items": rule }] })
        }
        Shape::Word(words) => {
            let variable = format!("^{VARIABLE}$");
            json!({ "type": "string", "anyOf": [{ "enum": words() }, { "pattern": variable }] })
        }
        Shape::List(item) => {
            let item = value_of(*item);
            json!({ "anyOf": [{ "type": "array", "items": item }, item] })
        }
        Shape::OrOff(inner) => {
            let off = json!({ "type": "string", "enum": ["off"] });
            json!({ "anyOf": [value_of(*inner), off] })
        }
    }
}

fn credential_source() -> String {
    format!("(?:{})(?::.+)?", kind_words().collect::<Vec<_>>().join("|"))
}

fn tag_rules() -> Value {
    let time = Shape::Time { may_be_zero: true, may_be_forever: true };
    let mut properties = json!({ (PATTERN): pattern(TAGS, false), (TTL): value_of(time) });
    properties[PATTERN]["description"] = json!(
        "The tags: v*, or library/*:v1.* for certain repositories. * stands for any characters, ? for one."
    );
    properties[TTL]["description"] = json!("As tag_ttl.");
    let rule = json!({
        "type": "object",
        "additionalProperties": false,
        "required": [PATTERN, TTL],
        "properties": properties,
    });
    json!({ "type": "array", "items": rule })
}

fn access_rules() -> Value {
    let names = || value_of(Shape::List(&Shape::Text));
    let repositories = || value_of(Shape::List(&Shape::Repositories));
    let [users, tokens, certificates] = NAMES;
    let [allow, deny] = REPOSITORY_KEYS;
    let mut properties = json!({
        (users): names(),
        (tokens): names(),
        (certificates): names(),
        (ADDRESSES): value_of(Shape::List(&Shape::Network)),
        (allow): repositories(),
        (deny): repositories(),
    });
    for (key, text) in [
        (users, "Users by name: ci-*. * stands for any characters, ? for one."),
        (tokens, "Bearer tokens by name."),
        (certificates, "Client certificates by name."),
        (ADDRESSES, "Addresses and networks of clients."),
        (allow, "The only repositories that these clients may read, in place of allow of the section."),
        (deny, "Repositories that these clients may not read."),
    ] {
        properties[key]["description"] = json!(text);
    }
    let rule = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    json!({ "type": "array", "items": rule })
}

fn certificates() -> Value {
    let mut properties = json!({ (CERT_FILE): value_of(Shape::Path), (KEY_FILE): value_of(Shape::Path) });
    properties[CERT_FILE]["description"] =
        json!("The certificate, followed by the rest of its chain, in PEM.");
    properties[KEY_FILE]["description"] = json!("Its private key in PEM, unencrypted.");
    let certificate = json!({
        "type": "object",
        "additionalProperties": false,
        "required": [CERT_FILE, KEY_FILE],
        "properties": properties,
    });
    json!({ "type": "array", "items": certificate })
}

/// A text of this form, or one with a variable in it.
fn pattern(form: &str, may_be_empty: bool) -> Value {
    let empty = if may_be_empty { "|" } else { "" };
    json!({ "type": "string", "pattern": format!("^(?:{form}|{VARIABLE}{empty})$") })
}

fn default_of(shape: Shape, text: &str) -> Value {
    match shape {
        Shape::Flag | Shape::Count { .. } => text.parse().expect("a flag or a number is JSON"),
        Shape::List(_) | Shape::OrOff(Shape::List(_)) => json!([text]),
        _ => json!(text),
    }
}

/// Markdown as plain text: a link becomes its words, and code loses its marks.
fn plain(markdown: &str) -> String {
    // An editor cannot follow a reference to another part of the page.
    let mut rest = markdown.split(" See [").next().unwrap_or_default();
    let mut text = String::with_capacity(rest.len());
    while let Some((before, link)) = rest.split_once('[') {
        let parsed = link.split_once("](").and_then(|(words, target)| {
            Some((words, target.split_once(')')?.1)).filter(|_| !words.contains([']', '`']))
        });
        text.push_str(before);
        rest = match parsed {
            Some((words, behind)) => {
                text.push_str(words);
                behind
            }
            None => {
                text.push('[');
                link
            }
        };
    }
    text.push_str(rest);
    text.replace('`', "")
}

#[cfg(test)]
mod tests;
