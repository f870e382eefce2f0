//! The start, and the reasons against one.

use std::io::BufRead;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use testkit::{Authority, FakeRegistry};

use crate::program::{Program, UNPRIVILEGED, configuration, copied_program, registry, run};
use crate::terminal::Terminal;

#[tokio::test(flavor = "multi_thread")]
async fn the_log_begins_with_how_to_reach_each_registry() {
    let hub = FakeRegistry::start().await;
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    let (address, upstream) = (program.address, hub.url());
    program.wait_for_line("containerd: put");
    let log = program.log();
    let said: Vec<&str> = log.lines().filter_map(|line| Some(line.split_once(" INFO wharf")?.1)).collect();
    let said = said.iter().filter_map(|line| Some(line.split_once(": ")?.1));
    // A low limit of open files adds a line, and the kernel decides what the sandbox can be.
    let is_of_the_machine = |line: &str| line.starts_with("open-file limit") || line.starts_with("sandbox: ");
    let said: Vec<&str> = said.filter(|line| !is_of_the_machine(line)).collect();
    let expected = [
        format!("wharf {} with wharf.toml", env!("CARGO_PKG_VERSION")),
        format!("listening on http://{address}"),
        format!("admin on http://{}/metrics", program.admin),
        format!("docker.io -> {upstream} as http://{address}/docker.io or http://{address}/v2/?ns=docker.io"),
        format!(
            "docker: put {{\"registry-mirrors\": [\"http://{address}\"]}} into /etc/docker/daemon.json, and \
             default_registry = \"docker.io\" into [server] of wharf"
        ),
        format!(
            "containerd: put [host.\"http://{address}\"] into /etc/containerd/certs.d/_default/hosts.toml"
        ),
    ];
    assert_eq!(said, expected);
    // A background task may have said that its store is read.
    let first = log.lines().find(|line| line.contains(" WARN ") || line.ends_with(&expected[0]));
    assert!(first.unwrap().ends_with(&expected[0]), "the version comes before any warning: {log}");
    assert!(log.contains("WARN wharf::wiring: wharf.toml:7: registry[docker.io].upstream: "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_root_is_refused() {
    let hub = FakeRegistry::start().await;
    let registries = format!("{}{}", registry("docker.io", &hub), registry("quay.io", &hub));
    let program = Program::start(&configuration(&registries));
    let (code, _, complained) = run(program.directory.path(), &["serve"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        complained,
        "all registries: another wharf uses ./wharf-data; stop that one, or for this one set another root: \
         `root` of [storage], or WHARF_ROOT\n"
    );
    assert_eq!(program.get("127.0.0.1", "/readyz").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_systems_authorities_are_read_once_for_all_registries() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let path = directory.path().join("authorities.pem");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let variables = [("SSL_CERT_FILE", path.clone().into())];
    // It waits for a reader and then ends: opening the pipe a second time would block for ever.
    let writer = std::thread::spawn(move || std::fs::write(path, Authority::new().pem()).unwrap());
    let builtin = configuration("");
    let program = Program::start_in(directory, &builtin, &variables);
    writer.join().unwrap();
    assert_eq!(program.get("127.0.0.1", "/readyz").await.unwrap().status, 200);
    for name in ["docker.io", "ghcr.io", "quay.io"] {
        program.wait_for_line(&format!("{name} -> "));
    }
}

#[test]
fn an_address_that_is_taken_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = format!("[server]\nlisten = \"{address}\"\n[admin]\nlisten = \"off\"\n");
    std::fs::write(directory.path().join("wharf.toml"), text).unwrap();
    let (code, _, complained) = run(directory.path(), &["serve"]);
    assert_eq!(code, Some(1));
    let port = address.port();
    assert_eq!(
        complained,
        format!(
            "cannot listen on {address}: Address already in use (os error 98); another program uses this port, \
             often another wharf or an older registry; stop it (`ss -ltnp sport = :{port}` as root names \
             it), or change listen of [server]\n"
        )
    );
}

/// One wrong root is one mistake, however many registries store below it.
#[test]
fn newcomer_10_a_wrong_root_is_one_line_that_says_how_to_set_another() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    for (root, expected) in [
        ("file", "all registries: cannot store in file: it is not a directory; set another root: "),
        (
            "file/below",
            "all registries: cannot store in file/below: file is not a directory; set another root: ",
        ),
        ("/proc/wharf", "all registries: cannot store in /proc/wharf: mkdir /proc/wharf: "),
    ] {
        let text = configuration(&format!("[storage]\nroot = {root:?}\n"));
        std::fs::write(directory.path().join("wharf.toml"), text).unwrap();
        let (code, _, complained) = run(directory.path(), &["serve"]);
        assert_eq!((code, complained.lines().count()), (Some(1), 1), "{complained}");
        assert!(complained.starts_with(expected), "{complained}");
        assert!(
            complained.ends_with("set another root: `root` of [storage], or WHARF_ROOT\n"),
            "{complained}"
        );
    }
}

/// A failed start leaves nothing behind.
#[test]
fn newcomer_12_a_start_that_fails_makes_no_directories() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let certificate = "ca_file = \"ca.pem\"\n[[registry]]\nname = \"quay.io\"\nproxy = \"ftp://proxy\"\n";
    for text in [
        format!("[server]\nlisten = \"{address}\"\n[admin]\nlisten = \"off\"\n"),
        format!("[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"{address}\"\n"),
        configuration(&format!("[[registry]]\nname = \"docker.io\"\n{certificate}")),
    ] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("wharf.toml"), &text).unwrap();
        let (code, _, complained) = run(directory.path(), &["serve"]);
        assert_eq!(code, Some(1), "{complained}");
        let left: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["wharf.toml"], "{complained}");
    }
}

