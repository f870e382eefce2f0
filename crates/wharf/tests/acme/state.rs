//! What survives a restart, a crash, damage, and a reload.

use std::fs;
use std::sync::Arc;

use rustix::process::Signal;
use testkit::client;

use crate::lab::{HOSTS, Lab, REGISTRY};
use crate::program::{Program, run};

const OBTAINED: &str = "obtained a certificate for";

async fn reload(wharf: &Program, text: &str) -> (u16, String) {
    fs::write(wharf.directory.path().join("wharf.toml"), text).unwrap();
    let answer = client::request("POST", wharf.admin, "localhost", "/api/reload", &[]).await.unwrap();
    (answer.status, answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_a_reload_adds_gets_a_certificate() {
    let Some(lab) = Lab::start() else { return };
    let wharf = lab.wharf(&lab.configuration("", REGISTRY));
    wharf.wait_for_line(OBTAINED);
    let more = format!("{REGISTRY}[[registry]]\nname = \"quay.io\"\n");
    let (status, told) = reload(&wharf, &lab.configuration("", &more)).await;
    assert_eq!(status, 200, "{told}");
    wharf.wait_for_line("obtained a certificate for quay.io.reg.example, quay-io.reg.example;");
    for host in HOSTS.iter().chain(&["quay.io.reg.example", "quay-io.reg.example"]) {
        assert_eq!(lab.connect(host).await.unwrap(), 200, "{host}");
    }
    assert_eq!(lab.state_files(".pem").len(), 2);
    // A change of the way is taken over, and costs no order.
    let (status, told) = reload(&wharf, &lab.configuration("challenge = \"tls-alpn-01\"\n", &more)).await;
    assert!(status == 200 && told.contains("acme"), "{told}");
    let (status, told) = reload(&wharf, &lab.configuration("state_dir = \"elsewhere\"\n", &more)).await;
    assert!(status == 200 && told.contains("[server.acme] with its state_dir needs a restart"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_near_its_end_is_renewed_and_a_lost_account_is_made_anew() {
    let Some(mut lab) = Lab::start() else { return };
    let text = lab.configuration("", REGISTRY);
    let wharf = lab.wharf(&text);
    wharf.wait_for_line(OBTAINED);
    drop(wharf);
    // A certificate for the same names of which a third of its life is left.
    let [stored] = &lab.state_files(".pem")[..] else { panic!("{:?}", lab.state_files("")) };
    let old = old_certificate();
    fs::write(stored, &old).unwrap();
    let modified = std::time::SystemTime::now() - std::time::Duration::from_secs(100 * 24 * 3600);
    fs::File::options().write(true).open(stored).unwrap().set_modified(modified).unwrap();
    lab.replace_authority();

    let wharf = lab.wharf(&text);
    wharf.wait_for_line("renewed the certificate for");
    assert!(wharf.log().contains("made an account at"), "{}", wharf.log());
    assert_eq!(lab.state_files("account.json.damaged").len(), 1);
    for host in HOSTS {
        assert_eq!(lab.connect(host).await.unwrap(), 200, "{host}");
    }
    assert_ne!(fs::read_to_string(stored).unwrap(), old);
    assert_eq!(lab.state_files(".pem"), std::slice::from_ref(stored), "in the place of the old one");
}

/// A key with a certificate for [`HOSTS`] that began 80 days ago and ends in 10.
fn old_certificate() -> String {
    use time::{Duration, OffsetDateTime};
    let mut params = rcgen::CertificateParams::new(HOSTS.map(str::to_owned)).unwrap();
    params.not_before = OffsetDateTime::now_utc() - Duration::days(80);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(10);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    format!("{}{}", key.serialize_pem(), certificate.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_set_aside_and_obtained_anew() {
    let Some(lab) = Lab::start() else { return };
    let text = lab.configuration("", REGISTRY);
    let wharf = lab.wharf(&text);
    wharf.wait_for_line(OBTAINED);
    drop(wharf);
    for file in lab.state_files(".pem").iter().chain(&lab.state_files("account.json")) {
        let content = fs::read(file).unwrap();
        fs::write(file, &content[..content.len() / 2]).unwrap();
    }
    let wharf = lab.wharf(&text);
    wharf.wait_for_line(OBTAINED);
    assert_eq!(lab.state_files(".damaged").len(), 2, "{:?}", lab.state_files(""));
    assert!(wharf.log().contains("wharf obtains it anew"), "{}", wharf.log());
    assert_eq!(lab.connect(HOSTS[0]).await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_of_an_order_leaves_a_state_from_which_the_next_process_goes_on() {
    let Some(lab) = Lab::start() else { return };
    let text = lab.configuration("", REGISTRY);
    // The paths that the authority calls for an account, an order, a validation, and the certificate.
    for step in
        ["POST /sign-me-up", "POST /order-plz", "POST /chalZ/", "POST /finalize-order/", "POST /certZ/"]
    {
        let seen = lab.pebble.count(step);
        let mut wharf = lab.wharf(&text);
        lab.pebble.daemon.wait_for(step, seen + 1);
        wharf.signal(Signal::KILL);
        wharf.wait();
        if step != "POST /certZ/" {
            continue;
        }
        // The certificate may have been stored in that moment.
        let again = lab.wharf(&text);
        if lab.state_files(".pem").is_empty() {
            again.wait_for_line(OBTAINED);
        }
        assert_eq!(lab.connect(HOSTS[0]).await.unwrap(), 200);
        assert!(lab.state_files(".damaged").is_empty() && lab.state_files(".unfinished").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_share_a_state_and_only_its_user_can_read_it() {
    use std::os::unix::fs::MetadataExt;
    let Some(lab) = Lab::start() else { return };
    let state = lab.directory.path().join("shared");
    let wharf = lab.wharf(&lab.configuration(&format!("state_dir = {state:?}\n"), REGISTRY));
    wharf.wait_for_line(OBTAINED);
    for entry in fs::read_dir(&state).unwrap() {
        let path = entry.unwrap().path();
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode, "{path:?}");
    }
    let other = Arc::new(tempfile::tempdir().unwrap());
    fs::copy(lab.directory.path().join("ca.pem"), other.path().join("ca.pem")).unwrap();
    let text = lab.configuration(&format!("state_dir = {state:?}\n"), REGISTRY);
    let text =
        text.replace(&lab.plain.to_string(), "127.0.0.1:0").replace(&lab.tls.to_string(), "127.0.0.1:0");
    fs::write(other.path().join("wharf.toml"), text).unwrap();
    let (code, _, complaint) = run(other.path(), &["serve"]);
    assert!(code == Some(1) && complaint.contains("is in use by another wharf"), "{code:?} {complaint}");
}
