//! Images that come into the stores before a client pulls them: `wharf pull`, `wharf verify` and `[warm]`.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::Value;
use testkit::{Endpoint, FakeRegistry, Fault, Gate, Image, Kind, Rule, within};

use crate::program::{Program, command, registry, run};

/// A configuration whose stores have room, however full the disk of the machine is.
fn configuration(rest: &str) -> String {
    let storage = "[storage]\nmax_size = \"off\"\nfree_min = \"off\"\n";
    crate::program::configuration(&format!("{storage}{rest}"))
}

/// Runs a command against the admin listener of `program`.
fn wharf(program: &Program, arguments: &[&str]) -> (Option<i32>, String, String) {
    let url = format!("http://{}", program.admin);
    run(program.directory.path(), &[arguments, &["--url", &url][..]].concat())
}

fn write(program: &Program, name: &str, text: &str) {
    std::fs::write(program.directory.path().join(name), text).unwrap();
}

/// Pulls a whole image as a client does.
async fn pull_whole(program: &Program, tag: &str, image: &Image) {
    let get = async |target: String| program.get("docker.io.localhost", &target).await.unwrap();
    let manifest = get(format!("/v2/library/app/manifests/{tag}")).await;
    assert_eq!((manifest.status, manifest.body), (200, image.manifest.bytes()), "{tag}");
    for blob in image.blobs() {
        let answer = get(format!("/v2/library/app/blobs/{}", blob.digest)).await;
        assert!(answer.status == 200 && answer.body == blob.bytes(), "{tag} {}", blob.digest);
    }
}

