//! Every directory under `examples/` is a configuration that works, with files for clients that fit it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use testkit::client;

use crate::program::{Program, command};

/// Addresses in the files for clients that name no registry, because `?ns=` does.
const BARE: [&str; 3] = ["10.0.0.5:5000", "wharf:5000", "registry.home.arpa:5000"];

fn examples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut directories: Vec<PathBuf> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    assert!(directories.len() >= 4, "{directories:?}");
    directories
}

/// The variables of an environment file next to the configuration.
fn variables(example: &Path) -> Vec<(String, OsString)> {
    let text = fs::read_to_string(example.join("wharf.env")).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}

/// The files of an example, also in its directories.
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

/// The variables of wharf that a compose file or a manifest of Kubernetes sets, as the shell's `${...}`
/// leaves them.
fn variables_in(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for line in text.lines().map(|line| line.trim().trim_start_matches("- ").trim_matches(['{', '}', ' '])) {
        let pair = match line.strip_prefix("name: ") {
            Some(pair) => pair.split_once(", value: "),
            None => line.split_once(": "),
        };
        let Some((name, value)) = pair.filter(|(name, _)| name.starts_with("WHARF_")) else { continue };
        let value = match value {
            "${REGISTRY_DOMAIN" => "registry.example.com",
            value if value.ends_with(":-") => "",
            value => value,
        };
        assert!(!value.contains('$'), "{line}: the test knows no value of it");
        found.push((name.to_owned(), value.to_owned()));
    }
    found
}

#[test]
fn every_set_up_without_a_file_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (path, registry_count) in [("deploy/compose/without-a-file.yml", 3), ("docs/how-to/kubernetes.md", 4)]
    {
        let variables = variables_in(&fs::read_to_string(root.join(path)).unwrap());
        assert!(variables.len() >= 4, "{path}: {variables:?}");
        let directory = tempfile::tempdir().unwrap();
        let output = command(directory.path(), &["check"]).envs(variables).output().unwrap();
        let complained = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{path}: {complained}");
        let said = String::from_utf8(output.stdout).unwrap();
        let rows = said.lines().skip_while(|line| !line.starts_with("REGISTRY ")).skip(1);
        assert_eq!(rows.take_while(|line| !line.is_empty()).count(), registry_count, "{path}: {said}");
        assert!(!said.contains("warning"), "{path}: {said}");
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
            // In `http://host:5000` the word starts after the slashes.
            word.trim_start_matches(':').to_owned()
        }));
    }
    found.sort();
    found.dedup();
    found
}

/// The example's configuration on free ports, in the working directory, and offline: requests for a registry
/// are answered as offline, and others with an unknown name.
fn offline(text: &str) -> String {
    let text = text
        .replace("root = \"/var/lib/wharf\"", "root = \"./data\"")
        .replace("root = \"/data\"", "root = \"./data\"")
        .replace("\"0.0.0.0:5000\"", "\"127.0.0.1:0\"");
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
            // A registry with an account has never asked what is public.
            let is_led = text.contains("`wharf offline` says why") || text.contains("wharf is offline");
            assert!(is_led, "{}: {authority}: {text}", example.display());
        }
    }
}

/// The text after `word` in the Dockerfile.
fn in_the_image(word: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/image/Dockerfile");
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(word)).unwrap();
    line.trim_matches([' ', '[', ']', '"']).to_owned()
}

/// Every file of set-ups and pages in a directory.
fn texts(directory: &str) -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(directory), &mut paths);
    let read = |path: PathBuf| fs::read_to_string(&path).ok().map(|text| (path, text));
    paths.into_iter().filter_map(read).collect()
}

/// Table 2, number 1, of a first day: a volume at a path that the image lacks belongs to root, and wharf does
/// not start.
#[test]
fn every_container_stores_where_the_image_has_a_volume_for_it() {
    let volume = in_the_image("VOLUME");
    assert_eq!(in_the_image("ENV WHARF_ROOT="), volume);
    assert_eq!(in_the_image("COPY --chown=65532:65532 data "), volume);
    let mut count = 0;
    let all = ["examples", "deploy", "docs/how-to", "docs/tutorial"].into_iter().flat_map(texts);
    for (path, text) in all {
        let words: Vec<&str> = text.split_whitespace().collect();
        let mounts = words.windows(2).filter(|pair| matches!(pair[0], "-v" | "--volume" | "-"));
        for mount in mounts.map(|pair| pair[1].trim_matches(['"', '\''])) {
            // A named volume, or a directory of the host that holds data. A mount that ends in `:ro` is a
            // file to read.
            let Some((source, target)) = mount.split_once(':') else { continue };
            if source.contains("wharf") && target.starts_with('/') && !target.ends_with(":ro") {
                assert_eq!(target, volume, "{}: {mount}", path.display());
                count += 1;
            }
        }
        if path.extension().is_some_and(|it| it == "toml") && text.contains(&format!(":{volume}")) {
            assert!(text.contains(&format!("root = {volume:?}")), "{}", path.display());
            count += 1;
        }
    }
    assert!(count >= 5, "but {count} of them were found");
}
