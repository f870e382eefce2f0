//! Every directory under `examples/` is a configuration that works, with files for clients that fit it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use testkit::client;

use crate::program::{Program, command};

/// Addresses in the files for clients that name no registry; it is told by `?ns=` instead.
const BARE: [&str; 3] = ["10.0.0.5:5000", "wharf:5000", "registry.home.arpa:5000"];

fn examples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut directories: Vec<PathBuf> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    assert!(directories.len() >= 4, "{directories:?}");
    directories
}

/// The variables of an environment file beside the configuration.
fn variables(example: &Path) -> Vec<(String, OsString)> {
    let text = fs::read_to_string(example.join("wharf.env")).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}

/// The files of an example, those in directories of it too.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn every_example_is_right() {
    for example in examples() {
        let path = example.join("wharf.toml").display().to_string();
        let directory = tempfile::tempdir().unwrap();
        let output = command(directory.path(), &["check", "--config", &path])
            .envs(variables(&example))
            .output()
            .unwrap();
        let complained = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{complained}");
    }
}

#[test]
fn every_file_for_a_client_is_well_formed() {
    for example in examples() {
        let mut paths = Vec::new();
        files(&example, &mut paths);
        for path in paths {
            let text = fs::read_to_string(&path).unwrap();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("toml" | "conf") => {
                    toml::de::DeTable::parse(&text)
                        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                }
                Some("json") => {
                    serde_json::from_str::<serde_json::Value>(&text)
                        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                }
                Some("yaml" | "env") => assert!(!text.contains('\t'), "{}", path.display()),
                _ => panic!("{}: a file of a kind that no test reads", path.display()),
            }
        }
    }
}

/// Every `host:5000` in the files of an example, comments included.
fn authorities(example: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    files(example, &mut paths);
    let mut found = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | ':' | '-' | '_'));
        found.extend(words.filter(|word| word.ends_with(":5000") && *word != "0.0.0.0:5000").map(|word| {
            // In `http://host:5000` the word begins behind the slashes.
            word.trim_start_matches(':').to_owned()
        }));
    }
    found.sort();
    found.dedup();
    found
}

/// The example's configuration on free ports, in the working directory, with nobody to ask: what leads to a
/// registry is then answered with its being offline, and what does not with an unknown name.
fn offline(text: &str) -> String {
    let text =
        text.replace("\"/var/lib/wharf\"", "\"./data\"").replace("\"0.0.0.0:5000\"", "\"127.0.0.1:0\"");
    assert!(text.contains("\"./data\"") && text.contains("\"127.0.0.1:0\""), "{text}");
    let text = text + "\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    if text.contains("[defaults]\n") {
        text.replace("[defaults]\n", "[defaults]\noffline = true\n")
    } else {
        text + "[defaults]\noffline = true\n"
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_in_a_file_for_clients_leads_to_a_registry() {
    for example in examples() {
        let text = fs::read_to_string(example.join("wharf.toml")).unwrap();
        let variables = variables(&example);
        let variables: Vec<(&str, OsString)> =
            variables.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let program = Program::start_in(Arc::new(tempfile::tempdir().unwrap()), &offline(&text), &variables);
        let authorities = authorities(&example);
        assert!(!authorities.is_empty(), "{}", example.display());
        for authority in authorities {
            let ns = if BARE.contains(&authority.as_str()) { "?ns=docker.io" } else { "" };
            let target = format!("/v2/library/app/manifests/latest{ns}");
            let answer = client::get(program.address, &authority, &target, &[]).await.unwrap();
            let text = answer.text();
            assert!(text.contains("`offline`"), "{}: {authority}: {text}", example.display());
        }
    }
}