/// How many bodies of the image's blobs the upstream has sent.
fn blob_requests(hub: &FakeRegistry, image: &Image) -> usize {
    let count = |digest: &String| {
        hub.log().count_where(|record| {
            record.endpoint == Endpoint::Cdn && record.reference.as_ref() == Some(digest)
        })
    };
    image.blobs().map(|blob| count(&blob.digest)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_pulled_and_then_served_without_the_upstream() {
    let hub = FakeRegistry::start().await;
    let images: Vec<_> = (0..5).map(|seed| Image::generated(seed, &[200_000, 300_000])).collect();
    for (tag, image) in images.iter().enumerate() {
        hub.put_image("library/app", &tag.to_string(), image);
    }
    let text = configuration(&registry("docker.io", &hub));
    let mut program = Program::start(&text);
    write(&program, "list.txt", "# images\napp:0\napp:1\n\nnot an image\nquay.io/other:1\n");
    write(
        &program,
        "deploy.yaml",
        "kind: Deployment\nspec: {template: {spec: {containers: [{image: app:2}]}}}\n---\n{{ broken\n",
    );
    write(&program, "compose.yaml", "services: {a: {image: \"app:${TAG:-3}\"}, b: {build: .}}\n");
    let list = ["-f", "list.txt", "-f", "deploy.yaml", "-f", "compose.yaml", "app:4"];
    let (code, out, error) = wharf(&program, &[&["pull"], &list[..]].concat());
    assert_eq!(code, Some(1), "{out}{error}");
    for tag in 0..5 {
        assert!(out.contains(&format!("app:{tag}: fetched ")), "{out}");
    }
    assert!(out.contains("list.txt:5: \"not an image\" is no image reference"), "{out}");
    assert!(out.contains("quay.io/other:1: failed: the configuration has no registry \"quay.io\""), "{out}");
    assert!(error.contains("6 images: 0 already here, 5 fetched ("), "{error}");
    assert!(error.contains("1 failed, 1 not read"), "{error}");
    assert!(error.contains("deploy.yaml:4: this document was left out"), "{error}");
    assert!(error.contains("\"b\" was left out"), "{error}");
    for image in &images {
        assert_eq!(blob_requests(&hub, image), image.blobs().count());
    }

    let (code, out, error) = wharf(&program, &["pull", "app:0", "app:4", "docker.io/library/app:4"]);
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(
        out.contains("app:0: already here, ")
            && out.ends_with("2 images: 2 already here, 0 fetched (0 B), 0 failed\n"),
        "{out}"
    );
    let (code, out, _) = wharf(&program, &["verify", "app:0", "app:1", "app:2", "app:3", "app:4", "--json"]);
    assert_eq!(code, Some(0), "{out}");
    let report: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&report["event"], &report["whole"], &report["incomplete"]),
        (&"report".into(), &5.into(), &0.into())
    );

    drop(hub);
    for (tag, image) in images.iter().enumerate() {
        pull_whole(&program, &tag.to_string(), image).await;
    }
    let (code, out, _) = wharf(&program, &["pull", "app:1"]);
    assert!(code == Some(0) && out.contains("the upstream could not be asked"), "{out}");
    assert!(out.ends_with("1 image: 1 already here, 0 fetched (0 B), 0 failed\n"), "{out}");
    // Every command measures an image in the same way.
    let image = |command: &str| -> Value {
        let (_, out, _) = wharf(&program, &[command, "app:1", "--json"]);
        serde_json::from_str(out.lines().next().unwrap()).unwrap()
    };
    let bytes = image("show")["bytes"].clone();
    assert_eq!([&image("pull")["total_bytes"], &image("verify")["total_bytes"]], [&bytes; 2]);

    // While no wharf runs, the stores answer.
    program.signal(Signal::TERM);
    assert!(program.wait().success());
    let blob = &images[1].layers[0];
    let path = format!("wharf-data/docker.io/blobs/sha256/{}/{}", &blob.hex()[..2], blob.hex());
    std::fs::remove_file(program.directory.path().join(path)).unwrap();
    let (code, out, error) = run(program.directory.path(), &["verify", "app:0", "app:1", "app:9"]);
    assert_eq!(code, Some(1), "{out}{error}");
    assert!(out.contains("app:0: complete, "), "{out}");
    assert!(out.contains(&format!("app:1: incomplete, lacks\n  the blob {} of ", blob.digest)), "{out}");
    assert!(out.contains("app:9: incomplete, lacks\n  the tag 9\n"), "{out}");
    assert!(error.contains("3 images: 1 complete, 2 incomplete"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn references_come_from_standard_input_and_one_image_that_fails_does_not_stop_the_rest() {
    let hub = FakeRegistry::start().await;
    let images: Vec<_> = (0..3).map(|seed| Image::generated(seed, &[100_000])).collect();
    for (tag, image) in images.iter().enumerate() {
        hub.put_image("library/app", &tag.to_string(), image);
    }
    hub.remove_blob(&images[1].layers[0].digest);
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    let url = format!("http://{}", program.admin);
    let mut child = command(program.directory.path(), &["pull", "-", "--json", "--url", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pods = r#"{"kind": "List", "items": [{"spec": {"containers": [{"image": "app:0"}, {"image": "app:1"}]}},
                   {"spec": {"containers": [{"image": "app:2"}]}}]}"#;
    child.stdin.take().unwrap().write_all(pods.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let state = |image: &str| events.iter().find(|event| event["image"] == image).unwrap()["state"].clone();
    assert_eq!(
        (state("app:0"), state("app:1"), state("app:2")),
        ("fetched".into(), "failed".into(), "fetched".into())
    );
    let report = events.last().unwrap();
    assert_eq!((&report["fetched"], &report["failed"]), (&2.into(), &1.into()), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_was_killed_half_way_goes_on_and_fetches_no_byte_twice() {
    let hub = FakeRegistry::start().await;
    let image = Image::generated(1, &[2_000_000]);
    hub.put_image("library/app", "1", &image);
    let large = &image.layers[0];
    let gate = Gate::new();
    let rule = Rule::new(Kind::GetBlob, Fault::PauseAt(1_000_000, gate.clone()));
    hub.script(rule.at(Endpoint::Cdn).reference(&large.digest).once());
    let text = configuration(&registry("docker.io", &hub));
    let mut program = Program::start(&text);
    let url = format!("http://{}", program.admin);
    let mut pulling = command(program.directory.path(), &["pull", "app:1", "--url", &url])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    within("half of the layer", gate.reached(1)).await;
    let partial = async {
        loop {
            let stats = testkit::client::get(program.admin, "localhost", "/api/stats", &[]).await.unwrap();
            let stats: Value = serde_json::from_str(&stats.text()).unwrap();
            if stats["registries"][0]["partial"]["bytes"].as_u64().unwrap() >= 1_000_000 {
                return;
            }
        }
    };
    within("half of the layer on disk", partial).await;
    program.signal(Signal::TERM);
    assert!(program.wait().success());
    assert_eq!(pulling.wait().unwrap().code(), Some(1));
    gate.release();
    let program = Program::start_in(Arc::clone(&program.directory), &text, &[]);
    let (code, out, error) = wharf(&program, &["pull", "app:1"]);
    assert_eq!(code, Some(0), "{out}{error}");
    pull_whole(&program, "1", &image).await;
    for blob in image.blobs() {
        let sent = hub.log().body_bytes(&blob.digest);
        assert!(sent <= blob.size() + 70_000, "{sent} of {}", blob.size());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_keeps_its_image_until_the_new_one_is_whole_even_if_the_process_is_killed() {
    let hub = FakeRegistry::start().await;
    let (old, new) = (Image::generated(1, &[300_000]), Image::generated(2, &[2_000_000, 300_000]));
    hub.put_image("library/app", "1", &old);
    let text = configuration(&registry("docker.io", &hub));
    let mut program = Program::start(&text);
    assert_eq!(wharf(&program, &["pull", "app:1"]).0, Some(0));
    hub.put_image("library/app", "1", &new);
    let gate = Gate::new();
    let rule = Rule::new(Kind::GetBlob, Fault::PauseAt(1_000_000, gate.clone())).at(Endpoint::Cdn);
    hub.script(rule.reference(&new.layers[0].digest).once());
    let url = format!("http://{}", program.admin);
    let mut pulling = command(program.directory.path(), &["pull", "app:1", "--url", &url])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    within("half of the layer", gate.reached(1)).await;
    program.signal(Signal::KILL);
    program.wait();
    assert_eq!(pulling.wait().unwrap().code(), Some(1));
    gate.release();

    let offline = text.replace("[[registry]]\n", "[[registry]]\noffline = true\n");
    let mut program = Program::start_in(Arc::clone(&program.directory), &offline, &[]);
    pull_whole(&program, "1", &old).await;
    program.signal(Signal::TERM);
    assert!(program.wait().success());

    let program = Program::start_in(Arc::clone(&program.directory), &text, &[]);
    let (code, out, error) = wharf(&program, &["pull", "app:1"]);
    assert!(code == Some(0) && out.contains("app:1: fetched "), "{out}{error}");
    drop(hub);
    pull_whole(&program, "1", &new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_nothing_is_named_and_the_upstream_is_not_blamed() {
    let hub = FakeRegistry::start().await;
    let image = Image::generated(1, &[1_000_000]);
    hub.put_image("library/app", "1", &image);
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    program.limit_file_size(300_000);
    let (code, out, _) = wharf(&program, &["pull", "app:1"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("app:1: failed: the store of docker.io did not take it: "), "{out}");
    assert!(!out.contains("upstream"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_come_with_an_image_when_that_is_asked_for() {
    let hub = FakeRegistry::start().await;
    let (image, signature) = (Image::generated(1, &[200_000]), Image::generated(2, &[1_000]));
    hub.put_image("library/app", "1", &image);
    let tag = format!("{}.sig", image.digest().replace(':', "-"));
    hub.put_image("library/app", &tag, &signature);
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    let (code, out, error) = wharf(&program, &["pull", "app:1"]);
    assert!(code == Some(0) && !out.contains("attached"), "{out}{error}");
    assert_eq!(blob_requests(&hub, &signature), 0);
    let (code, out, error) = wharf(&program, &["pull", "app:1", "--referrers"]);
    assert!(code == Some(0) && out.contains(", with 1 attached\n"), "{out}{error}");
    drop(hub);
    pull_whole(&program, &tag, &signature).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_another_platform_fails_and_says_what_it_is_for() {
    let hub = FakeRegistry::start().await;
    let image =
        Image::builder(testkit::Format::Oci).platform("linux", "s390x").generated_layer(1, 200_000).build();
    hub.put_image("library/app", "1", &image);
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    for chosen in [&["--platform", "linux/amd64"][..], &[]] {
        let (code, out, _) = wharf(&program, &[&["pull", "app:1"], chosen].concat());
        assert!(
            code == Some(1) && out.contains("not for the chosen platforms, but for linux/s390x"),
            "{out}"
        );
        assert_eq!(wharf(&program, &[&["verify", "app:1"], chosen].concat()).0, Some(1));
    }
    assert_eq!(hub.log().body_bytes(&image.layers[0].digest), 0);
    let (code, out, error) = wharf(&program, &["pull", "app:1", "--platform", "linux/amd64,linux/s390x"]);
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(out.contains(" (linux/s390x); the image has no linux/amd64\n"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_keeps_moving_tags_warm_and_follows_a_reload() {
    let hub = FakeRegistry::start().await;
    let images: Vec<_> = (0..3).map(|seed| Image::generated(seed, &[100_000])).collect();
    hub.put_image("library/app", "stable", &images[0]);
    let base = registry("docker.io", &hub);
    let warm = |images: &str| configuration(&format!("[warm]\nimages = {images}\nevery = \"1m\"\n{base}"));
    let program = Program::start(&warm("[\"app:stable\", \"quay.io/x:1\"]"));
    let line = program.wait_for_line("warmed the images of [warm]");
    assert!(line.contains("images=2 held=0 fetched=1 failed=1"), "{line}");
    assert!(program.log().contains("quay.io/x:1"), "{}", program.log());
    assert_eq!(blob_requests(&hub, &images[0]), 2);
    let metrics = program.metrics().await;
    assert!(
        metrics.contains("\nwharf_warm_images 1\n") && metrics.contains("\nwharf_warm_failed_images 1\n"),
        "{metrics}"
    );

    // The tag moves, and a reload brings another run.
    hub.put_image("library/app", "stable", &images[1]);
    hub.put_image("library/app", "2", &images[2]);
    std::fs::write(program.directory.path().join("list.txt"), "app:2\n").unwrap();
    let text = warm("[\"app:stable\"]").replace("every", "files = \"list.txt\"\nevery");
    std::fs::write(program.directory.path().join("wharf.toml"), &text).unwrap();
    let (code, out, error) = wharf(&program, &["reload"]);
    assert!(code == Some(0) && out.contains("warm"), "{out}{error}");
    program.wait_for_line("images=2 held=0 fetched=2 failed=0");
    for image in &images[1..] {
        assert_eq!(blob_requests(&hub, image), 2);
    }
    let (code, ..) = wharf(&program, &["verify", "app:stable", "app:2"]);
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_pull_stops_its_transfer() {
    let hub = FakeRegistry::start().await;
    let image = Image::generated(1, &[2_000_000, 3_000_000, 4_000_000]);
    hub.put_image("library/app", "1", &image);
    let gate = Gate::new();
    hub.script(Rule::new(Kind::GetBlob, Fault::PauseAt(500_000, gate.clone())).at(Endpoint::Cdn));
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    let url = format!("http://{}", program.admin);
    let mut pulling = command(program.directory.path(), &["pull", "app:1", "--url", &url])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    within("the layers", gate.reached(3)).await;
    let pid = rustix::process::Pid::from_child(&pulling);
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert!(!pulling.wait().unwrap().success());
    let ended = async {
        while !program.metrics().await.contains("wharf_fills_in_flight{registry=\"docker.io\"} 0\n") {}
    };
    within("the end of the transfers", ended).await;
    gate.release();
    let (code, out, error) = wharf(&program, &["pull", "app:1"]);
    assert_eq!(code, Some(0), "{out}{error}");
    pull_whole(&program, "1", &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_does_not_fit_pushes_out_none_of_its_own_images() {
    let hub = FakeRegistry::start().await;
    let images: Vec<_> = (0..6).map(|seed| Image::generated(seed, &[400_000])).collect();
    for (tag, image) in images.iter().enumerate() {
        hub.put_image("library/app", &tag.to_string(), image);
    }
    let text = configuration(&format!("{}max_size = \"1MB\"\n", registry("docker.io", &hub)));
    let program = Program::start(&text);
    let is_limited = async {
        loop {
            let (_, stats, _) = wharf(&program, &["stats", "--json"]);
            let stats: Value = serde_json::from_str(&stats).unwrap();
            if stats["registries"][0]["cap_bytes"].is_u64() && stats["registries"][0]["counting"] == false {
                return;
            }
        }
    };
    within("the limit is known", is_limited).await;
    let all = ["app:0", "app:1", "app:2", "app:3", "app:4", "app:5"];
    let (code, out, error) = wharf(&program, &[&["pull"], &all[..]].concat());
    assert_eq!(code, Some(1), "{out}{error}");
    assert!(
        error.contains("6 images: 0 already here, 2 fetched (") && error.contains("4 failed"),
        "{out}{error}"
    );
    assert_eq!(out.matches("the store has no room for its missing").count(), 4, "{out}");
    let (_, out, error) = wharf(&program, &[&["verify"], &all[..]].concat());
    assert!(error.contains("6 images: 2 complete, 4 incomplete"), "{out}{error}");
}

#[test]
fn a_check_warns_of_images_of_the_schedule_that_cannot_be_fetched() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[[registry]]\nname = \"ghcr.io\"\n[warm]\nimages = [\"alpine\", \"ghcr.io/a/b\", \"UPPER\"]\n\
                files = \"list.txt\"\n";
    std::fs::write(directory.path().join("wharf.toml"), text).unwrap();
    let (code, out, error) = run(directory.path(), &["check"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("warning: [warm] alpine: the configuration has no registry \"docker.io\""), "{out}");
    assert!(out.contains("warning: [warm] UPPER: \"UPPER\" is no image reference"), "{out}");
    assert!(out.contains("warning: [warm] list.txt: cannot be read"), "{out}");
    assert!(!out.contains("ghcr.io/a/b"), "{out}");
}

#[test]
fn a_pipe_in_place_of_a_list_does_not_stop_the_schedule() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[[registry]]\nname = \"ghcr.io\"\n[warm]\nfiles = \"list.txt\"\n";
    std::fs::write(directory.path().join("wharf.toml"), text).unwrap();
    let list = directory.path().join("list.txt");
    assert!(std::process::Command::new("mkfifo").arg(&list).status().unwrap().success());
    let pipe = list.clone();
    let writer = std::thread::spawn(move || std::fs::write(pipe, "UPPER"));
    let (code, out, error) = run(directory.path(), &["check"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("list.txt: cannot be read: it is not a regular file"), "{out}");
    assert_eq!(std::fs::read_to_string(&list).unwrap(), "UPPER", "a reader at last");
    writer.join().unwrap().unwrap();
}
