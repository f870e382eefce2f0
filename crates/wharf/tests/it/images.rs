//! The commands about stored images, against a running wharf.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::process::Signal;
use testkit::{FakeRegistry, Image, Kind, within};

use crate::program::{Program, configuration, registry, run};

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_lists_pins_and_purges_a_stored_image() {
    let hub = FakeRegistry::start().await;
    hub.put_image("library/app", "1", &Image::small("owned"));
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    let target = "/v2/app/manifests/1";
    assert_eq!(program.get("docker.io.localhost", target).await.unwrap().status, 200);
    let url = format!("http://{}", program.admin);
    let wharf = |arguments: &[&str]| {
        run(program.directory.path(), &[arguments, &["--url", url.as_str()][..]].concat())
    };
    let listed = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    // The walk after a start may still run.
    let complete = async { while listed(&wharf(&["list", "--json"]).1)["complete"] != true {} };
    within("all images are known", complete).await;
    let (code, text, _) = wharf(&["list", "library/*:1"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("IMAGE") && text.contains("docker.io/library/app  1"), "{text}");
    assert_eq!(listed(&wharf(&["list", "other", "--json"]).1)["images"], serde_json::json!([]));
    let (code, text, _) = wharf(&["stats"]);
    assert!(code == Some(0) && text.contains("docker.io"), "{text}");

    assert_eq!(wharf(&["pin", "app:1"]).0, Some(0));
    assert_eq!(listed(&wharf(&["list", "--json"]).1)["images"][0]["pinned"], true);
    let (code, _, reason) = wharf(&["purge", "app:1"]);
    assert!(code == Some(1) && reason.contains("is pinned"), "{reason}");
    assert_eq!(wharf(&["unpin", "docker.io/library/app:1"]).0, Some(0));
    let (code, text, _) = wharf(&["purge", "--dry-run", "app:1"]);
    assert!(code == Some(0) && text.contains("would be removed"), "{text}");
    assert_eq!(program.get("docker.io.localhost", target).await.unwrap().status, 200);
    assert_eq!(hub.log().count(Kind::GetManifest), 1);

    let (code, text, reason) = wharf(&["purge", "app:1", "app:2"]);
    assert!(code == Some(1) && text.contains("app:1: removed"), "{text}{reason}");
    assert!(reason.contains("app:2: ") && !reason.contains("app:1"), "{reason}");
    assert_eq!(listed(&wharf(&["list", "--json"]).1)["images"], serde_json::json!([]));
    assert_eq!(program.get("docker.io.localhost", target).await.unwrap().status, 200);
    assert_eq!(hub.log().count(Kind::GetManifest), 2);
    assert_eq!(wharf(&["purge"]).0, Some(2));
    assert_eq!(wharf(&["pin", "no image"]).0, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_name_nothing_are_answered_with_those_that_do() {
    let hub = FakeRegistry::start().await;
    hub.put_image("library/app", "1", &Image::small("owned"));
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    let target = "/v2/app/manifests/1";
    assert_eq!(program.get("docker.io.localhost", target).await.unwrap().status, 200);
    let url = format!("http://{}", program.admin);
    let wharf = |arguments: &[&str]| {
        run(program.directory.path(), &[arguments, &["--url", url.as_str()][..]].concat())
    };
    let listed = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let complete = async { while listed(&wharf(&["list", "--json"]).1)["complete"] != true {} };
    within("all images are known", complete).await;
    let (code, _, reason) = wharf(&["purge"]);
    assert!(code == Some(2) && reason.contains("--unused-for <TIME> [IMAGE]..."), "{reason}");
    for command in ["pull", "verify"] {
        let (code, _, reason) = wharf(&[command]);
        assert!(code == Some(2) && reason.contains("-f <FILE>... [IMAGE]..."), "{reason}");
    }
    let (code, _, reason) = wharf(&["export", "-o", "a.tar"]);
    assert!(code == Some(2) && reason.contains("--all"), "{reason}");
    let (code, _, reason) = wharf(&["pin", "app:*"]);
    assert!(code == Some(2) && reason.contains("a pattern is not taken here"), "{reason}");
    // A pin is on a digest, which a tag that is not held does not tell.
    for (command, told) in [("pin", "which image to pin"), ("unpin", "which pin to take back")] {
        let (code, _, reason) = wharf(&[command, "app:9"]);
        assert!(code == Some(1) && reason.contains(told), "{reason}");
    }
    let (code, text, _) = wharf(&["pin", "app:9", "app:1", "--json"]);
    let lines: Vec<_> = text.lines().map(listed).collect();
    assert!(code == Some(1) && lines[0]["image"] == "app:9" && lines[0]["error"].is_string(), "{text}");
    assert!(lines[1]["image"] == "app:1" && lines[1]["changed"] == true, "{text}");
    // As people copy it from a list.
    let digest = &listed(&wharf(&["list", "--json"]).1)["images"][0]["digest"];
    let (code, text, reason) = wharf(&["show", digest.as_str().unwrap()]);
    assert!(code == Some(0) && text.contains("docker.io/library/app"), "{text}{reason}");
    for command in ["list", "pull", "export", "import", "offline"] {
        let rest = [command, "a", "-o", "b"].into_iter().take(match command {
            "export" => 4,
            "offline" => 1,
            _ => 2,
        });
        let arguments: Vec<_> = rest.chain(["--url", "127.0.0.1:1"]).collect();
        let (code, _, reason) = run(program.directory.path(), &arguments);
        assert!(code == Some(2) && reason.contains("write http://HOST:PORT"), "{command}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_wharf_runs_the_commands_work_on_the_stores() {
    let hub = FakeRegistry::start().await;
    hub.put_image("library/app", "1", &Image::small("at rest"));
    let text = configuration(&registry("docker.io", &hub));
    let mut program = Program::start(&text);
    let target = "/v2/app/manifests/1";
    assert_eq!(program.get("docker.io.localhost", target).await.unwrap().status, 200);
    program.signal(Signal::TERM);
    assert!(program.wait().success());
    let wharf = |arguments: &[&str]| run(program.directory.path(), arguments);

    let (code, text_, note) = wharf(&["list"]);
    assert!(code == Some(0) && text_.contains("docker.io/library/app  1"), "{text_}{note}");
    assert!(note.contains("no wharf listens on 127.0.0.1:0"), "{note}");
    let stats: serde_json::Value = serde_json::from_str(&wharf(&["stats", "--json"]).1).unwrap();
    assert_eq!(stats["registries"][0]["manifests"]["objects"], 1, "{stats}");
    assert_eq!(wharf(&["pin", "app:1"]).0, Some(0));
    assert_eq!(wharf(&["purge", "app:1"]).0, Some(1), "the pin is kept");
    assert_eq!(wharf(&["unpin", "app:1"]).0, Some(0));
    assert_eq!(wharf(&["purge", "app:1"]).0, Some(0));
    assert_eq!(hub.log().count(Kind::GetManifest), 1, "no command asks an upstream");

    let program = Program::start_in(program.directory.clone(), &text, &[]);
    assert_eq!(program.get("docker.io.localhost", target).await.unwrap().status, 200);
    assert_eq!(hub.log().count(Kind::GetManifest), 2, "the image was removed");
}

/// Two registries are configured, and only one of them has a store.
#[tokio::test(flavor = "multi_thread")]
async fn commands_that_look_at_stores_at_rest_write_nothing() {
    let hub = FakeRegistry::start().await;
    hub.put_image("library/app", "1", &Image::small("looked at"));
    let mut program = Program::start(&configuration(&registry("docker.io", &hub)));
    assert_eq!(program.get("docker.io.localhost", "/v2/app/manifests/1").await.unwrap().status, 200);
    program.signal(Signal::TERM);
    assert!(program.wait().success());
    let path = program.directory.path();
    let text = configuration(&(registry("docker.io", &hub) + &registry("ghcr.io", &hub)));
    std::fs::write(path.join("wharf.toml"), text).unwrap();
    let store = find_store(path);
    let litter = store.join("tmp/of an earlier process");
    std::fs::write(&litter, "litter").unwrap();
    let before = files_below(path);
    for (arguments, expected) in [
        (&["list"][..], 0),
        (&["list", "ghcr.io/*"], 0),
        (&["show", "app:1"], 0),
        (&["show", "ghcr.io/org/app:1"], 1),
        (&["stats"], 0),
        (&["verify", "app:1"], 1),
        (&["offline"], 0),
        (&["prune", "--dry-run"], 0),
        (&["purge", "--dry-run", "app:1"], 0),
        (&["unpin", "ghcr.io/org/app:1"], 1),
    ] {
        let (code, text, reason) = run(path, arguments);
        assert_eq!(code, Some(expected), "{arguments:?}: {text}{reason}");
        assert_eq!(files_below(path), before, "{arguments:?}");
    }
    // A pin needs a store that notes it.
    let pinned = format!("ghcr.io/org/app@sha256:{}", "a".repeat(64));
    assert_eq!(run(path, &["pin", &pinned]).0, Some(0));
    assert_eq!(run(path, &["unpin", &pinned]).1.matches("no longer pinned").count(), 1);
}

/// The directory of the only store below this one.
fn find_store(directory: &Path) -> PathBuf {
    let files = files_below(directory).into_iter().map(|(path, _)| path);
    let versions: Vec<_> = files.filter(|path| path.ends_with("VERSION")).collect();
    assert_eq!(versions.len(), 1, "{versions:?}");
    versions[0].parent().unwrap().to_owned()
}

/// All files and directories below this one, with the times of their last change.
fn files_below(directory: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut found = Vec::new();
    let mut ahead = vec![directory.to_owned()];
    while let Some(directory) = ahead.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            found.push((entry.path(), metadata.modified().unwrap()));
            if metadata.is_dir() {
                ahead.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_does_not_find_the_running_wharf_leaves_its_stores_alone() {
    let hub = FakeRegistry::start().await;
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    let (code, out, reason) = run(program.directory.path(), &["list"]);
    assert!(code == Some(1) && out.is_empty(), "{out}");
    assert!(reason.contains("another wharf uses") && reason.contains("--url"), "{reason}");
}

#[test]
fn a_command_without_a_store_says_so_and_makes_none() {
    let directory = tempfile::tempdir().unwrap();
    let (code, out, reason) = run(directory.path(), &["list"]);
    assert!(code == Some(1) && out.is_empty(), "{out}");
    assert!(
        reason.contains("there is no store on disk, such as ") && reason.contains("wharf-data"),
        "{reason}"
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
