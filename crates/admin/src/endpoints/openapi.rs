//! `GET /api/openapi.json`: the description of the API, made from the table of endpoints.

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{Content, ENDPOINTS, Endpoint, Takes};
use crate::streamed::{ARCHIVE_TYPE, LINES_TYPE};
use crate::text::typed;

pub(super) async fn openapi() -> Response<String> {
    typed(StatusCode::OK, "application/json", format!("{}\n", document()))
}

/// The description, in OpenAPI 3.1.
fn document() -> Value {
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let (method, path) = endpoint.route();
        paths.entry(path).or_insert_with(|| json!({}))[method.to_ascii_lowercase()] = operation(endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "wharf",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The admin listener of wharf, a pull-through cache for container registries.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "The content of token_file of [admin]. A listener without it requires none.",
            } },
            "schemas": { "Error": error_schema() },
        },
        "security": [{}, { "token": [] }],
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let (media_type, schema) = match endpoint.content {
        Content::Text => ("text/plain", json!({ "type": "string" })),
        Content::Metrics => ("application/openmetrics-text", json!({ "type": "string" })),
        Content::Json(schema) => ("application/json", schema()),
        Content::JsonLines => (LINES_TYPE, json!({ "type": "object", "description": "One for each line." })),
        Content::Archive => (ARCHIVE_TYPE, json!({ "type": "string", "format": "binary" })),
    };
    let parameters: Vec<Value> = endpoint.parameters.iter().map(super::Parameter::document).collect();
    let error = json!({ "$ref": "#/components/schemas/Error" });
    let mut operation = json!({
        "summary": endpoint.description,
        "parameters": parameters,
        "responses": {
            "200": { "description": "Success.", "content": { media_type: { "schema": schema } } },
            "default": {
                "description": "The request failed. An answer about images has this form; others are text.",
                "content": { "application/json": { "schema": error } },
            },
        },
    });
    if let Some(takes) = &endpoint.takes {
        let (media_type, schema) = match takes {
            Takes::Json(schema) => ("application/json", schema()),
            Takes::Archive => (ARCHIVE_TYPE, json!({ "type": "string", "format": "binary" })),
        };
        operation["requestBody"] =
            json!({ "required": true, "content": { media_type: { "schema": schema } } });
    }
    operation
}

fn error_schema() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let error = object(&[("code", text("For programs.")), ("message", text("For people."))]);
    object(&[("error", error)])
}

/// The schema of this endpoint's own answer.
pub(super) fn schema() -> Value {
    json!({ "type": "object", "required": ["openapi", "info", "paths"] })
}

/// The schema of an object with these properties, all of them required.
pub(super) fn object(properties: &[(&str, Value)]) -> Value {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// The schema of a list of such items.
pub(super) fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}
