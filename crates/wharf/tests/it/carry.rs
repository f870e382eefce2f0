//! `wharf export` and `wharf import`: images on their way from one wharf to another.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testkit::{FakeRegistry, Image, within};

use crate::program::{Program, registry, run};

/// A configuration whose stores have room, however full the disk of the machine is.
fn configuration(rest: &str) -> String {
    let storage = "[storage]\nmax_size = \"off\"\nfree_min = \"off\"\n";
    crate::program::configuration(&format!("{storage}{rest}"))
}

/// Pulls an image by tag with all its blobs.
async fn pull(program: &Program, image: &Image) {
    let blobs = image.blobs().map(|blob| format!("/v2/app/blobs/sha256:{}", blob.hex()));
    for target in ["/v2/app/manifests/1".to_owned()].into_iter().chain(blobs) {
        let answer = program.get("docker.io.localhost", &target).await.unwrap();
        assert_eq!(answer.status, 200, "{target}");
    }
}

/// A program that has served the image and was stopped.
async fn stopped_holder(image: &Image) -> Arc<TempDir> {
    let hub = FakeRegistry::start().await;
    hub.put_image("library/app", "1", image);
    let mut program = Program::start(&configuration(&registry("docker.io", &hub)));
    pull(&program, image).await;
    let url = format!("http://{}", program.admin);
    let count = image.blobs().count();
    // A client has small blobs before they are stored.
    let stored = async {
        while stored_blobs(&program, &url) < count {
            tokio::task::yield_now().await;
        }
    };
    within("all blobs are stored", stored).await;
    program.signal(Signal::TERM);
    assert!(program.wait().success());
    program.directory.clone()
}

fn stored_blobs(program: &Program, url: &str) -> usize {
    let (_, text, _) = run(program.directory.path(), &["stats", "--json", "--url", url]);
    let stats: serde_json::Value = serde_json::from_str(&text).unwrap();
    stats["registries"][0]["blobs"]["objects"].as_u64().unwrap() as usize
}

fn offline(upstream: &FakeRegistry) -> String {
    configuration(&format!("{}offline = true\n", registry("docker.io", upstream)))
}

