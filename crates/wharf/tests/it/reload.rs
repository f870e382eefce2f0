//! Changes of the configuration while clients are served.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use testkit::client::{self, Connection};
use testkit::{
    Auth, Authority, Behaviour, Certificate, Endpoint, FakeRegistry, Fault, Gate, Image, Kind, Rule, within,
};

use crate::program::{Program, configuration, registry, run};

const CLIENT_COUNT: usize = 100;

/// Makes the program load `text`, and returns the status and the text of the answer.
pub(crate) async fn reload(program: &Program, text: &str) -> (u16, String) {
    fs::write(program.directory.path().join("wharf.toml"), text).unwrap();
    ask_to_reload(program).await
}

async fn ask_to_reload(program: &Program) -> (u16, String) {
    let asked = client::request("POST", program.admin, "localhost", "/api/reload", &[]);
    let answer = within("the reload", asked).await.unwrap();
    (answer.status, answer.text())
}

async fn get(program: &Program, registry: &str, target: &str) -> client::Response {
    program.get(&format!("{registry}.localhost"), target).await.unwrap()
}

/// A connection that has received the head of a blob; the gate holds the rest.
async fn begin(program: &Program, registry: &str, digest: &str) -> Connection {
    let mut connection = Connection::open(program.address).await.unwrap();
    let target = format!("/v2/library/app/blobs/{digest}");
    connection.request("GET", &format!("{registry}.localhost"), &target, &[]).await.unwrap();
    assert_eq!(within("a head", connection.read_head("GET")).await.unwrap().status, 200);
    connection
}

/// The number of rounds of changes; `WHARF_RELOAD_ROUNDS` sets more for a soak test.
fn round_count() -> usize {
    std::env::var("WHARF_RELOAD_ROUNDS").map_or(3, |rounds| rounds.parse().expect("a number"))
}

