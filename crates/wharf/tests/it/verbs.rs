//! The commands that look at, ask for and remove stored images, against a running wharf.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use testkit::{FakeRegistry, Format, Image, Index, within};

use crate::program::{Program, command, configuration, registry, run};

/// A running wharf in front of two registries.
struct Lab {
    hub: FakeRegistry,
    program: Program,
    url: String,
}

impl Lab {
    async fn start() -> Self {
        Self::start_with("").await
    }

    async fn start_with(keys: &str) -> Self {
        let hub = FakeRegistry::start().await;
        let ghcr = registry("ghcr.io", &hub);
        let hub_keys = registry("docker.io", &hub);
        // Whatever else fills the disk of this machine.
        let room = "[storage]\nfree_min = \"off\"\n";
        let program = Program::start(&configuration(&format!("{room}{hub_keys}{keys}{ghcr}")));
        let url = format!("http://{}", program.admin);
        let lab = Self { hub, program, url };
        let complete = async { while lab.json(&["list"])["complete"] != true {} };
        within("all images are known", complete).await;
        lab
    }

    /// Runs a command: its exit code, standard output and standard error.
    fn wharf(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        run(self.program.directory.path(), &[arguments, &["--url", self.url.as_str()]].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (code, text, reason) = self.wharf(&[arguments, &["--json"]].concat());
        assert_eq!(code, Some(0), "{arguments:?}: {reason}");
        serde_json::from_str(&text).unwrap()
    }

    /// The names of the images that a pattern selects.
    fn listed(&self, pattern: &str) -> Vec<String> {
        let document = self.json(&["list", pattern]);
        let name = |image: &Value| {
            format!("{}/{}", image["registry"].as_str().unwrap(), image["repository"].as_str().unwrap())
        };
        document["images"].as_array().unwrap().iter().map(name).collect()
    }

    async fn get(&self, registry: &str, target: &str) {
        let answer = self.program.get(&format!("{registry}.localhost"), target).await.unwrap();
        assert_eq!(answer.status, 200, "{target}");
    }

    /// Posts a document to the admin listener. Returns the content of the answer.
    async fn post(&self, target: &str, document: &Value) -> String {
        let (mut socket, text) = (TcpStream::connect(self.program.admin).unwrap(), document.to_string());
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            text.len()
        );
        socket.write_all((head + &text).as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, content) = answer.split_once("\r\n\r\n").unwrap();
        assert!(!head.to_ascii_lowercase().contains("chunked"), "{head}");
        content.to_owned()
    }

    /// Waits until as many blobs are stored: small ones get their names some time after they were sent.
    async fn stored(&self, blob_count: u64) {
        let is_stored = || {
            self.json(&["stats"])["registries"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["blobs"]["objects"].as_u64().unwrap())
                .sum::<u64>()
                >= blob_count
        };
        let stored = async {
            while !is_stored() {
                tokio::task::yield_now().await;
            }
        };
        within("the blobs are stored", stored).await;
    }

    /// Pulls an image with its blobs, but for those with a digest in `without`.
    async fn pull(&self, registry: &str, name: &str, reference: &str, image: &Image, without: &[&str]) {
        self.get(registry, &format!("/v2/{name}/manifests/{reference}")).await;
        for blob in image.blobs().filter(|blob| !without.contains(&blob.digest.as_str())) {
            self.get(registry, &format!("/v2/{name}/blobs/{}", blob.digest)).await;
        }
    }
}

fn image_for(os: &str, architecture: &str, seed: u64) -> Image {
    Image::builder(Format::Oci).platform(os, architecture).generated_layer(seed, 20_000).build()
}

