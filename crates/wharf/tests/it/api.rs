//! The answers of the API against its own description.

use boon::{Compiler, Draft, Schemas};
use serde_json::{Value, json};
use testkit::client::{Connection, Response, request};
use testkit::{FakeRegistry, Image, file_header, within};

use crate::program::{Program, configuration, registry};

/// Fails unless the description has a schema for this endpoint that accepts the document.
fn assert_described(description: &Value, method: &str, path: &str, document: &Value) {
    let pointer = |text: &str| text.replace('~', "~0").replace('/', "~1");
    let at = format!(
        "api.json#/paths/{}/{}/responses/200/content/{}/schema",
        pointer(path),
        method.to_ascii_lowercase(),
        pointer("application/json")
    );
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.set_default_draft(Draft::V2020_12);
    compiler.add_resource("api.json", description.clone()).unwrap();
    let index =
        compiler.compile(&at, &mut schemas).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    let outcome = schemas.validate(document, index).map_err(|error| error.to_string());
    assert_eq!(outcome, Ok(()), "{method} {path}: {document}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_in_json_obeys_its_schema() {
    let hub = FakeRegistry::start().await;
    hub.put_image("library/app", "1", &Image::small("described"));
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    assert_eq!(program.get("docker.io.localhost", "/v2/app/manifests/1").await.unwrap().status, 200);
    let ask = async |method: &str, target: &str| -> Response {
        within(target, request(method, program.admin, "localhost", target, &[])).await.unwrap()
    };
    let parsed = |answer: &Response| serde_json::from_str::<Value>(&answer.text()).unwrap();
    let complete = async { while parsed(&ask("GET", "/api/images").await)["complete"] != true {} };
    within("all images are known", complete).await;
    let description = parsed(&ask("GET", "/api/openapi.json").await);

    // Every endpoint takes the short name, as people write it for Docker Hub.
    let image = "registry=docker.io&repository=app&tag=1";
    let mut asked = Vec::new();
    for (method, path, query) in [
        ("GET", "/api/registries", ""),
        ("GET", "/api/images", ""),
        ("GET", "/api/image", image),
        ("POST", "/api/refresh", image),
        ("POST", "/api/prune", "dry_run=true"),
        ("GET", "/api/stats", ""),
        ("GET", "/api/openapi.json", ""),
        ("GET", "/api/offline", ""),
        ("PUT", "/api/offline", "state=on"),
        ("DELETE", "/api/offline", ""),
        ("PUT", "/api/pins", image),
        ("GET", "/api/pins", ""),
        ("DELETE", "/api/pins", image),
        ("DELETE", "/api/images", &format!("{image}&dry_run=true")),
        ("DELETE", "/api/images", "pattern=library/*&pattern=ghcr.io/*&dry_run=true"),
        ("DELETE", "/api/images", image),
    ] {
        let answer = ask(method, &format!("{path}?{query}")).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        assert_described(&description, method, path, &parsed(&answer));
        asked.push((method.to_ascii_lowercase(), path.to_owned()));
    }
    let named = json!({ "registry": "docker.io", "repository": "app", "digest": Image::small("x").digest() });
    let pins = post(&program, "/api/pins", &json!({ "pin": [named], "unpin": [named] })).await;
    assert_described(&description, "POST", "/api/pins", &pins);
    assert_eq!(pins["pins"].as_array().unwrap().len(), 2);
    assert_eq!(pins["pins"][0]["repository"], "library/app");
    asked.push(("post".to_owned(), "/api/pins".to_owned()));
    let imported = import_nothing(&program).await;
    assert_described(&description, "POST", "/api/import", &imported);
    asked.push(("post".to_owned(), "/api/import".to_owned()));
    let digest = format!("sha256:{}", "a".repeat(64));
    let missing = missing_of(&program, "registry=index.docker.io", &json!({ "digests": [digest] })).await;
    assert_described(&description, "POST", "/api/import/missing", &missing);
    assert_eq!(missing, json!({ "registry": "docker.io", "missing": [digest] }));
    asked.push(("post".to_owned(), "/api/import/missing".to_owned()));
    for (query, content, code) in [
        ("", json!({ "digests": [] }), "invalid_parameter"),
        ("registry=nowhere", json!({ "digests": [] }), "unknown_registry"),
        ("registry=docker.io", json!({ "digests": ["sha256:1"] }), "invalid_parameter"),
        ("registry=docker.io", json!({ "blobs": [] }), "invalid_parameter"),
    ] {
        let refused = missing_of(&program, query, &content).await;
        assert_eq!(refused["error"]["code"], code, "{query} {content}");
    }
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let is_json = operation["responses"]["200"]["content"]["application/json"].is_object();
            assert!(
                !is_json || asked.contains(&(method.clone(), path.clone())),
                "{method} {path} is not tested"
            );
        }
    }
}

/// The answer about blobs that an import asks for.
async fn missing_of(program: &Program, query: &str, content: &Value) -> Value {
    post(program, &format!("/api/import/missing?{query}"), content).await
}

/// The answer to a document.
async fn post(program: &Program, target: &str, content: &Value) -> Value {
    let content = content.to_string();
    let head =
        format!("POST {target} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", content.len());
    let mut connection = Connection::open(program.admin).await.unwrap();
    connection.send(&[head.as_bytes(), content.as_bytes()].concat()).await.unwrap();
    let (answer, end) = within("an answer", connection.read_raw_to_end()).await;
    end.unwrap();
    let text = String::from_utf8(answer.to_vec()).unwrap();
    serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// The report of the import of an archive without images.
async fn import_nothing(program: &Program) -> Value {
    let index = br#"{"manifests":[]}"#;
    let padding = vec![0; 512 - index.len() + 1024];
    let archive = [&file_header("index.json", index.len())[..], index, &padding].concat();
    let head =
        format!("POST /api/import HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", archive.len());
    let mut connection = Connection::open(program.admin).await.unwrap();
    connection.send(&[head.as_bytes(), &archive].concat()).await.unwrap();
    let (answer, end) = within("a report", connection.read_raw_to_end()).await;
    end.unwrap();
    let text = String::from_utf8(answer.to_vec()).unwrap();
    assert!(text.starts_with("HTTP/1.0 200"), "{text}");
    serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
}
