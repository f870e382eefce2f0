//! How it starts, and what keeps it from starting.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use testkit::{Authority, FakeRegistry};

use crate::program::{Program, configuration, registry, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_log_begins_with_how_to_reach_each_registry() {
    let hub = FakeRegistry::start().await;
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    let (address, upstream) = (program.address, hub.url());
    let port = address.port();
    program.wait_for_line("containerd: put");
    let log = program.log();
    let said: Vec<&str> = log.lines().filter_map(|line| Some(line.split_once(" INFO wharf")?.1)).collect();
    let said: Vec<&str> = said.iter().filter_map(|line| Some(line.split_once(": ")?.1)).collect();
    let expected = [
        format!("wharf {} with wharf.toml", env!("CARGO_PKG_VERSION")),
        format!("listening on http://{address}"),
        format!("admin on http://{}/metrics", program.admin),
        format!(
            "docker.io -> {upstream} as http://docker.io.localhost:{port} or http://{address}/v2/?ns=docker.io"
        ),
        format!(
            "docker: put {{\"registry-mirrors\": [\"http://docker.io.localhost:{port}\"]}} into /etc/docker/daemon.json"
        ),
        format!(
            "containerd: put [host.\"http://{address}\"] into /etc/containerd/certs.d/_default/hosts.toml"
        ),
    ];
    assert_eq!(said, expected);
    assert!(log.contains("WARN wharf::wiring: wharf.toml:7: registry[docker.io].upstream: "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_root_is_refused() {
    let hub = FakeRegistry::start().await;
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    let (code, _, complained) = run(program.directory.path(), &["serve"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        complained,
        "docker.io: ./wharf-data/docker.io is used by another process; \
         stop that one, or give this one another root\n"
    );
    assert_eq!(program.get("127.0.0.1", "/readyz").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_systems_authorities_are_read_once_for_all_registries() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let path = directory.path().join("authorities.pem");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let variables = [("SSL_CERT_FILE", path.clone().into())];
    // It waits for a reader and is gone then: whoever opened the pipe once more would wait for ever.
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
    assert_eq!(complained, format!("cannot listen on {address}: Address already in use (os error 98)\n"));
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
        lines[0].starts_with("ghcr.io: cannot store in other: ") && lines[0].contains("; set a"),
        "{complained}"
    );
    assert!(
        lines[1].starts_with("quay.io: cannot store in plain: ") && lines[1].contains("; set a"),
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
async fn systemd_is_told_when_it_is_ready_and_when_it_stops() {
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
    program.signal(Signal::TERM);
    assert_eq!(next(), "STOPPING=1");
    assert!(program.wait().success());
}
