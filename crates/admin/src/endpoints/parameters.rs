//! The parameters of the endpoints' queries, declared once: each endpoint refuses others.

use std::collections::HashSet;

use http::Uri;
use oci::Query;
use serde_json::{Value, json};

use super::failure::Failure;

/// One parameter of a query.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// The sentence in the description of the API.
    pub(super) description: &'static str,
    pub(super) is_required: bool,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number of seconds.
    Seconds,
    /// A text, which may be there several times.
    Texts,
}

pub(super) const REGISTRY: Parameter = optional("registry", "The name of a served registry.");
pub(super) const PATTERN: Parameter = {
    let description = "Only images that match one of these: `alpine`, `ghcr.io/*`, `library/*:v1.*`.";
    Parameter { kind: Kind::Texts, ..optional("pattern", description) }
};

pub(super) const UNTAGGED: Parameter =
    Parameter { kind: Kind::Flag, ..optional("untagged", "Only images that no tag names.") };

/// The images of an export.
pub(super) const CHOICE: [Parameter; 2] = [
    optional("images", "Names of images or patterns, with commas between: `alpine:3.20,ghcr.io/org/*`."),
    Parameter { kind: Kind::Flag, ..optional("all", "Whether to export all images.") },
];

/// The parameters of an import.
pub(super) const IMPORT: [Parameter; 3] = [
    REGISTRY,
    Parameter {
        kind: Kind::Flag,
        ..optional("incomplete", "Whether to import images that lack blobs, too.")
    },
    Parameter {
        kind: Kind::Flag,
        ..optional("replace_tags", "Whether to replace tags of which the store knows something newer, too.")
    },
];

/// The parameters that name one image.
pub(super) const ONE_IMAGE: [Parameter; 4] = [
    Parameter { is_required: true, ..REGISTRY },
    Parameter { is_required: true, ..optional("repository", "The repository, such as `library/alpine`.") },
    optional("tag", "The tag. Either this or `digest` is required."),
    optional("digest", "The digest of the manifest. Either this or `tag` is required."),
];

pub(super) const DRY_RUN: Parameter =
    Parameter { kind: Kind::Flag, ..optional("dry_run", "Whether to report only, and change nothing.") };

/// The parameters that name the images to remove.
pub(super) const PURGED_IMAGES: [Parameter; 8] = {
    let [registry, repository, tag, digest] = ONE_IMAGE;
    let unused_for = "Only images that were not used for so many seconds.";
    [
        Parameter { is_required: false, ..registry },
        Parameter { is_required: false, ..repository },
        tag,
        digest,
        PATTERN,
        UNTAGGED,
        Parameter { kind: Kind::Seconds, ..optional("unused_for", unused_for) },
        DRY_RUN,
    ]
};

pub(super) const STATE: Parameter = Parameter {
    is_required: true,
    ..optional("state", "`on`: offline. `off`: online, whatever is configured.")
};

/// An optional parameter with a text as its value.
const fn optional(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, description, is_required: false, kind: Kind::Text }
}

impl Parameter {
    /// The parameter in OpenAPI's form.
    pub(super) fn document(&self) -> Value {
        let schema = match self.kind {
            Kind::Text => json!({ "type": "string" }),
            Kind::Flag => json!({ "type": "boolean" }),
            Kind::Seconds => json!({ "type": "integer", "minimum": 0 }),
            Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        };
        json!({
            "name": self.name,
            "in": "query",
            "description": self.description,
            "required": self.is_required,
            "schema": schema,
        })
    }
}

/// Refuses a query with a parameter that is not among `known`, that has no value, or that comes twice: a
/// mistyped or doubled `dry_run` must not delete.
pub(super) fn refuse_unknown(uri: &Uri, known: &[Parameter]) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for (name, value) in Query::new(uri.query()).pairs() {
        let Some(parameter) = known.iter().find(|it| it.name == name) else {
            let names: Vec<&str> = known.iter().map(|it| it.name).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let message = format!("there is no such parameter here; the parameters are: {known}");
            return Err(Failure::parameter(name, message));
        };
        if value.is_none_or(str::is_empty) {
            return Err(Failure::parameter(name, format!("the parameter has no value; write {name}=...")));
        }
        if !seen.insert(name) && !matches!(parameter.kind, Kind::Texts) {
            return Err(Failure::parameter(name, "the parameter comes twice; give it once"));
        }
    }
    Ok(())
}