/// Pulls the image of the round again and again until the end. Counts each whole image.
async fn pull_images(
    program: Arc<Program>,
    images: Arc<Vec<Image>>,
    round: Arc<AtomicUsize>,
    pulled: Arc<AtomicUsize>,
) {
    loop {
        let now = round.load(Ordering::Relaxed);
        let Some(image) = images.get(now) else { return };
        let target = format!("/v2/library/app/manifests/{now}");
        let manifest = program.get("docker.io.localhost", &target).await.unwrap();
        assert_eq!((manifest.status, manifest.body), (200, image.manifest.bytes()));
        for blob in image.blobs() {
            let target = format!("/v2/library/app/blobs/{}", blob.digest);
            let answer = program.get("docker.io.localhost", &target).await.unwrap();
            assert!(answer.status == 200 && answer.complete && answer.body == blob.bytes());
        }
        pulled.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f41_under_a_hundred_clients_reloads_lose_no_byte_and_refuse_no_connection() {
    let (hub, quay) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let base = configuration(&format!("[log]\naccess = false\n{}", registry("docker.io", &hub)));
    let other = registry("quay.io", &quay);
    // Each of these changes the registry of the pulls, or another one.
    let texts = [
        format!("{base}{other}"),
        format!("{base}tag_ttl = \"1s\"\n{other}"),
        format!("{base}header_timeout = \"11s\"\n"),
        base.replace("[server]\n", "[server]\nconnection_count_max = 9000\nanswer_count_max = 7000\n"),
        base.replace("access = false", "access = false\nlevel = \"error\""),
        base.clone(),
    ];
    // Each change comes with another cold image.
    let image_count = round_count() * texts.len();
    let images: Vec<_> =
        (0..image_count).map(|seed| Image::generated(seed as u64, &[200_000, 900_000])).collect();
    for (tag, image) in images.iter().enumerate() {
        hub.put_image("library/app", &tag.to_string(), image);
    }
    let (images, program) = (Arc::new(images), Arc::new(Program::start(&base)));
    let (round, pulled) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let pull =
        || pull_images(Arc::clone(&program), Arc::clone(&images), Arc::clone(&round), Arc::clone(&pulled));
    let clients: Vec<_> = (0..CLIENT_COUNT).map(|_| tokio::spawn(pull())).collect();
    let mut told = String::new();
    for (number, text) in texts.iter().cycle().take(image_count).enumerate() {
        round.store(number, Ordering::Relaxed);
        let before = pulled.load(Ordering::Relaxed);
        let (status, said) = reload(&program, text).await;
        assert_eq!(status, 200, "{number}: {said}");
        told += &said;
        let goes_on = async {
            while pulled.load(Ordering::Relaxed) < before + CLIENT_COUNT / 2 {
                tokio::task::yield_now().await;
            }
        };
        within("pulls go on", goes_on).await;
    }
    round.store(usize::MAX, Ordering::Relaxed);
    for client in clients {
        within("a client", client).await.unwrap();
    }
    for blob in images.iter().flat_map(Image::blobs) {
        let is_it = |record: &testkit::RequestRecord| {
            record.endpoint == Endpoint::Cdn && record.reference.as_ref() == Some(&blob.digest)
        };
        assert!(hub.log().count_where(is_it) <= 1, "each blob comes once");
    }
    for change in ["added quay.io", "removed quay.io", "docker.io (rules)", "(upstream", "limits", "log"] {
        assert!(told.contains(change), "{change}: {told}");
    }
}

/// Parts made by a reload end with the registry that they were made for.
#[tokio::test(flavor = "multi_thread")]
async fn f41_a_hundred_reloads_leave_no_file_open_and_no_series_behind() {
    let (hub, quay) = (FakeRegistry::start().await, FakeRegistry::start().await);
    hub.put_image("library/app", "latest", &Image::small("one"));
    let base = configuration(&registry("docker.io", &hub));
    let program = Program::start(&base);
    let other = registry("quay.io", &quay);
    let texts = [
        format!("{base}{other}"),
        format!("{base}header_timeout = \"11s\"\n{other}"),
        format!("{base}tag_ttl = \"1s\"\n"),
        base.clone(),
    ];
    let settle = async || {
        // The first scrub, of a store that was empty, has its series once it has ended.
        let is_settled = |text: &str| {
            !text.contains("registry=\"quay.io\"") && text.contains("wharf_scrub_end_timestamp_seconds{")
        };
        let settled = async { while !is_settled(&program.metrics().await) {} };
        within("the store is closed", settled).await;
        let text = program.metrics().await;
        let open = text.lines().find_map(|line| line.strip_prefix("wharf_process_open_files "));
        let series = text.lines().filter(|line| line.contains("registry=")).count();
        (open.unwrap().parse::<usize>().unwrap(), series)
    };
    let mut first = None;
    for round in 0..25 {
        for text in &texts {
            let (status, told) = reload(&program, text).await;
            assert_eq!(status, 200, "{told}");
            let manifest = get(&program, "docker.io", "/v2/library/app/manifests/latest").await;
            assert_eq!(manifest.status, 200);
        }
        if round == 1 {
            first = Some(settle().await);
        }
    }
    let (first, last) = (first.unwrap(), settle().await);
    assert!(last.0 <= first.0 + 8, "{first:?} open files and series after 8 reloads, {last:?} after 100");
    assert_eq!(last.1, first.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn f41_a_registry_that_is_removed_finishes_and_one_that_comes_back_goes_on() {
    let (hub, quay) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let image = Image::generated(7, &[1_000_000]);
    quay.put_image("library/app", "latest", &image);
    let gate = Gate::new();
    quay.script(Rule::new(Kind::GetBlob, Fault::PauseAt(500_000, gate.clone())));
    let one = configuration(&registry("docker.io", &hub));
    let both = format!("{one}{}", registry("quay.io", &quay));
    let program = Program::start(&one);
    let (status, told) = reload(&program, &both).await;
    assert_eq!((status, told.lines().next()), (200, Some("wharf.toml: added quay.io")), "{told}");
    let digest = &image.layers[0].digest;
    let mut first = begin(&program, "quay.io", digest).await;
    let (status, told) = reload(&program, &one).await;
    assert_eq!((status, told.as_str()), (200, "wharf.toml: removed quay.io\n"));
    let gone = program.get("127.0.0.1", "/v2/?ns=quay.io").await.unwrap();
    assert_eq!(gone.status, 404);
    // It is back at once, with its transfer, without waiting for the lock of its store.
    assert_eq!(reload(&program, &both).await.0, 200);
    let mut second = begin(&program, "quay.io", digest).await;
    assert_eq!(reload(&program, &one).await.0, 200);
    gate.release();
    for connection in [&mut first, &mut second] {
        let (body, end) = within("the rest", connection.read_rest()).await;
        assert!(end.is_ok() && body == image.layers[0].bytes(), "{end:?}");
    }
    assert_eq!(quay.log().count_at(Endpoint::Cdn, Kind::GetBlob), 1);
    drop((first, second));
    program.wait_for_line("quay.io: the last transfer has ended, and the store is closed");
    assert!(!program.metrics().await.contains("registry=\"quay.io\""));
    // Its root is free, so a registry of another name can use it.
    let root = program.directory.path().join("wharf-data/quay.io");
    let renamed = registry("mirror.example", &quay) + &format!("root = {root:?}\n");
    assert_eq!(reload(&program, &format!("{one}{renamed}")).await.0, 200);
    let answer = get(&program, "mirror.example", &format!("/v2/library/app/blobs/{digest}")).await;
    assert!(answer.complete && answer.body == image.layers[0].bytes());
    assert_eq!(quay.log().count_at(Endpoint::Cdn, Kind::GetBlob), 1, "what was stored is there");
}

/// A root cannot pass from one registry to another in one reload, because the first may still use it.
#[tokio::test(flavor = "multi_thread")]
async fn f41_a_root_goes_from_one_name_to_another_in_two_steps() {
    let hub = FakeRegistry::start().await;
    let image = Image::small("kept");
    hub.put_image("library/app", "latest", &image);
    let program = Program::start(&configuration(&registry("one.example", &hub)));
    let manifest = "/v2/library/app/manifests/latest";
    assert_eq!(get(&program, "one.example", manifest).await.status, 200);
    let renamed = registry("two.example", &hub) + "root = \"wharf-data/one.example\"\n";
    let (status, told) = reload(&program, &configuration(&renamed)).await;
    assert_eq!(status, 422);
    assert!(
        told.contains("is still the root of one.example") && told.contains("reload without one.example"),
        "{told}"
    );
    assert_eq!(get(&program, "one.example", manifest).await.status, 200);
    let other = registry("three.example", &hub);
    assert_eq!(reload(&program, &configuration(&other)).await.0, 200);
    program.wait_for_line("one.example: the last transfer has ended, and the store is closed");
    let (status, told) = reload(&program, &configuration(&format!("{other}{renamed}"))).await;
    assert_eq!(status, 200, "{told}");
    let before = hub.log().count(Kind::GetManifest);
    assert_eq!(get(&program, "two.example", manifest).await.body, image.manifest.bytes());
    assert_eq!(hub.log().count(Kind::GetManifest), before);
}

/// A second read of a pipe would block for ever, and so would the stop.
#[tokio::test(flavor = "multi_thread")]
async fn f41_a_configuration_from_a_pipe_is_read_once_and_the_program_still_ends() {
    let hub = FakeRegistry::start().await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let path = directory.path().join("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let text = configuration(&registry("docker.io", &hub));
    let writer = std::thread::spawn(move || fs::write(path, text).unwrap());
    let command = crate::program::command(directory.path(), &["serve", "--config", "pipe"]);
    let mut program = Program::run(directory, command);
    writer.join().unwrap();
    program.signal(Signal::HUP);
    program.wait_for_line("pipe: it is not a regular file, so it can only be read at the start");
    assert_eq!(program.get("127.0.0.1", "/readyz").await.unwrap().status, 200);
    program.signal(Signal::TERM);
    assert_eq!(program.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn f41_a_transfer_goes_on_when_the_rules_of_its_registry_change() {
    let hub = FakeRegistry::start().await;
    let image = Image::generated(8, &[1_000_000]);
    hub.put_image("library/app", "latest", &image);
    let gate = Gate::new();
    hub.script(Rule::new(Kind::GetBlob, Fault::PauseAt(500_000, gate.clone())));
    let text = configuration(&registry("docker.io", &hub));
    let program = Program::start(&text);
    let mut first = begin(&program, "docker.io", &image.layers[0].digest).await;
    for change in ["tag_ttl = \"1h\"\n", "stale_if_error = \"1h\"\n", "idle_timeout = \"40s\"\n"] {
        let (status, told) = reload(&program, &format!("{text}{change}")).await;
        assert_eq!(status, 200, "{told}");
        assert!(told.starts_with("wharf.toml: changed docker.io ("), "{told}");
    }
    let mut second = begin(&program, "docker.io", &image.layers[0].digest).await;
    gate.release();
    for connection in [&mut first, &mut second] {
        let (body, end) = within("the rest", connection.read_rest()).await;
        assert!(end.is_ok() && body == image.layers[0].bytes(), "{end:?}");
    }
    assert_eq!(hub.log().count_at(Endpoint::Cdn, Kind::GetBlob), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn f41_what_did_not_change_keeps_its_connections_and_what_it_knows() {
    let (hub, quay) = (FakeRegistry::start().await, FakeRegistry::start().await);
    for tag in ["1", "2", "3", "4"] {
        hub.put_image("library/app", tag, &Image::small(tag));
    }
    let text = configuration(&registry("docker.io", &hub));
    let program = Program::start(&text);
    let pull = async |tag: &str| {
        let answer = get(&program, "docker.io", &format!("/v2/library/app/manifests/{tag}")).await;
        assert_eq!(answer.status, 200, "{tag}");
    };
    pull("1").await;
    let known = |hub: &FakeRegistry| {
        let connections =
            [Endpoint::Registry, Endpoint::Token].map(|endpoint| hub.log().connections(endpoint));
        (connections, hub.log().count(Kind::Token))
    };
    let before = known(&hub);
    assert_eq!(reload(&program, &format!("{text}{}", registry("quay.io", &quay))).await.0, 200);
    pull("2").await;
    // A change of rules needs no other connection and no other token either.
    assert_eq!(reload(&program, &format!("{text}tag_ttl = \"0s\"\ncatalog = false\n")).await.0, 200);
    pull("3").await;
    assert_eq!(known(&hub), before);
    assert_eq!(reload(&program, &format!("{text}header_timeout = \"9s\"\n")).await.0, 200);
    pull("4").await;
    assert_ne!(known(&hub), before, "a change of the upstream is one");
}

#[tokio::test(flavor = "multi_thread")]
async fn f41_a_changed_password_is_used_at_once_without_a_reload() {
    let credentials = |password: &str| Auth::Bearer {
        credentials: Some(("user".to_owned(), password.to_owned())),
        anonymous: false,
    };
    let hub =
        FakeRegistry::start_with(Behaviour { auth: credentials("old-canary"), ..Behaviour::default() }).await;
    hub.put_image("library/app", "1", &Image::small("one"));
    hub.put_image("library/app", "2", &Image::small("two"));
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let password = directory.path().join("password");
    fs::write(&password, "old-canary\n").unwrap();
    let login = format!("username = \"user\"\npassword_file = {password:?}\nserve_private = true\n");
    let text = configuration(&(registry("docker.io", &hub) + &login));
    let program = Program::start_in(directory, &text, &[]);
    assert_eq!(get(&program, "docker.io", "/v2/library/app/manifests/1").await.status, 200);
    fs::write(&password, "new-canary\n").unwrap();
    hub.change(|behaviour| behaviour.auth = credentials("new-canary"));
    hub.revoke_tokens();
    // The registry refuses the old password, so the file is read again before the client gets an answer.
    assert_eq!(get(&program, "docker.io", "/v2/library/app/manifests/2").await.status, 200);
    assert!(!program.log().contains("reload ("), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn f41_a_bad_file_is_refused_whole_with_every_mistake_and_the_old_one_goes_on() {
    let hub = FakeRegistry::start().await;
    hub.put_image("library/app", "latest", &Image::small("one"));
    let text = configuration(&registry("docker.io", &hub));
    let program = Program::start(&text);
    let bad = format!("{text}tag_tll = \"1s\"\n[[registry]]\nname = \"ghcr.io\"\n[log]\nlevel = \"loud\"\n");
    let (status, told) = reload(&program, &bad).await;
    assert_eq!(status, 422);
    let mistakes = [
        "wharf.toml:9: registry[docker.io].tag_tll: there is no such key",
        "log.level: \"loud\" is not one of",
    ];
    for mistake in mistakes {
        assert!(told.contains(mistake), "{told}");
        program.wait_for_line(mistake);
    }
    assert!(told.ends_with("\nrefused; the configuration in force stays\n"), "{told}");
    let (code, _, checked) = run(program.directory.path(), &["check"]);
    assert_eq!(code, Some(1));
    for mistake in mistakes {
        assert!(checked.contains(mistake), "the check says the same beforehand: {checked}");
    }
    assert_eq!(get(&program, "docker.io", "/v2/library/app/manifests/latest").await.status, 200);
    assert_eq!(
        program.get("127.0.0.1", "/v2/?ns=ghcr.io").await.unwrap().status,
        404,
        "nothing of it is there"
    );
    // A mistake that only making the upstream shows is refused too, and so is a store that cannot be opened.
    for wrong in ["proxy = \"http://\"\n", "[[registry]]\nname = \"ghcr.io\"\nroot = \"/proc/wharf\"\n"] {
        let (status, told) = reload(&program, &format!("{text}{wrong}")).await;
        assert_eq!(status, 422, "{told}");
    }
    let metrics = program.metrics().await;
    assert!(!metrics.contains("ghcr.io"), "no series of what is not served: {metrics}");
    fs::remove_file(program.directory.path().join("wharf.toml")).unwrap();
    program.signal(Signal::HUP);
    program.wait_for_line("wharf.toml is gone; put it back");
    program.wait_for_line("reload (SIGHUP) refused; the configuration in force stays");
    let metrics = program.metrics().await;
    let failures = metrics
        .lines()
        .find(|line| line.starts_with("wharf_config_reloads_total{result=\"failure\"}"))
        .unwrap();
    assert!(!failures.ends_with(" 0"), "{failures}");
    assert_eq!(reload(&program, &text).await, (200, "wharf.toml: nothing changed\n".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn f41_a_file_that_was_gone_is_loaded_when_it_is_back() {
    let hub = FakeRegistry::start().await;
    let text = configuration(&registry("docker.io", &hub));
    let program = Program::start(&text);
    let path = program.directory.path().join("wharf.toml");
    fs::remove_file(&path).unwrap();
    program.wait_for_line("wharf.toml is gone; put it back");
    fs::write(&path, format!("{text}tag_ttl = \"1m\"\n")).unwrap();
    program.wait_for_line("of wharf.toml: changed docker.io (rules)");
}

/// `wharf.toml` -> `..data/wharf.toml`, `..data` -> a directory of each version: how Kubernetes mounts a
/// ConfigMap.
#[tokio::test(flavor = "multi_thread")]
async fn f41_a_file_that_is_swapped_by_a_link_is_loaded_without_anybody_asking() {
    let (hub, quay) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let mount = directory.path().join("mount");
    let version = |name: &str, text: &str| {
        fs::create_dir_all(mount.join(name)).unwrap();
        fs::write(mount.join(name).join("wharf.toml"), text).unwrap();
        symlink(name, mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    };
    let one = configuration(&registry("docker.io", &hub));
    version("..1", &one);
    symlink("..data/wharf.toml", mount.join("wharf.toml")).unwrap();
    let config = mount.join("wharf.toml").display().to_string();
    let command = crate::program::command(directory.path(), &["serve", "--config", &config]);
    let program = Program::run(directory.clone(), command);
    version("..2", &format!("{one}{}", registry("quay.io", &quay)));
    program.wait_for_line("mount/wharf.toml: added quay.io");
    assert_eq!(program.get("127.0.0.1", "/v2/?ns=quay.io").await.unwrap().status, 200);
    version("..3", "[server]\nlisten = 5000\n");
    program.wait_for_line("reload (a changed file) refused");
    version("..4", &one);
    program.wait_for_line("mount/wharf.toml: removed quay.io");
}

fn put_identity(directory: &Path, authority: &Authority, files: &[&str]) {
    let identity = authority.server_identity(Certificate::Valid);
    for (name, text) in [("cert.pem", identity.certificate_pem), ("key.pem", identity.key_pem)] {
        if files.contains(&name) {
            fs::write(directory.join(name), text).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f41_a_certificate_without_its_key_waits_for_it_and_the_old_one_goes_on() {
    let hub = FakeRegistry::start().await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let [old, new] = [Authority::new(), Authority::new()];
    put_identity(directory.path(), &old, &["cert.pem", "key.pem"]);
    let tls = "[server.tls]\nlisten = \"127.0.0.1:0\"\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n";
    let text = configuration(&format!("{tls}{}", registry("docker.io", &hub)));
    let program = Program::start_in(directory.clone(), &text, &[]);
    let line = program.wait_for_line("listening on https://");
    let address = line.split_once("https://").unwrap().1.parse().unwrap();
    let shows = async |authority: &Authority| {
        Connection::open_tls(address, "localhost", &authority.pem()).await.is_ok()
    };
    assert!(shows(&old).await);
    let both = new.server_identity(Certificate::Valid);
    fs::write(directory.path().join("cert.pem"), &both.certificate_pem).unwrap();
    let (status, told) = ask_to_reload(&program).await;
    assert_eq!(status, 200);
    assert!(
        told.contains("warning: the certificate cert.pem and the key key.pem do not match yet"),
        "{told}"
    );
    assert!(told.contains("clients still get the certificate that wharf loaded before"), "{told}");
    assert!(shows(&old).await && !shows(&new).await);
    fs::write(directory.path().join("key.pem"), &both.key_pem).unwrap();
    let line = program.wait_for_line("reload (a changed file) of wharf.toml");
    assert!(line.ends_with("changed certificate"), "{line}");
    assert!(shows(&new).await && !shows(&old).await);
    let metrics = program.metrics().await;
    assert!(
        metrics.contains("wharf_tls_certificate_expiry_timestamp_seconds{cert_file=\"cert.pem\"} "),
        "{metrics}"
    );
}

/// `cert.pem` -> `..data/cert.pem`, `..data` -> a directory of each version: how Kubernetes mounts a Secret,
/// for example of cert-manager.
fn swap_identity(mount: &Path, version: &str, authority: &Authority) {
    fs::create_dir_all(mount.join(version)).unwrap();
    put_identity(&mount.join(version), authority, &["cert.pem", "key.pem"]);
    symlink(version, mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn f41_a_bad_certificate_takes_no_other_away_and_a_swapped_link_brings_a_new_one() {
    let hub = FakeRegistry::start().await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let mount = directory.path().join("mount");
    let [one, two, new] = [Authority::new(), Authority::new(), Authority::new()];
    put_identity(directory.path(), &one, &["cert.pem", "key.pem"]);
    swap_identity(&mount, "..1", &two);
    for file in ["cert.pem", "key.pem"] {
        symlink(format!("..data/{file}"), mount.join(file)).unwrap();
    }
    let tls = "[server.tls]\nlisten = \"127.0.0.1:0\"\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n\
               [[server.tls.certificate]]\ncert_file = \"mount/cert.pem\"\nkey_file = \"mount/key.pem\"\n";
    let text = configuration(&format!("{tls}{}", registry("docker.io", &hub)));
    // Half a pair at the start is no reason not to serve with the other one.
    fs::remove_file(directory.path().join("key.pem")).unwrap();
    let program = Program::start_in(directory.clone(), &text, &[]);
    assert!(
        program.log().contains("server.tls.key_file: is not in use until its files match"),
        "{}",
        program.log()
    );
    let line = program.wait_for_line("listening on https://");
    let address: std::net::SocketAddr = line.split_once("https://").unwrap().1.parse().unwrap();
    let mut first = Connection::open_tls(address, "localhost", &two.pem()).await.unwrap();
    swap_identity(&mount, "..2", &new);
    let line = program.wait_for_line("reload (a changed file) of wharf.toml");
    assert!(line.ends_with("changed certificate"), "{line}");
    let mut second = Connection::open_tls(address, "localhost", &new.pem()).await.unwrap();
    for connection in [&mut first, &mut second] {
        connection.request("GET", "localhost", "/v2/", &[]).await.unwrap();
        assert_eq!(connection.read_response("GET").await.unwrap().status, 200);
    }
    let metrics = program.metrics().await;
    let series = metrics.matches("wharf_tls_certificate_expiry_timestamp_seconds{cert_file=").count();
    assert_eq!(series, 1, "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f41_log_level_and_access_lines_follow_the_file() {
    let hub = FakeRegistry::start().await;
    let text = configuration(&registry("docker.io", &hub));
    let program = Program::start(&text);
    let ask = async |target: &str| assert_eq!(get(&program, "docker.io", target).await.status, 404);
    ask("/v2/library/one/manifests/1").await;
    program.wait_for_line("repository=library/one");
    assert_eq!(reload(&program, &format!("{text}[log]\nlevel = \"debug\"\naccess = false\n")).await.0, 200);
    ask("/v2/library/two/manifests/1").await;
    program.wait_for_line("DEBUG upstream");
    assert_eq!(reload(&program, &text).await.0, 200);
    ask("/v2/library/three/manifests/1").await;
    program.wait_for_line("repository=library/three");
    assert!(!program.log().contains("repository=library/two"), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn f41_wharf_reload_tells_what_changed_and_ends_by_that() {
    let hub = FakeRegistry::start().await;
    let text = configuration(&registry("docker.io", &hub));
    let program = Program::start(&text);
    let url = format!("http://{}", program.admin);
    let kept = Arc::clone(&program.directory);
    let directory = kept.path().to_owned();
    let put = |text: &str| fs::write(directory.join("wharf.toml"), text).unwrap();
    let ask = || run(&directory, &["reload", "--url", &url]);
    assert_eq!(ask(), (Some(0), "wharf.toml: nothing changed\n".to_owned(), String::new()));
    let moved = text.replacen("127.0.0.1:0", "127.0.0.1:5000", 1);
    put(&format!("{moved}tag_ttl = \"1m\"\n"));
    let (code, told, complained) = ask();
    assert_eq!((code, complained.as_str()), (Some(0), ""));
    assert_eq!(
        told,
        "wharf.toml: changed docker.io (rules)\n\
         listen of [server] needs a restart; until then it is 127.0.0.1:0\n"
    );
    program.wait_for_line("listen of [server] needs a restart");
    // The command itself reports a mistake.
    put(&format!("{text}tag_tll = \"1m\"\n"));
    let (code, told, complained) = ask();
    assert_eq!((code, told.as_str()), (Some(1), ""));
    assert!(
        complained.contains("tag_tll") && complained.ends_with("; nothing was reloaded\n"),
        "{complained}"
    );
    // The running process reports the mistakes that only it can find.
    put(&format!("{text}[[registry]]\nname = \"ghcr.io\"\nroot = \"/proc/wharf\"\n"));
    let (code, told, complained) = ask();
    assert_eq!((code, told.as_str()), (Some(1), ""));
    assert!(complained.contains("ghcr.io: cannot store in /proc/wharf"), "{complained}");
    put(&text);
    drop(program);
    let (code, _, complained) = run(&directory, &["reload", "--url", &url]);
    assert_eq!(code, Some(1));
    assert!(
        complained.contains("no answer from the admin listener") && complained.contains("SIGHUP"),
        "{complained}"
    );
}