#[test]
fn every_root_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("other")).unwrap();
    std::fs::write(directory.path().join("other/file"), "not ours").unwrap();
    std::fs::write(directory.path().join("plain"), "a file").unwrap();
    let text = configuration(
        "[[registry]]\nname = \"ghcr.io\"\nroot = \"other\"\n[[registry]]\nname = \"quay.io\"\nroot = \"plain\"\n",
    );
    std::fs::write(directory.path().join("wharf.toml"), text).unwrap();
    let (code, _, complained) = run(directory.path(), &["serve"]);
    assert_eq!(code, Some(1));
    let lines: Vec<&str> = complained.lines().collect();
    assert_eq!(lines.len(), 2, "{complained}");
    assert!(
        lines[0].starts_with(
            "ghcr.io: cannot store in other: it is not a wharf store and not empty (it contains \"file\")"
        ),
        "{complained}"
    );
    assert!(
        lines[1]
            == "quay.io: cannot store in plain: it is not a directory; set another root: `root` of [storage], \
                     or WHARF_ROOT",
        "{complained}"
    );
    assert_eq!(std::fs::read_to_string(directory.path().join("other/file")).unwrap(), "not ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_asked_without_any_other_program() {
    let hub = FakeRegistry::start().await;
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    let url = format!("http://{}/readyz", program.address);
    let healthy = run(program.directory.path(), &["health", "--url", &url]);
    assert_eq!(healthy, (Some(0), String::new(), String::new()));
    let elsewhere = format!("http://{}/nowhere", program.address);
    let (code, _, complained) = run(program.directory.path(), &["health", "--url", &elsewhere]);
    assert_eq!(
        (code, complained),
        (Some(1), format!("{elsewhere}: the answer was \"HTTP/1.1 404 Not Found\"\n"))
    );

    let directory = tempfile::tempdir().unwrap();
    let text = format!("[server]\nlisten = \"{}\"\n", program.address);
    std::fs::write(directory.path().join("wharf.toml"), text).unwrap();
    assert_eq!(run(directory.path(), &["health"]).0, Some(0), "the configuration knows where to ask");
    drop(program);
    assert_eq!(run(directory.path(), &["health"]).0, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_notified_of_the_start_of_reloads_and_of_the_stop() {
    let hub = FakeRegistry::start().await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let configuration = configuration(&registry("docker.io", &hub));
    let mut program = Program::start_in(directory, &configuration, &[("NOTIFY_SOCKET", path.into())]);
    let next = || {
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    assert_eq!(next(), "READY=1");
    assert_eq!(program.get("127.0.0.1", "/readyz").await.unwrap().status, 200);
    program.signal(Signal::HUP);
    assert_eq!([next(), next()], ["RELOADING=1", "READY=1"]);
    program.signal(Signal::TERM);
    assert_eq!(next(), "STOPPING=1");
    assert!(program.wait().success());
}

/// Wording 14 and mistakes 2 and 3 of a first day.
#[test]
fn one_reason_against_all_registries_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let open = |mode| std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::write(directory.path().join("wharf.toml"), configuration("[storage]\nroot = \"data\"\n"))
        .unwrap();
    open(0o777);
    if !is_container() {
        let (code, _, complained) = run(directory.path(), &["serve"]);
        let shown = data.display();
        assert_eq!(
            (code, complained),
            (
                Some(1),
                format!(
                    "all registries: any user may rename files in {shown} and so replace this store; run \
                     `chmod o-w {shown}`\n"
                )
            )
        );
    }
    open(0o555);
    // Root may write anywhere, so another user has to try.
    let Some((code, complained)) = run_unprivileged(directory.path()) else { return };
    let (user, shown) = (UNPRIVILEGED, data.display());
    assert_eq!(
        (code, complained),
        (
            Some(1),
            format!(
                "all registries: user {user} cannot create directories in {shown}: permission denied; as \
                 root, run `chown {user} {shown}`, or set another root: `root` of [storage], or WHARF_ROOT\n"
            )
        )
    );
}

/// The advice was to give away the directory above, such as `/srv`.
#[test]
fn newcomer_a_root_that_cannot_be_made_is_to_be_made_by_root_and_nothing_else_given_away() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("srv")).unwrap();
    for root in ["srv/nope", "srv/deep/nope"] {
        let shown = directory.path().join(root);
        let shown = shown.display();
        let text = configuration(&format!("[storage]\nroot = {root:?}\n"));
        std::fs::write(directory.path().join("wharf.toml"), text).unwrap();
        let Some((code, complained)) = run_unprivileged(directory.path()) else { return };
        let user = UNPRIVILEGED;
        let expected = format!(
            "all registries: user {user} cannot create {shown}: permission denied; as root, run \
             `install -d -o {user} -g {user} {shown}`, or set another root: `root` of [storage], or \
             WHARF_ROOT\n"
        );
        assert_eq!((code, complained), (Some(1), expected));
    }
}

