//! The parameters of the endpoints' queries, declared once: each endpoint refuses others.

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
}

pub(super) const REGISTRY: Parameter = optional("registry", "The name of a served registry.");
pub(super) const PATTERN: Parameter =
    optional("pattern", "Only images whose repository, and tag after a colon, match: `library/*:v1.*`.");

/// The parameters that name one image.
pub(super) const ONE_IMAGE: [Parameter; 4] = [
    Parameter { is_required: true, ..REGISTRY },
    Parameter { is_required: true, ..optional("repository", "The repository, such as `library/alpine`.") },
    optional("tag", "The tag. Either this or `digest` is required."),
    optional("digest", "The digest of the manifest. Either this or `tag` is required."),
];

pub(super) const DRY_RUN: Parameter =
    Parameter { kind: Kind::Flag, ..optional("dry_run", "Whether to report only, and change nothing.") };

pub(super) const ONE_IMAGE_OR_DRY_RUN: [Parameter; 5] = {
    let [registry, repository, tag, digest] = ONE_IMAGE;
    [registry, repository, tag, digest, DRY_RUN]
};

/// An optional parameter with a text as its value.
const fn optional(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, description, is_required: false, kind: Kind::Text }
}

impl Parameter {
    /// The parameter in OpenAPI's form.
    pub(super) fn document(&self) -> Value {
        let kind = match self.kind {
            Kind::Text => "string",
            Kind::Flag => "boolean",
        };
        json!({
            "name": self.name,
            "in": "query",
            "description": self.description,
            "required": self.is_required,
            "schema": { "type": kind },
        })
    }
}

/// Refuses a query with a parameter that is not among `known`, or without a value: a mistyped `dry_run` must
/// not delete.
pub(super) fn refuse_unknown(uri: &Uri, known: &[Parameter]) -> Result<(), Failure> {
    for (name, value) in Query::new(uri.query()).pairs() {
        if !known.iter().any(|it| it.name == name) {
            let names: Vec<&str> = known.iter().map(|it| it.name).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let message = format!("there is no such parameter here; the parameters are: {known}");
            return Err(Failure::parameter(name, message));
        }
        if value.is_none() {
            return Err(Failure::parameter(name, format!("the parameter has no value; write {name}=...")));
        }
    }
    Ok(())
}