#[tokio::test(flavor = "multi_thread")]
async fn list_names_the_platforms_that_are_whole_and_the_bytes() {
    let lab = Lab::start().await;
    let (amd64, arm64) = (image_for("linux", "amd64", 1), image_for("linux", "arm64", 2));
    let s390x = image_for("linux", "s390x", 3);
    let index = Index::of(Format::Oci, &[amd64.clone(), arm64.clone(), s390x]);
    lab.hub.put_index("library/app", "1", &index);
    lab.get("docker.io", "/v2/library/app/manifests/1").await;
    lab.pull("docker.io", "library/app", amd64.digest(), &amd64, &[]).await;
    let layer = arm64.layers[0].digest.clone();
    lab.pull("docker.io", "library/app", arm64.digest(), &arm64, &[&layer]).await;
    lab.stored(3).await;
    let listed = lab.json(&["list", "app"])["images"][0].clone();
    assert_eq!(listed["platforms"]["held"], json!(["linux/amd64"]));
    assert_eq!(listed["platforms"]["missing"], json!(["linux/arm64", "linux/s390x"]));
    assert_eq!(listed["whole"], false);
    let sizes = |image: &Image| image.blobs().map(testkit::Blob::size).sum::<u64>() + image.manifest.size();
    let held = index.manifest.size() + sizes(&amd64) + sizes(&arm64) - arm64.layers[0].size();
    assert_eq!((&listed["bytes"], &listed["shared_bytes"]), (&json!(held), &json!(0)));
    let (_, table, _) = lab.wharf(&["list"]);
    assert!(table.starts_with("IMAGE") && table.contains("linux/amd64  "), "{table}");
    assert!(table.trim_end().ends_with("linux/arm64,linux/s390x"), "{table}");
    // The file decides, not what was reported.
    let hex = amd64.layers[0].digest.strip_prefix("sha256:").unwrap();
    let blobs = lab.program.directory.path().join("wharf-data/docker.io/blobs/sha256");
    fs::remove_file(blobs.join(&hex[..2]).join(hex)).unwrap();
    assert_eq!(lab.json(&["list", "app"])["images"][0]["platforms"]["held"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_finds_what_people_mean_and_an_empty_list_says_so() {
    let lab = Lab::start().await;
    lab.hub.put_image("library/alpine", "3.20", &Image::small("alpine"));
    lab.hub.put_image("org/app", "v1", &Image::small("app"));
    assert_eq!(lab.wharf(&["list"]).1, "no image is stored yet\n");
    lab.get("docker.io", "/v2/library/alpine/manifests/3.20").await;
    lab.get("ghcr.io", "/v2/org/app/manifests/v1").await;
    let (alpine, app) = ("docker.io/library/alpine", "ghcr.io/org/app");
    for (pattern, expected) in [
        ("alpine", &[alpine][..]),
        ("alpine:3.*", &[alpine]),
        ("docker.io/library/alpine:3.*", &[alpine]),
        ("index.docker.io/alpine", &[alpine]),
        ("docker.io/*", &[alpine]),
        ("library/*", &[alpine]),
        ("ghcr.io/*", &[app]),
        ("org/app", &[app]),
        ("*", &[alpine, app]),
        ("*:v?", &[app]),
        ("alpine:4", &[]),
    ] {
        assert_eq!(lab.listed(pattern), expected, "{pattern}");
    }
    let digest = lab.json(&["list", "alpine"])["images"][0]["digest"].as_str().unwrap().to_owned();
    assert_eq!(lab.listed(&format!("@{digest}")), [alpine]);
    assert_eq!(lab.listed(&format!("alpine@{digest}")), [alpine]);
    let (code, text, _) = lab.wharf(&["list", "alpine:4"]);
    assert_eq!(
        (code, text.as_str()),
        (Some(0), "no stored image matches alpine:4; `wharf list` shows all\n")
    );
    let (code, _, reason) = lab.wharf(&["list", "quay.io/*"]);
    assert!(
        code == Some(1) && reason.contains("no registry \"quay.io\"; it has docker.io, ghcr.io"),
        "{reason}"
    );
    assert_eq!(lab.wharf(&["list", "a b"]).0, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn show_prints_all_that_is_known_of_an_image() {
    let lab = Lab::start().await;
    let image = Image::builder(Format::Oci)
        .platform("linux", "amd64")
        .generated_layer(4, 20_000)
        .annotation("org.opencontainers.image.source", "https://git.example/app")
        .build();
    lab.hub.put_image("org/app", "v1", &image);
    let layer = image.layers[0].digest.clone();
    lab.pull("ghcr.io", "org/app", "v1", &image, &[&layer]).await;
    assert_eq!(lab.wharf(&["pin", "ghcr.io/org/app:v1"]).0, Some(0));
    lab.stored(1).await;
    let shown = lab.json(&["show", "ghcr.io/org/app:v1"]);
    assert_eq!(shown["digest"], image.digest());
    assert_eq!(shown["platforms"], json!({ "held": [], "missing": ["linux/amd64"] }));
    assert_eq!(shown["tag_checks"][0]["tag"], "v1");
    assert!(shown["tag_checks"][0]["checked_at"].as_str().unwrap().ends_with('Z'), "{shown}");
    assert_eq!((&shown["pinned"], &shown["part_of_index"]), (&json!(true), &json!(false)));
    assert_eq!(shown["source"], "https://git.example/app");
    assert_eq!(shown["upstream"], format!("{}/", lab.hub.url()));
    let blobs = shown["blobs"].as_array().unwrap();
    let held: Vec<_> = blobs.iter().map(|blob| (&blob["role"], &blob["held"])).collect();
    assert_eq!(held, [(&json!("config"), &json!(true)), (&json!("layer"), &json!(false))]);
    assert_eq!(blobs[1]["bytes"], image.layers[0].size());
    let by_digest = lab.json(&["show", &format!("@{}", image.digest())]);
    assert_eq!(by_digest["digest"], shown["digest"]);
    let (code, table, _) = lab.wharf(&["show", "ghcr.io/org/app:v1"]);
    assert_eq!(code, Some(0));
    for text in ["MISSING      linux/amd64", "PINNED       yes", "UPSTREAM     http://", &layer] {
        assert!(table.contains(text), "{text}: {table}");
    }
    let (code, _, reason) = lab.wharf(&["show", "ghcr.io/org/app:v2"]);
    assert!(code == Some(1) && reason.contains("wharf does not hold ghcr.io/org/app:v2"), "{reason}");
    assert!(reason.contains("`wharf list ghcr.io/org/app`"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_asks_the_upstream_whatever_the_time_to_live() {
    let lab = Lab::start_with("tag_ttl = \"forever\"\n").await;
    let (old, new) = (Image::small("old"), Image::small("new"));
    lab.hub.put_image("library/app", "1", &old);
    lab.hub.put_image("library/app", "2", &old);
    for tag in ["1", "2"] {
        lab.get("docker.io", &format!("/v2/library/app/manifests/{tag}")).await;
    }
    lab.hub.put_image("library/app", "1", &new);
    let (code, text, _) = lab.wharf(&["refresh", "app:1", "app:2"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("app:1: moved from {} to {}", old.digest(), new.digest())), "{text}");
    assert!(text.contains(&format!("app:2: unchanged ({})", old.digest())), "{text}");
    let (code, text, _) = lab.wharf(&["refresh", "library/*"]);
    assert!(code == Some(0) && text.matches("unchanged").count() == 2, "{text}");
    lab.hub.remove_tag("library/app", "2");
    let (code, text, _) = lab.wharf(&["refresh", "app:2"]);
    assert!(code == Some(0) && text.contains("app:2: gone upstream"), "{text}");
    let (code, text, reason) = lab.wharf(&["refresh", "app:3", "app:1"]);
    assert!(code == Some(1) && text.contains("app:1: unchanged"), "{text}{reason}");
    assert!(reason.contains("wharf does not hold docker.io/library/app:3"), "{reason}");
    let (code, _, reason) = lab.wharf(&["refresh", &format!("app@{}", new.digest())]);
    assert!(code == Some(1) && reason.contains("never changes"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_says_why_the_question_failed_and_gives_nothing_up() {
    let Lab { hub, program, url } = Lab::start_with("tag_ttl = \"forever\"\n").await;
    hub.put_image("library/app", "1", &Image::small("kept"));
    assert_eq!(program.get("docker.io.localhost", "/v2/library/app/manifests/1").await.unwrap().status, 200);
    drop(hub);
    let (code, _, reason) = run(program.directory.path(), &["refresh", "app:1", "--url", &url]);
    assert!(code == Some(1) && reason.contains("upstream unavailable"), "{reason}");
    assert!(reason.contains("what wharf holds stays"), "{reason}");
    assert_eq!(program.get("docker.io.localhost", "/v2/library/app/manifests/1").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_fetches_the_new_image_of_one_that_is_whole_before_the_tag_moves() {
    let lab = Lab::start_with("tag_ttl = \"forever\"\n").await;
    let (old, new) = (Image::generated(1, &[200_000]), Image::generated(2, &[300_000]));
    lab.hub.put_image("library/app", "1", &old);
    assert_eq!(lab.wharf(&["pull", "app:1"]).0, Some(0));
    lab.hub.put_image("library/app", "1", &new);
    lab.hub.remove_blob(&new.layers[0].digest);
    let (code, _, reason) = lab.wharf(&["refresh", "app:1"]);
    assert!(code == Some(1) && reason.contains("of which not everything is here: not found"), "{reason}");
    assert!(reason.contains(&format!("it stays {}", old.digest())), "{reason}");
    let (code, ..) = lab.wharf(&["verify", "app:1"]);
    assert_eq!(code, Some(0));
    lab.hub.put_image("library/app", "1", &new);
    let refreshed = lab.json(&["refresh", "app:1"]);
    assert_eq!(
        (&refreshed["image"], &refreshed["status"], &refreshed["digest"]),
        (&json!("app:1"), &json!("moved"), &json!(new.digest()))
    );
    let Lab { hub, program, url } = lab;
    drop(hub);
    let (code, out, error) = run(program.directory.path(), &["verify", "app:1", "--url", &url]);
    assert_eq!(code, Some(0), "{out}{error}");
    let (code, out, reason) = run(program.directory.path(), &["refresh", "app:1", "--json", "--url", &url]);
    let failed: Value = serde_json::from_str(&out).unwrap();
    assert!(code == Some(1) && reason.contains("1 image was not refreshed"), "{reason}");
    assert_eq!((&failed["image"], &failed["status"]), (&json!("app:1"), &json!("failed")));
    assert!(failed["error"].as_str().unwrap().contains("upstream unavailable"), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_of_an_offline_registry_says_so_once() {
    let lab = Lab::start().await;
    lab.hub.put_image("library/app", "1", &Image::small("kept"));
    lab.get("docker.io", "/v2/library/app/manifests/1").await;
    assert_eq!(lab.wharf(&["offline", "on"]).0, Some(0));
    let (code, _, reason) = lab.wharf(&["refresh", "app:1"]);
    assert_eq!(code, Some(1));
    let line = "app:1: docker.io/library/app:1 was not refreshed: docker.io is offline, so nothing is asked; \
                `wharf offline` shows why, and takes it online\n";
    assert!(reason.starts_with(line) && reason.matches("offline,").count() == 1, "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_by_a_pattern_shows_the_plan_and_needs_consent() {
    let lab = Lab::start().await;
    for number in 1..=3_u64 {
        let image =
            Image::builder(Format::Oci).generated_layer(9, 50_000).generated_layer(number, 1000).build();
        let tag = format!("v1.{number}");
        lab.hub.put_image("library/app", &tag, &image);
        lab.pull("docker.io", "library/app", &tag, &image, &[]).await;
    }
    lab.hub.put_image("library/app", "v2", &Image::small("another"));
    lab.get("docker.io", "/v2/library/app/manifests/v2").await;
    lab.stored(7).await;
    assert_eq!(lab.wharf(&["pin", "app:v1.3"]).0, Some(0));
    let sum = |list: &Value| {
        list["images"].as_array().unwrap().iter().map(|image| image["bytes"].as_u64().unwrap()).sum::<u64>()
    };
    assert!(sum(&lab.json(&["list", "app:v1.*"])) > 150_000);

    let (code, plan, reason) = lab.wharf(&["purge", "library/*:v1.*", "--dry-run"]);
    assert_eq!(code, Some(0), "{reason}");
    // The pinned image needs the common layer, so that does not come free.
    let total = plan.lines().last().unwrap();
    assert!(
        total.starts_with("2 images would be removed, ") && total.ends_with("KiB would come free"),
        "{plan}"
    );
    assert!(
        reason.contains("docker.io/library/app:v1.3 was not removed: it is pinned; run `wharf unpin "),
        "{reason}"
    );
    let (code, text, reason) = lab.wharf(&["purge", "library/*:v1.*"]);
    assert!(code == Some(2) && reason.contains("run the command again with --yes"), "{reason}");
    assert!(text.contains("2 images would be removed"), "{text}");
    assert_eq!(lab.listed("app").len(), 4);

    let (code, text, reason) = lab.wharf(&["purge", "library/*:v1.*", "--yes"]);
    assert!(code == Some(1) && reason.contains("v1.3 was not removed: it is pinned"), "{reason}");
    assert_eq!(text.matches(": removed (").count(), 2, "{text}");
    assert_eq!(lab.listed("app").len(), 2);
    assert_eq!(lab.listed("app:v1.3").len(), 1);
    assert_eq!(lab.wharf(&["unpin", "app:v1.3"]).0, Some(0));

    let (code, text, _) = lab.wharf(&["purge", "--unused-for", "30d", "--yes"]);
    assert_eq!((code, text.as_str()), (Some(0), "no stored image matches; nothing was removed\n"));
    let (code, text, _) = lab.wharf(&["purge", "--dry-run", "app:v1.3", "app:v2"]);
    assert!(code == Some(0) && text.contains("would come free in all"), "{text}");
    let (code, _, reason) = lab.wharf(&["purge", "--unused-for", "0s", "app:v1.*", "--yes"]);
    assert_eq!(code, Some(0), "{reason}");
    assert_eq!(lab.listed("*"), ["docker.io/library/app"]);
}

/// Some projects give each platform a tag beside that of the index.
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_of_a_platform_is_listed_shown_exported_and_purged_alone() {
    let lab = Lab::start().await;
    let amd64 = image_for("linux", "amd64", 1);
    lab.hub.put_index("library/app", "1.0", &Index::of(Format::Oci, std::slice::from_ref(&amd64)));
    lab.hub.put_image("library/app", "1.0-amd64", &amd64);
    for reference in ["1.0", "latest"] {
        lab.hub.put_index("library/app", reference, &Index::of(Format::Oci, std::slice::from_ref(&amd64)));
        lab.get("docker.io", &format!("/v2/library/app/manifests/{reference}")).await;
    }
    lab.pull("docker.io", "library/app", "1.0-amd64", &amd64, &[]).await;
    lab.stored(2).await;
    let (_, table, _) = lab.wharf(&["list", "app:1.0-amd64"]);
    assert!(table.contains("docker.io/library/app (a part)  1.0-amd64  linux/amd64"), "{table}");
    let listed = lab.json(&["list", "app"]);
    let parts: Vec<_> = listed["images"].as_array().unwrap().iter().map(|it| &it["part_of_index"]).collect();
    assert!(parts.len() == 2 && parts.contains(&&json!(true)) && parts.contains(&&json!(false)), "{listed}");
    let shown = lab.json(&["show", "app:1.0-amd64"]);
    assert_eq!(shown["part_of"], json!(["docker.io/library/app:1.0"]));
    let (_, text, _) = lab.wharf(&["show", "app:1.0-amd64"]);
    assert!(text.contains("of docker.io/library/app:1.0, so it cannot be removed alone"), "{text}");
    let archive = lab.program.directory.path().join("part.tar");
    let (code, text, reason) = lab.wharf(&["export", "app:1.0-amd64", "-o", archive.to_str().unwrap()]);
    assert!(code == Some(0) && text.contains("images   1") && text.contains("refused  0"), "{text}{reason}");

    let pinned = format!("app@{}", amd64.digest());
    assert_eq!(lab.wharf(&["pin", &pinned]).0, Some(0));
    let (code, _, reason) = lab.wharf(&["purge", "app:1.0"]);
    let unpin = format!("wharf unpin docker.io/library/{pinned}`");
    assert!(code == Some(1) && reason.contains(&unpin), "{reason}");
    assert_eq!(lab.wharf(&["unpin", &format!("docker.io/library/{pinned}")]).0, Some(0));

    let (_, plan, _) = lab.wharf(&["purge", "--dry-run", "app:1.0"]);
    assert!(plan.contains(", with its tags 1.0-amd64, latest, "), "{plan}");
    let (_, plan, _) = lab.wharf(&["purge", "--dry-run", "app:*"]);
    assert!(plan.contains("1.0,1.0-amd64,latest") && plan.contains("1 image would be removed"), "{plan}");
    let (_, plan, _) = lab.wharf(&["purge", "--dry-run", "app:*-amd64"]);
    assert!(plan.contains("1.0-amd64 (only the tag)") && plan.contains("1 tag would be removed"), "{plan}");
    let purged = lab.json(&["purge", "app:1.0-amd64"]);
    assert_eq!((&purged["images"], &purged["tags_only"][0]["tag"]), (&json!([]), &json!("1.0-amd64")));
    assert_eq!(lab.json(&["list", "app"])["images"].as_array().unwrap().len(), 1);
    let purged = lab.json(&["purge", "app:*", "--yes"]);
    assert_eq!(purged["images"][0]["removed_tags"], json!(["1.0", "latest"]));
    assert!(purged["freed_bytes"].as_u64().unwrap() > 20_000 && purged["failures"] == json!([]), "{purged}");
    let (code, text, _) = lab.wharf(&["purge", "app:1.0", "--json"]);
    let failed: Value = serde_json::from_str(&text).unwrap();
    assert!(code == Some(1) && failed["failures"][0]["image"] == "app:1.0", "{failed}");
}

/// A tag moved twice, in two repositories.
#[tokio::test(flavor = "multi_thread")]
async fn untagged_images_of_one_repository_are_listed_and_purged_alone() {
    let lab = Lab::start().await;
    for name in ["library/app", "library/other"] {
        for seed in 1..=3_u64 {
            let image = image_for("linux", "amd64", seed);
            lab.hub.put_image(name, "latest", &image);
            lab.pull("docker.io", name, "latest", &image, &[]).await;
        }
    }
    lab.stored(4).await;
    assert_eq!(lab.json(&["list", "--untagged"])["images"].as_array().unwrap().len(), 4);
    assert_eq!(lab.json(&["list", "app", "--untagged"])["images"].as_array().unwrap().len(), 2);
    let (code, _, reason) = lab.wharf(&["purge", "app:latest", "--untagged", "--yes"]);
    assert!(code == Some(1) && reason.contains("name a repository"), "{reason}");
    let (_, plan, _) = lab.wharf(&["purge", "app", "--untagged", "--dry-run"]);
    assert!(plan.contains("2 images would be removed"), "{plan}");
    let (code, text, reason) = lab.wharf(&["purge", "app", "--untagged", "--yes"]);
    assert!(code == Some(0) && text.matches(": removed (").count() == 2, "{text}{reason}");
    assert_eq!(lab.listed("app"), ["docker.io/library/app"]);
    assert_eq!(lab.listed("other").len(), 3);
    assert_eq!(lab.wharf(&["purge", "--untagged", "--yes"]).0, Some(0));
    assert_eq!(lab.listed("*").len(), 2);
    let (_, text, _) = lab.wharf(&["list", "--untagged"]);
    assert_eq!(text, "every stored image has a tag\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_are_listed_whether_their_images_are_held_or_not() {
    let lab = Lab::start().await;
    let image = Image::small("held");
    lab.hub.put_image("library/app", "1", &image);
    lab.pull("docker.io", "library/app", "1", &image, &[]).await;
    assert_eq!(lab.wharf(&["list", "--pinned"]).1, "no image is pinned\n");
    let ahead = format!("sha256:{}", "b".repeat(64));
    let content = json!({
        "pin": [
            { "registry": "docker.io", "repository": "library/app", "tag": "1" },
            { "registry": "ghcr.io", "repository": "org/app", "digest": ahead },
            { "registry": "docker.io", "repository": "library/later", "digest": ahead },
        ],
        "unpin": [{ "registry": "docker.io", "repository": "library/none", "digest": ahead }],
    });
    let changed: Value = serde_json::from_str(&lab.post("/api/pins", &content).await).unwrap();
    let of = |key: &str| -> Vec<bool> {
        changed["pins"].as_array().unwrap().iter().map(|pin| pin[key].as_bool().unwrap()).collect()
    };
    assert_eq!(of("changed"), [true, true, false, true], "{changed}");
    assert_eq!(of("held"), [true, false, false, false], "{changed}");
    let (_, table, _) = lab.wharf(&["list", "--pinned"]);
    assert!(table.contains(&format!("docker.io/library/app    1     {}  yes", image.digest())), "{table}");
    assert!(
        table.contains(&format!("ghcr.io/org/app                {ahead}  no, kept once it is pulled")),
        "{table}"
    );
    let listed = lab.json(&["list", "--pinned", "ghcr.io/*"]);
    assert_eq!((listed["pins"].as_array().unwrap().len(), &listed["pins"][0]["held"]), (1, &json!(false)));
    // One that is wrong changes none.
    for wrong in [
        json!({ "unpin": [{ "registry": "ghcr.io", "repository": "org/app", "digest": ahead }],
            "pin": [{ "registry": "docker.io", "repository": "library/app", "tag": "unknown" }] }),
        json!({ "pin": [{ "registry": "docker.io", "repository": "UPPER", "digest": ahead }] }),
        json!({ "pin": [{ "registry": "nowhere", "repository": "app", "digest": ahead }] }),
        json!({ "pinned": [] }),
    ] {
        let answer: Value = serde_json::from_str(&lab.post("/api/pins", &wrong).await).unwrap();
        assert!(answer["error"]["message"].is_string(), "{wrong}: {answer}");
    }
    assert_eq!(lab.json(&["list", "--pinned"])["pins"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn prune_removes_what_no_image_needs() {
    let lab = Lab::start().await;
    let image = Image::small("needed");
    lab.hub.put_image("library/app", "1", &image);
    lab.pull("docker.io", "library/app", "1", &image, &[]).await;
    lab.stored(2).await;
    let Lab { mut program, hub, .. } = lab;
    program.signal(rustix::process::Signal::TERM);
    assert!(program.wait().success());
    let root = program.directory.path().join("wharf-data/docker.io");
    let orphan = testkit::Blob::new("application/octet-stream", b"an orphan".to_vec());
    let path = root.join("blobs/sha256").join(&orphan.hex()[..2]);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join(orphan.hex()), orphan.bytes()).unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    fs::File::open(path.join(orphan.hex())).unwrap().set_modified(hour_ago).unwrap();
    fs::create_dir_all(root.join("quarantine")).unwrap();
    fs::write(root.join("quarantine/1700000000-damaged"), "damaged").unwrap();
    let lists = root.join("repositories/never/pulled/_lists");
    fs::create_dir_all(&lists).unwrap();
    fs::write(lists.join(orphan.hex()), "a list").unwrap();
    fs::File::open(lists.join(orphan.hex())).unwrap().set_modified(hour_ago).unwrap();
    let wharf = |arguments: &[&str]| run(program.directory.path(), arguments);
    let (code, plan, reason) = wharf(&["prune", "--dry-run"]);
    assert_eq!(code, Some(0), "{reason}");
    assert!(plan.contains("docker.io  blobs that no image needs  1        9 B"), "{plan}");
    assert!(plan.contains("damaged files"), "{plan}");
    assert!(plan.contains("docker.io  lists that no image needs  1        6 B"), "{plan}");
    assert!(plan.ends_with("22 B would come free\n"), "{plan}");
    let (code, _, reason) = wharf(&["prune"]);
    assert!(code == Some(2) && reason.contains("--yes"), "{reason}");
    assert!(path.join(orphan.hex()).exists());
    let (code, text, reason) = wharf(&["prune", "--yes", "--registry", "docker.io"]);
    assert!(code == Some(0) && text.ends_with("22 B freed\n"), "{text}{reason}");
    assert!(!path.join(orphan.hex()).exists() && !root.join("repositories/never").exists());
    assert_eq!(wharf(&["prune", "--dry-run"]).1, "there is nothing to remove\n");
    let (_, listed, _) = wharf(&["list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["images"][0]["whole"], true, "{listed}");
    let (code, _, reason) = wharf(&["prune", "--registry", "quay.io"]);
    assert!(code == Some(1) && reason.contains("it has docker.io, ghcr.io"), "{reason}");
    drop(hub);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_says_what_was_asked_and_what_to_do() {
    let lab = Lab::start().await;
    let directory = lab.program.directory.path();
    for url in ["127.0.0.1:5001", "localhost:5001", "https://127.0.0.1:5001"] {
        let (code, _, reason) = run(directory, &["list", "--url", url]);
        assert_eq!(code, Some(2), "{url}");
        assert!(reason.contains("write http://HOST:PORT"), "{url}: {reason}");
    }
    for command in ["pin", "unpin", "purge", "show", "refresh"] {
        let (code, _, reason) = lab.wharf(&[command, "app:1"]);
        assert_eq!(code, Some(1), "{command}");
        assert!(reason.contains("wharf does not hold docker.io/library/app:1"), "{command}: {reason}");
        let (code, _, reason) = lab.wharf(&[command, "quay.io/app:1"]);
        assert_eq!(code, Some(1), "{command}");
        assert!(reason.contains("it has docker.io, ghcr.io"), "{command}: {reason}");
    }
    let digest = Image::small("later").manifest.digest;
    let (code, text, _) = lab.wharf(&["pin", &format!("app@{digest}")]);
    assert!(code == Some(0) && text.contains("keeps it once it is pulled"), "{text}");
    assert_eq!(lab.wharf(&["purge", "--unused-for", "30"]).0, Some(2));
    assert_eq!(lab.wharf(&["show"]).0, Some(2));
}

/// Runs a command whose standard input is a terminal, on which a person types `answer`.
fn answered(lab: &Lab, arguments: &[&str], answer: &str) -> (Option<i32>, String, String) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let line = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    fs::File::from(screen.try_clone().unwrap()).write_all(answer.as_bytes()).unwrap();
    let arguments = [arguments, &["--url", lab.url.as_str()]].concat();
    let mut command = command(lab.program.directory.path(), &arguments);
    let output = command.stdin(Stdio::from(line)).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_on_a_terminal_is_asked_before_a_purge_by_a_pattern() {
    let lab = Lab::start().await;
    lab.hub.put_image("library/app", "v1", &Image::small("asked for"));
    lab.get("docker.io", "/v2/library/app/manifests/v1").await;
    for answer in ["\n", "n\n", "what\n"] {
        let (code, text, question) = answered(&lab, &["purge", "app:*"], answer);
        assert!(code == Some(0) && text.ends_with("nothing was removed\n"), "{text}");
        assert!(question.contains("Remove 1 image? [y/N] "), "{question}");
    }
    assert_eq!(lab.listed("app").len(), 1);
    let (code, text, _) = answered(&lab, &["purge", "app:*"], "yes\n");
    assert!(code == Some(0) && text.contains("docker.io/library/app:v1: removed ("), "{text}");
    assert!(lab.listed("app").is_empty());
}