fn path_text(directory: &Path, name: &str) -> String {
    directory.join(name).to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_carried_from_one_store_to_another_and_served_there_without_its_upstream() {
    let image = Image::small("carried");
    let directory = stopped_holder(&image).await;
    let wharf = |arguments: &[&str]| run(directory.path(), arguments);
    let (code, text, reason) = wharf(&["export", "app:1", "-o", "app.tar.zst", "--list-out", "list"]);
    assert_eq!(code, Some(0), "{text}{reason}");
    assert!(text.contains("images   1"), "{text}");
    let (code, _, reason) = wharf(&["export", "app:2", "*other*", "-o", "none.tar"]);
    assert!(code == Some(1) && reason.contains("app:2: no store holds"), "{reason}");
    let (code, text, _) = wharf(&["export", "--all", "-o", "more.tar", "--since", "list"]);
    assert!(code == Some(0) && text.contains("blobs    0 "), "{text}");
    assert_eq!(wharf(&["export", "-o", "x.tar"]).0, Some(2));

    let gone = FakeRegistry::start().await;
    for name in ["app.tar.zst", "-"] {
        let elsewhere = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(elsewhere.path().join("wharf.toml"), offline(&gone)).unwrap();
        let archive = path_text(directory.path(), "app.tar.zst");
        let (code, text, reason) = if name == "-" {
            let mut command = crate::program::command(elsewhere.path(), &["import", "-"]);
            command.stdin(std::fs::File::open(&archive).unwrap());
            let output = command.output().unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            (output.status.code(), text(output.stdout), text(output.stderr))
        } else {
            run(elsewhere.path(), &["import", &archive])
        };
        assert_eq!(code, Some(0), "{text}{reason}");
        assert!(text.contains("images   1") && reason.contains("stores on disk"), "{text}{reason}");
        let program = Program::start_in(elsewhere, &offline(&gone), &[]);
        pull(&program, &image).await;
    }
    assert_eq!(gone.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_exported_from_and_imported_into_a_running_wharf() {
    let image = Image::generated(7, &[3 << 20, 5000]);
    let hub = FakeRegistry::start().await;
    hub.put_image("library/app", "1", &image);
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    pull(&program, &image).await;
    let url = format!("http://{}", program.admin);
    let count = image.blobs().count();
    let stored = async {
        while stored_blobs(&program, &url) < count {
            tokio::task::yield_now().await;
        }
    };
    within("all blobs are stored", stored).await;
    let wharf = |arguments: &[&str]| {
        run(program.directory.path(), &[arguments, &["--url", url.as_str()][..]].concat())
    };
    let exported = async {
        loop {
            let (code, text, reason) = wharf(&["export", "app:1", "-o", "app.tar", "--list-out", "list"]);
            // The walk after a start may still run.
            if !reason.contains("does not know all") {
                assert!(code == Some(0) && text.contains("images   1"), "{text}{reason}");
                break;
            }
        }
    };
    within("an export", exported).await;
    let (code, text, _) = wharf(&["export", "--all", "-o", "layout", "--since", "list"]);
    assert!(code == Some(0) && text.contains("blobs    0 "), "{text}");
    let (code, _, reason) = wharf(&["export", "other", "-o", "other.tar.zst"]);
    assert!(code == Some(1) && reason.contains("other: no store holds"), "{reason}");

    let gone = FakeRegistry::start().await;
    let elsewhere = Program::start(&offline(&gone));
    let url = format!("http://{}", elsewhere.admin);
    let import = |path: &str| run(program.directory.path(), &["import", path, "--url", url.as_str()]);
    let (code, text, reason) = import("app.tar");
    assert!(code == Some(0) && text.contains("images   1"), "{text}{reason}");
    pull(&elsewhere, &image).await;
    let (_, listed, _) = run(program.directory.path(), &["list", "--url", &url]);
    assert!(listed.contains("docker.io/library/app  1"), "{listed}");
    std::fs::write(program.directory.path().join("broken.tar"), vec![7; 300_000]).unwrap();
    let (code, _, reason) = import("broken.tar");
    assert!(code == Some(1) && reason.contains("no tar archive"), "{reason}");
    assert_eq!(gone.requests().len(), 0);
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// An admin listener whose export stops after its first entry and stays open.
#[test]
fn a_signal_ends_an_export_which_leaves_nothing_behind() {
    for (output, signal, code) in
        [("out.tar", Signal::INT, 130), ("out.tar.zst", Signal::TERM, 143), ("out", Signal::HUP, 129)]
    {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("wharf.toml"), configuration("")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut child = crate::program::command(
            directory.path(),
            &["export", "--all", "-o", output, "--url", url.as_str()],
        );
        let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut connection, _) = listener.accept().unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n";
        let layout = b"{}";
        let entry = [&testkit::file_header("oci-layout", layout.len())[..], layout, &[0; 510]].concat();
        connection.write_all(&[head.as_bytes(), &entry].concat()).unwrap();
        // The first file is there, so the command watches for signals.
        while !names(directory.path()).iter().any(|name| name.starts_with(&format!(".{output}.wharf-"))) {
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = child.wait_with_output().unwrap();
        let reason = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(code), "{output}: {reason}");
        assert!(reason.contains("interrupted; nothing was written"), "{output}: {reason}");
        assert_eq!(names(directory.path()), ["wharf.toml"], "{output}");
        // The command has closed the connection.
        let _ = connection.read_to_end(&mut Vec::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_thousands_of_names_has_a_report_for_scripts() {
    let image = Image::small("named");
    let directory = stopped_holder(&image).await;
    let others: Vec<String> =
        (0..2000).map(|number| format!("ghcr.io/organisation/{number:060}:v1")).collect();
    let arguments = ["export", "app:1", "-o", "app.tar", "--json"].into_iter();
    let arguments: Vec<&str> = arguments.chain(others.iter().map(String::as_str)).collect();
    let (code, text, reason) = run(directory.path(), &arguments);
    assert_eq!(code, Some(1), "{reason}");
    assert!(reason.contains("not exported: 2000 images"), "{reason}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&report["images"], &report["path"]), (&1.into(), &"app.tar".into()));
    assert_eq!(report["blobs"], image.blobs().count());
    assert_eq!(report["refusals"].as_array().unwrap().len(), 2000);
    let mut unpack = Command::new("tar");
    unpack.args(["-xf", "app.tar", "index.json"]).current_dir(directory.path());
    assert!(unpack.status().unwrap().success());
    let index = std::fs::read(directory.path().join("index.json")).unwrap();
    let digest = testkit::digest_of(&index);
    assert_eq!(report["index_digest"], digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_names_the_tags_that_it_kept_and_replaces_them_if_it_is_told_to() {
    let (old, new) = (Image::small("old"), Image::small("new"));
    let directory = stopped_holder(&old).await;
    let (code, _, reason) = run(directory.path(), &["export", "app:1", "-o", "old.tar"]);
    assert_eq!(code, Some(0), "{reason}");
    let hub = FakeRegistry::start().await;
    hub.put_image("library/app", "1", &new);
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    pull(&program, &new).await;
    let archive = path_text(directory.path(), "old.tar");
    let url = format!("http://{}", program.admin);
    let import = |more: &[&str]| {
        let arguments = [&["import", archive.as_str(), "--url", url.as_str()][..], more].concat();
        let (code, text, reason) = run(program.directory.path(), &arguments);
        assert_eq!(code, Some(0), "{text}{reason}");
        text
    };
    let text = import(&[]);
    let (stored, archived) = (new.digest(), old.digest());
    let kept = format!("kept     docker.io/library/app:1 at {stored}; the archive has {archived}\n");
    assert!(text.contains(&kept) && text.contains("0 held already, 1 kept (wharf knows"), "{text}");
    let report: serde_json::Value = serde_json::from_str(&import(&["--json"])).unwrap();
    assert_eq!((&report["kept_tags"], &report["kept"][0]["stored"]), (&1.into(), &stored.into()));
    let text = import(&["--replace-tags"]);
    assert!(text.contains("tags     1 written, 0 held already, 0 kept\n"), "{text}");
    let again = import(&["--replace-tags"]);
    assert!(again.contains("tags     0 written, 1 held already, 0 kept\n"), "{again}");
}

/// A file below `above`, with the directories that it needs.
fn write(above: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = above.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// The image in the directories of an OCI image layout, of a registry, and of containerd with a list of
/// names.
fn directories(above: &Path, image: &Image) {
    let manifest = &image.manifest;
    let contents = image.blobs().chain([manifest]);
    for blob in contents {
        let hex = blob.hex();
        write(above, &format!("layout/blobs/sha256/{hex}"), blob.bytes());
        write(above, &format!("content/blobs/sha256/{hex}"), blob.bytes());
        write(above, &format!("old/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]), blob.bytes());
    }
    let (digest, hex) = (image.digest(), manifest.hex());
    let name = "docker.io/library/app:1";
    let entry = format!(
        r#"{{"mediaType":"{}","digest":"{digest}","size":{},"annotations":{{"io.containerd.image.name":"{name}"}}}}"#,
        manifest.media_type,
        manifest.size()
    );
    write(above, "layout/index.json", format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#));
    write(above, "layout/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let manifests = "old/docker/registry/v2/repositories/library/app/_manifests";
    write(above, &format!("{manifests}/revisions/sha256/{hex}/link"), digest);
    write(above, &format!("{manifests}/tags/1/current/link"), digest);
    std::fs::create_dir_all(above.join("content/ingest")).unwrap();
    write(above, "names", format!("REF TYPE DIGEST SIZE\n{name} {} {digest} 5 B\n", manifest.media_type));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_imported_into_a_running_wharf_which_serves_it_without_its_upstream() {
    let image = Image::generated(3, &[3 << 20, 5000]);
    let gone = FakeRegistry::start().await;
    for (directory, more) in [
        ("layout", &[][..]),
        ("old", &["--registry", "docker.io"]),
        ("content", &["--names", "names"]),
        ("content", &["--names", "names", "--registry", "index.docker.io"]),
    ] {
        let program = Program::start(&offline(&gone));
        directories(program.directory.path(), &image);
        let url = format!("http://{}", program.admin);
        let import = || {
            let arguments = [&["import", directory, "--json", "--url", url.as_str()][..], more].concat();
            let (code, text, reason) = run(program.directory.path(), &arguments);
            assert_eq!(code, Some(0), "{directory}: {text}{reason}");
            assert!(reason.contains("importing docker.io/library/app:1"), "{reason}");
            let report: serde_json::Value = serde_json::from_str(&text).unwrap();
            ["images", "incomplete", "blobs", "held_blobs", "tags"].map(|key| report[key].as_u64().unwrap())
        };
        assert_eq!(import(), [1, 0, 3, 0, 1], "{directory}");
        pull(&program, &image).await;
        assert_eq!(import(), [1, 0, 0, 3, 0], "{directory}");
    }
    assert_eq!(gone.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_a_directory_into_a_running_wharf_names_the_refused_parts() {
    let image = Image::small("wrong");
    let gone = FakeRegistry::start().await;
    let program = Program::start(&offline(&gone));
    directories(program.directory.path(), &image);
    let url = format!("http://{}", program.admin);
    let import = |more: &[&str]| {
        let arguments = [&["import", "--url", url.as_str()][..], more].concat();
        run(program.directory.path(), &arguments)
    };
    let layer = image.layers[0].hex();
    let wrong = vec![7; image.layers[0].size() as usize];
    write(program.directory.path(), &format!("content/blobs/sha256/{layer}"), wrong);
    let (code, _, reason) = import(&["content", "--names", "names"]);
    assert_eq!(code, Some(1), "{reason}");
    let expected = format!("refused sha256:{layer}: its bytes have the digest");
    assert!(reason.contains(&expected) && reason.contains("images   1 (1 incomplete"), "{reason}");
    let target = format!("/v2/app/blobs/sha256:{layer}");
    assert_eq!(program.get("docker.io.localhost", &target).await.unwrap().status, 502);
    for (arguments, code, text) in [
        (&["old"][..], 1, "library/app:1: its name has no registry; name it with `--registry NAME`"),
        (&["old", "--registry", "quay.io"], 1, "the configuration has no registry quay.io"),
        (&["content"], 1, "write the output of `ctr images list` to a file"),
        (&["old", "--names", "names"], 1, "leave out --names"),
        (&["names", "--names", "names"], 2, "--names is for directories"),
        (&["layout/blobs"], 1, "is no registry's storage directory"),
    ] {
        let (found, _, reason) = import(arguments);
        assert!(found == Some(code) && reason.contains(text), "{arguments:?}: {reason}");
    }
}

/// A server makes room for what comes; a command without one removes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_exceeds_max_size_says_so_and_lists_nothing_with_a_running_wharf_and_without() {
    let image = Image::generated(5, &[900_000, 900_000]);
    let gone = FakeRegistry::start().await;
    let configuration = format!("{}max_size = \"1MB\"\n", offline(&gone));
    for is_running in [true, false] {
        let program = is_running.then(|| Program::start(&configuration));
        let directory = program.as_ref().map(|program| Arc::clone(&program.directory)).unwrap_or_else(|| {
            let directory = Arc::new(tempfile::tempdir().unwrap());
            std::fs::write(directory.path().join("wharf.toml"), &configuration).unwrap();
            directory
        });
        directories(directory.path(), &image);
        let url = program.as_ref().map(|program| format!("http://{}", program.admin));
        let wharf = |arguments: &[&str]| {
            let url = url.iter().flat_map(|url| ["--url", url.as_str()]);
            run(directory.path(), &arguments.iter().copied().chain(url).collect::<Vec<_>>())
        };
        let knows_its_cap = async {
            while is_running && !wharf(&["stats", "--json"]).1.contains("\"cap_bytes\":1000000") {
                tokio::task::yield_now().await;
            }
        };
        within("the cap is known", knows_its_cap).await;
        let (code, text, reason) = wharf(&["import", "layout"]);
        assert!(code == Some(1) && text.is_empty(), "{text}{reason}");
        assert!(reason.contains("`max_size` of the registry is 1000000 bytes"), "{reason}");
        let (_, listed, reason) = wharf(&["list", "--json"]);
        assert!(listed.contains("\"images\":[]"), "{listed}{reason}");
    }
    assert_eq!(gone.requests().len(), 0);
}
