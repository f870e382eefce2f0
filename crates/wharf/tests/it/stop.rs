//! The end: after one signal it finishes running answers; after two it ends at once.

use rustix::process::Signal;
use testkit::client::Connection;
use testkit::{FakeRegistry, Fault, Gate, Image, Kind, Rule};

use crate::program::{Program, configuration, registry};
use crate::terminal::Terminal;

/// A program in the middle of sending a layer. The gate holds the rest.
struct Pull {
    program: Program,
    connection: Connection,
    gate: Gate,
    layer: bytes::Bytes,
    _hub: FakeRegistry,
}

async fn begin_pull(server_keys: &str) -> Pull {
    let hub = FakeRegistry::start().await;
    let image = Image::generated(7, &[1_000_000]);
    hub.put_image("library/app", "latest", &image);
    let gate = Gate::new();
    hub.script(Rule::new(Kind::GetBlob, Fault::PauseAt(500_000, gate.clone())));
    let text = configuration(&registry("docker.io", &hub));
    let program = Program::start(&text.replace("[server]\n", &format!("[server]\n{server_keys}\n")));
    let mut connection = Connection::open(program.address).await.unwrap();
    let target = format!("/v2/library/app/blobs/{}", image.layers[0].digest);
    connection.request("GET", "docker.io.localhost", &target, &[]).await.unwrap();
    assert_eq!(connection.read_head("GET").await.unwrap().status, 200);
    Pull { program, connection, gate, layer: image.layers[0].bytes(), _hub: hub }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_signal_lets_it_finish_the_answers_and_refuse_new_clients() {
    let Pull { mut program, mut connection, gate, layer, _hub } = begin_pull("").await;
    program.signal(Signal::TERM);
    program.wait_for_line("SIGTERM: no new connections, finishing 1 request (up to 60s)");
    // The listener closes a moment after the signal.
    let refused = async { while Connection::open(program.address).await.is_ok() {} };
    testkit::within("new clients are refused", refused).await;
    gate.release();
    let (body, end) = connection.read_rest().await;
    assert!(end.is_ok(), "{end:?}");
    assert!(body == layer, "{} of {} bytes", body.len(), layer.len());
    assert_eq!(program.wait().code(), Some(0));
    program.wait_for_line("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_grace_it_breaks_off_and_still_ends_well() {
    let Pull { mut program, mut connection, gate: _gate, layer, _hub } =
        begin_pull("shutdown_grace = \"100ms\"").await;
    program.signal(Signal::INT);
    let (body, end) = connection.read_rest().await;
    assert!(end.is_err() && body.len() < layer.len(), "a body that was cut must not look whole");
    assert_eq!(program.wait().code(), Some(0));
}

/// Under the limit, the next piece of the answer may be sent after a minute only.
#[tokio::test(flavor = "multi_thread")]
async fn a_low_limit_for_clients_does_not_delay_the_end_beyond_the_grace() {
    let hub = FakeRegistry::start().await;
    let image = Image::generated(7, &[1_000_000]);
    hub.put_image("library/app", "latest", &image);
    let text = configuration(&format!("{}client_bandwidth = \"1KiB/s\"\n", registry("docker.io", &hub)));
    let text = text.replace("[server]\n", "[server]\nshutdown_grace = \"100ms\"\n");
    let mut program = Program::start(&text);
    let mut connection = Connection::open(program.address).await.unwrap();
    let target = format!("/v2/library/app/blobs/{}", image.layers[0].digest);
    connection.request("GET", "docker.io.localhost", &target, &[]).await.unwrap();
    assert_eq!(connection.read_head("GET").await.unwrap().status, 200);
    assert!(connection.read_piece(1024).await.unwrap().is_some());
    program.signal(Signal::TERM);
    let (body, end) = connection.read_rest().await;
    assert!(end.is_err() && body.len() < 1_000_000, "a body that was cut must not look whole");
    assert_eq!(program.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_signals_end_it_at_once() {
    for (second, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let Pull { mut program, connection: _open, gate: _gate, .. } = begin_pull("").await;
        program.signal(Signal::TERM);
        program.wait_for_line("SIGTERM: no new connections, finishing 1 request (up to 60s)");
        program.signal(second);
        assert_eq!(program.wait().code(), Some(code));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_was_cut_off_goes_on_after_the_restart() {
    let Pull { mut program, mut connection, gate, layer, _hub: hub } =
        begin_pull("shutdown_grace = \"0s\"").await;
    let digest = testkit::digest_of(&layer);
    let (first, _) = {
        // The client has half of it, and so has the disk, before the program ends.
        let mut first = Vec::new();
        while first.len() < 400_000 {
            first.extend_from_slice(&connection.read_piece(64 * 1024).await.unwrap().unwrap());
        }
        program.signal(Signal::TERM);
        (first, connection.read_rest().await)
    };
    assert_eq!(program.wait().code(), Some(0));
    gate.release();
    hub.log().clear();
    let text = std::fs::read_to_string(program.directory.path().join("wharf.toml")).unwrap();
    let program = Program::start_in(program.directory.clone(), &text, &[]);
    let answer =
        program.get("docker.io.localhost", &format!("/v2/library/app/blobs/{digest}")).await.unwrap();
    assert!(answer.complete && answer.body == layer);
    let again = hub.log().body_bytes(&digest);
    assert!(again < (layer.len() - first.len() / 2) as u64, "{again} bytes came a second time");
}

/// Friction 3 and mistake 22 of a first day: a signal meant to reload stopped the cache, with exit code 0.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_means_something_to_other_servers_stops_nothing() {
    let hub = FakeRegistry::start().await;
    let mut program = Program::start(&configuration(&registry("docker.io", &hub)));
    let said = [
        (Signal::HUP, "INFO wharf::reload: reload (SIGHUP): wharf.toml is already in force"),
        (Signal::USR1, "WARN wharf::signals: SIGUSR1 ignored: "),
        (Signal::USR2, "WARN wharf::signals: SIGUSR2 ignored: "),
        (Signal::ALARM, "WARN wharf::signals: SIGALRM ignored: "),
    ];
    for silent in [Signal::PIPE, Signal::XFSZ, Signal::WINCH, Signal::CONT, Signal::URG] {
        program.signal(silent);
    }
    for (signal, line) in said {
        program.signal(signal);
        program.wait_for_line(line);
        assert_eq!(program.get("127.0.0.1", "/readyz").await.unwrap().status, 200, "{line}");
    }
    program.signal(Signal::TERM);
    assert_eq!(program.wait().code(), Some(0));
    program.wait_for_line("SIGTERM: no new connections, finishing 0 requests (up to 60s)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_reload_does_not_interrupt_the_stop() {
    let Pull { mut program, mut connection, gate, layer, _hub } = begin_pull("").await;
    program.signal(Signal::TERM);
    program.wait_for_line("SIGTERM: no new connections");
    program.signal(Signal::HUP);
    program.wait_for_line("SIGHUP ignored");
    gate.release();
    let (body, end) = connection.read_rest().await;
    assert!(end.is_ok() && body == layer, "{end:?}");
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn a_program_ends_with_the_terminal_that_it_was_started_in() {
    let text = configuration("[[registry]]\nname = \"docker.io\"\n");
    let mut terminal = Terminal::start(&text, &[], "admin on http://");
    terminal.signal(Signal::HUP);
    terminal.wait_for("reload (SIGHUP)");
    terminal.hang_up();
    terminal.signal(Signal::HUP);
    assert_eq!(terminal.wait(), Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_blob_s_line_does_not_mention_its_storage() {
    let hub = FakeRegistry::start().await;
    let image = Image::generated(9, &[1_000_000]);
    hub.put_image("library/app", "latest", &image);
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    let target = format!("/v2/library/app/blobs/{}", image.layers[0].digest);
    assert_eq!(program.get("docker.io.localhost", &target).await.unwrap().status, 200);
    let line = program.wait_for_line(&format!("reference={}", image.layers[0].digest));
    assert!(line.contains("request outcome=miss status=200") && !line.contains("kept"), "{line}");
}

/// A write beyond `ulimit -f` would end the process (SIGXFSZ); it counts as a full disk instead.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_larger_than_allowed_costs_the_copy_and_not_the_process() {
    let hub = FakeRegistry::start().await;
    let image = Image::generated(8, &[1_000_000]);
    hub.put_image("library/app", "latest", &image);
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    program.limit_file_size(300_000);
    let target = format!("/v2/library/app/blobs/{}", image.layers[0].digest);
    let answer = program.get("docker.io.localhost", &target).await.unwrap();
    assert!(answer.complete && answer.body == image.layers[0].bytes());
    assert_eq!(program.get("127.0.0.1", "/readyz").await.unwrap().status, 200);
    // Table 2, number 4, of a first day: the line said only `miss`, which means that it was stored.
    let line = program.wait_for_line(&format!("reference={}", image.layers[0].digest));
    // On a slow machine the disk may fail before the answer begins.
    let is_miss = line.contains("request outcome=miss status=200") && line.contains(" kept=false ");
    assert!(is_miss || line.contains("request outcome=bypass status=200"), "{line}");
    let bypassed = "wharf_bypassed_total{registry=\"docker.io\",reason=\"store_failed\"} 1";
    let metrics = program.metrics().await;
    assert!(metrics.contains(bypassed), "{metrics}");
}
