//! DNS-01, by updates to a real server and by a program.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::daemon::available;
use crate::lab::{HOSTS, Lab, REGISTRY};
use crate::zone::KEY;

const OBTAINED: &str = "obtained a certificate for";

/// The keys for updates at `lab`'s server, with this secret.
fn by_updates(lab: &Lab, secret: &str) -> String {
    let (name, algorithm, _) = KEY;
    format!(
        "challenge = \"dns-01\"\ndns_server = \"{}\"\ndns_key_name = {name:?}\ndns_key_algorithm = {algorithm:?}\n\
         dns_key = {secret:?}\ndns_wait = \"0s\"\n",
        lab.zone.address
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_obtain_wildcards_that_cover_a_registry_which_comes_later() {
    let Some(lab) = Lab::start() else { return };
    let keys = by_updates(&lab, "${DNS_KEY}") + "wildcard = true\n";
    let text = lab.configuration(&keys, REGISTRY);
    let wharf = lab.wharf_with(&text, &[("DNS_KEY", KEY.2.into())]);
    let line = wharf.wait_for_line(OBTAINED);
    for name in ["reg.example", "*.reg.example", "*.io.reg.example"] {
        assert!(line.contains(name), "{name}: {line}");
    }
    for host in HOSTS.iter().chain(&["quay.io.reg.example", "quay-io.reg.example"]) {
        // A host of no registry still gets its handshake.
        lab.connect(host).await.unwrap_or_else(|error| panic!("{host}: {error:?}"));
    }
    // `*.reg.example` has a second record beside that of `reg.example`.
    let log = lab.zone.daemon.log();
    assert_eq!(log.matches("adding an RR at '_acme-challenge").count(), 3, "{log}");
    assert_eq!(log.matches("deleting an RR at _acme-challenge").count(), 3, "each is removed: {log}");
    assert!(!wharf.log().contains(KEY.2) && !wharf.log().contains("stays in the DNS"), "{}", wharf.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_killed_process_left_in_the_dns_is_removed_at_the_next_start() {
    let Some(lab) = Lab::start() else { return };
    let keys = by_updates(&lab, KEY.2) + "names = [\"reg.example\"]\n";
    // The order waits for the servers of the zone until the process is killed.
    let slow = keys.replace("dns_wait = \"0s\"", "dns_wait = \"5m\"");
    let mut wharf = lab.wharf(&lab.configuration(&slow, REGISTRY));
    lab.zone.daemon.wait_for("adding an RR at '_acme-challenge", 1);
    wharf.signal(Signal::KILL);
    wharf.wait();
    let wharf = lab.wharf(&lab.configuration(&keys, REGISTRY));
    wharf.wait_for_line(OBTAINED);
    let log = lab.zone.daemon.log();
    assert_eq!(log.matches("adding an RR at '_acme-challenge").count(), 2, "{log}");
    assert_eq!(log.matches("deleting an RR at _acme-challenge").count(), 2, "{log}");
    let [note] = &lab.state_files("records")[..] else { panic!("{:?}", lab.state_files("")) };
    assert_eq!(fs::read_to_string(note).unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_leads_updates_to_another_zone() {
    let Some(lab) = Lab::start() else { return };
    let keys = by_updates(&lab, KEY.2) + "names = [\"mirror.example\"]\n";
    let wharf = lab.wharf(&lab.configuration(&keys, &format!("{REGISTRY}hosts = [\"mirror.example\"]\n")));
    wharf.wait_for_line("obtained a certificate for mirror.example;");
    assert_eq!(lab.connect("mirror.example").await.unwrap(), 200);
    let log = lab.zone.daemon.log();
    assert!(
        log.contains("adding an RR at 'far.alias'") && log.contains("deleting an RR at far.alias"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_the_key_is_told_in_words() {
    let Some(lab) = Lab::start() else { return };
    let wharf = lab.wharf(&lab.configuration(&by_updates(&lab, "d3Jvbmc="), REGISTRY));
    let line = wharf.wait_for_line("cannot obtain a certificate for");
    assert!(line.contains("it refused the update (") && line.contains("check the key's name"), "{line}");
    assert!(line.contains("_acme-challenge.") && line.contains(&lab.zone.address.to_string()), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_makes_and_removes_each_record_and_the_sandbox_is_off() {
    if !available(&["nsupdate"]) {
        return;
    }
    let Some(lab) = Lab::start() else { return };
    let hook = lab.directory.path().join("hook");
    let (name, algorithm, secret) = KEY;
    // The script has the form of a hook for lego, and notes its calls.
    let script = format!(
        "#!/bin/sh\necho \"$1 $2 $CERTBOT_DOMAIN ${{TOKEN}}\" >> {calls:?}\n\
         case $1 in present) act=add;; cleanup) act=delete;; *) exit 2;; esac\n\
         nsupdate -v <<END\nserver 127.0.0.1 {port}\nkey {algorithm}:{name} {secret}\n\
         update $act $2 60 TXT \"$3\"\nsend\nEND\n",
        calls = lab.directory.path().join("calls"),
        port = lab.zone.address.port(),
    );
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let keys = format!(
        "challenge = \"dns-01\"\ndns_hook = {hook:?}\ndns_hook_variables = [\"TOKEN\"]\ndns_wait = \"0s\"\n\
         names = [\"reg.example\"]\n"
    );
    let variables = [("PATH", "/usr/bin:/bin".into()), ("TOKEN", "t0ken".into()), ("OTHER", "x".into())];
    let wharf = lab.wharf_with(&lab.configuration(&keys, REGISTRY), &variables);
    wharf.wait_for_line("sandbox: off: the hook of [server.acme] is a program");
    wharf.wait_for_line(OBTAINED);
    let calls = fs::read_to_string(lab.directory.path().join("calls")).unwrap();
    let expected = "_acme-challenge.reg.example. reg.example t0ken\n";
    assert_eq!(calls, format!("present {expected}cleanup {expected}"));

    fs::write(&hook, "#!/bin/sh\nexit 3\n").unwrap();
    fs::remove_dir_all(lab.directory.path().join("wharf-data/_acme")).unwrap();
    drop(wharf);
    let wharf = lab.wharf_with(&lab.configuration(&keys, REGISTRY), &variables);
    let line = wharf.wait_for_line("cannot obtain a certificate for");
    assert!(line.contains("ended with exit status: 3"), "{line}");
}