/// Runs `wharf serve` as that user. Returns `None` if this process may not become it.
fn run_unprivileged(directory: &std::path::Path) -> Option<(Option<i32>, String)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = std::process::Command::new(copied_program(directory));
    command.arg("serve").current_dir(directory).env_clear().uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    let output = command.output().unwrap();
    Some((output.status.code(), String::from_utf8(output.stderr).unwrap()))
}

/// In a container every user belongs to it, and volumes are often writable by all.
fn is_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|path| std::path::Path::new(path).exists())
}

/// Friction 10 of a first day: the first line of a healthy start was a warning.
#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_start_warns_of_nothing() {
    let program = Program::start(&configuration(""));
    program.wait_for_line("containerd: put");
    assert!(!program.log().contains("WARN"), "{}", program.log());
}

#[test]
fn too_few_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("wharf.toml"), configuration("")).unwrap();
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", "ulimit -n 512 && exec \"$0\" serve", env!("CARGO_BIN_EXE_wharf")])
        .current_dir(directory.path())
        .env_clear()
        .output()
        .unwrap();
    let complained = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{complained}");
    assert!(
        complained.starts_with("open-file limit is 512, which is too few for a server; raise it to 1024"),
        "{complained}"
    );
}

/// The log of a start under these limits, up to its last line.
fn start_under(limits: &str, configuration: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("wharf.toml"), configuration).unwrap();
    let mut command = std::process::Command::new("/bin/sh");
    let script = format!("{limits} && exec \"$0\" serve");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_wharf")]).current_dir(directory.path()).env_clear();
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let mut log = String::new();
    for line in lines.map(Result::unwrap) {
        log.push_str(&line);
        log.push('\n');
        if line.contains("containerd: put") {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    log
}

#[test]
fn f43_ordinary_limits_are_no_reason_to_warn_on_a_default_installation() {
    for (limits, expected) in [
        // The soft limit alone is low: it is raised.
        ("ulimit -S -n 1024", " INFO wharf::wiring: open-file limit is "),
        (
            "ulimit -S -n 1024 && ulimit -H -n 4096",
            " INFO wharf::wiring: open-file limit is 4096: serving at most 1493 connections (747 of one client) and 1223 \
             requests at once. For more, raise it to 25872",
        ),
    ] {
        let log = start_under(limits, &configuration(""));
        assert!(log.contains(expected) && log.contains("containerd: put"), "{limits}: {log}");
        assert!(!log.contains("WARN"), "{limits}: {log}");
    }
}

#[test]
fn f43_less_than_was_asked_for_is_a_warning_and_nothing_else_is() {
    let limits = "ulimit -S -n 1024 && ulimit -H -n 4096";
    let asking =
        |key: &str| start_under(limits, &configuration("").replace("[server]", &format!("[server]\n{key}")));
    let log = asking("connection_count_max = 10_000");
    let expected = " WARN wharf::wiring: open-file limit is 4096: serving at most 2382 connections (1191 of one client) and \
                    576 requests at once, less than connection_count_max = 10000. For more, raise it to 25872";
    assert!(log.contains(expected), "{log}");
    let log = asking("answer_count_max = 1_000");
    assert!(log.contains(" INFO wharf::wiring: open-file limit is 4096: ") && !log.contains("WARN"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_speak_tls_alone() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let identity = rcgen::generate_simple_self_signed(vec!["cache.example".to_owned()]).unwrap();
    std::fs::write(directory.path().join("cert.pem"), identity.cert.pem()).unwrap();
    std::fs::write(directory.path().join("key.pem"), identity.signing_key.serialize_pem()).unwrap();
    let text = "[server]\nlisten = \"off\"\n[server.tls]\nlisten = \"127.0.0.1:0\"\ncert_file = \"cert.pem\"\n\
                key_file = \"key.pem\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[[registry]]\nname = \"docker.io\"\n";
    let program = Program::start_in(directory, text, &[]);
    assert!(!program.log().contains("listening on http://"), "{}", program.log());
    let url = format!("https://{}/readyz", program.address);
    assert_eq!(
        run(program.directory.path(), &["health", "--url", &url]),
        (Some(0), String::new(), String::new())
    );
}

#[test]
fn a_person_gets_short_lines() {
    let mut terminal = Terminal::start(&configuration(""), &[], "containerd  [host.");
    assert!(terminal.text.contains("wharf 0.1.0 with wharf.toml\r\n"), "{}", terminal.text);
    assert!(!terminal.text.contains("wharf::") && !terminal.text.contains("INFO"), "{}", terminal.text);
    assert!(terminal.text.contains("\u{1b}[2m"), "the time is dim: {:?}", terminal.text);
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.wait(), Ok(0));
    let plain = Terminal::start(&configuration(""), &[("NO_COLOR", "1")], "containerd  [host.");
    assert!(!plain.text.contains('\u{1b}'), "{:?}", plain.text);
    let json = Terminal::start(&configuration("[log]\nformat = \"json\"\n"), &[], "containerd: put");
    assert!(json.text.starts_with("{\"time\":\""), "{}", json.text);
}

#[test]
fn no_core_file_will_hold_a_password() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("wharf.toml"), configuration("")).unwrap();
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\" serve", env!("CARGO_BIN_EXE_wharf")]);
    let child =
        command.current_dir(directory.path()).env_clear().stderr(std::process::Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("listening on")), "it starts");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
