//! Real clients before a wharf that asks for logins.

use std::fs;
use std::time::Duration;

use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::image::Form;
use crate::lab::{CORP, Lab};
use crate::podman::Podman;
use crate::process::{Ran, available};
use crate::pulls::{APP, push_both};
use crate::skopeo::Skopeo;

/// Written by `htpasswd -nbB -C 4 ci "canary horse"`.
const USERS: &str = "ci:$2y$04$7K7CaUl3esptvcwjx.Ifb./2tpQGsmHo7t8bT5.adrDCNu9WvoUae\n";

const PASSWORD: &str = "canary horse";

const TOKEN: &str = "canary-0123456789abcdef0123456789";

const WITHIN: Duration = Duration::from_secs(60);

fn start() -> Lab {
    Lab::start_with_sections("", |directory| {
        let (users, tokens) = (directory.join("users"), directory.join("tokens"));
        fs::write(&users, USERS).expect("the users are written");
        fs::write(&tokens, format!("deploy:{TOKEN}\n")).expect("the tokens are written");
        format!("\n[access]\nusers_file = {users:?}\ntokens_file = {tokens:?}\n")
    })
}

#[track_caller]
fn succeeds(ran: &Ran) {
    assert!(ran.status.is_some_and(|status| status.success()), "{ran:?}");
}

#[track_caller]
fn fails(ran: &Ran) {
    assert!(ran.status.is_some_and(|status| !status.success()), "{ran:?}");
}

#[test]
fn docker_logs_in_pulls_and_builds() {
    if !available(&["/usr/bin/docker", "dockerd", "containerd", "runc", "busybox"]) {
        return;
    }
    let mut lab = start();
    push_both(&mut lab, "1", Form::Docker);
    let directory = lab.fresh_directory("docker");
    let docker = Docker::start(&lab, &directory);
    let hosts = [lab.vhost(CORP), lab.bare_host()];
    let references = [format!("{}/{APP}:1", lab.vhost(CORP)), format!("{}/{CORP}/{APP}:1", lab.bare_host())];
    for (host, reference) in hosts.iter().zip(&references) {
        fails(&docker.try_pull(reference, WITHIN));
        for (user, password) in [("ci", "wrong"), ("nobody", PASSWORD), ("ci", TOKEN)] {
            fails(&docker.try_run(&["login", "-u", user, "-p", password, host], WITHIN));
        }
        fails(&docker.try_pull(reference, WITHIN));
        for (user, password) in [("deploy", TOKEN), ("ci", PASSWORD)] {
            succeeds(&docker.try_run(&["login", "-u", user, "-p", password, host], WITHIN));
            succeeds(&docker.try_pull(reference, WITHIN));
            assert_eq!(docker.run(reference).trim_end(), "1 of the company");
            docker.remove(reference);
        }
        // Old BuildKit speaks plain HTTP only to the names that the daemon's settings list with their scheme.
        if *host == lab.vhost(CORP) {
            docker.build("built", &format!("FROM {reference}\nRUN cat /etc/marker\n"));
        }
        succeeds(&docker.try_run(&["logout", host], WITHIN));
        docker.remove(reference);
        fails(&docker.try_pull(reference, WITHIN));
    }
}

#[test]
fn podman_logs_in_and_pulls() {
    if !available(&["podman", "runc", "busybox"]) {
        return;
    }
    let mut lab = start();
    push_both(&mut lab, "1", Form::Oci);
    let directory = lab.fresh_directory("podman");
    let podman = Podman::new(&lab, &directory);
    let policy = directory.join("policy.json").display().to_string();
    for (host, reference) in [
        (lab.vhost(CORP), format!("{}/{APP}:1", lab.vhost(CORP))),
        (lab.bare_host(), format!("{}/{CORP}/{APP}:1", lab.bare_host())),
    ] {
        let plain = "--tls-verify=false";
        let pull = ["pull", plain, "--signature-policy", &policy, &reference];
        fails(&podman.try_run(&pull, WITHIN));
        fails(&podman.try_run(&["login", plain, "-u", "ci", "-p", "wrong", &host], WITHIN));
        succeeds(&podman.try_run(&["login", plain, "-u", "ci", "-p", PASSWORD, &host], WITHIN));
        succeeds(&podman.try_run(&pull, WITHIN));
        podman.remove(&reference);
        succeeds(&podman.try_run(&["logout", &host], WITHIN));
        fails(&podman.try_run(&pull, WITHIN));
    }
}

#[test]
fn skopeo_copies_with_a_login() {
    if !available(&["skopeo"]) {
        return;
    }
    let mut lab = start();
    push_both(&mut lab, "1", Form::Oci);
    let directory = lab.fresh_directory("skopeo");
    let skopeo = Skopeo::new(&lab, &directory);
    for reference in [format!("{}/{APP}:1", lab.vhost(CORP)), format!("{}/{CORP}/{APP}:1", lab.bare_host())] {
        fails(&skopeo.try_copy(&reference, "without", WITHIN));
        fails(&skopeo.try_copy_as("ci:wrong", &reference, "wrong", WITHIN));
        let name = format!("right-{}", reference.len());
        succeeds(&skopeo.try_copy_as(&format!("ci:{PASSWORD}"), &reference, &name, WITHIN));
        succeeds(&skopeo.try_copy_as(
            &format!("deploy:{TOKEN}"),
            &reference,
            &format!("{name}-token"),
            WITHIN,
        ));
    }
}

#[test]
fn containerd_pulls_with_a_login_and_with_a_header_of_its_mirror() {
    if !available(&["containerd", "ctr", "runc", "busybox"]) {
        return;
    }
    let mut lab = start();
    push_both(&mut lab, "1", Form::Oci);
    let directory = lab.fresh_directory("containerd");
    let containerd = Containerd::start_with(&lab.surroundings, &directory);
    let reference = format!("{}/{APP}:1", lab.vhost(CORP));
    fails(&containerd.try_pull_as("ci:wrong", &reference, WITHIN));
    succeeds(&containerd.try_pull_as(&format!("ci:{PASSWORD}"), &reference, WITHIN));
    containerd.remove(&reference);
    // base64 of `ci:canary horse`.
    let basic = "Basic Y2k6Y2FuYXJ5IGhvcnNl".to_owned();
    let mirrored = format!("{CORP}/{APP}:1");
    for (authorization, is_right) in [
        ("Bearer wrong".to_owned(), false),
        (format!("Bearer {TOKEN}"), true),
        ("Basic Y2k6d3Jvbmc=".to_owned(), false),
        (basic, true),
    ] {
        containerd.add_header(CORP, &lab.bare_host(), &authorization);
        let pulled = containerd.try_pull(&mirrored, WITHIN);
        if is_right {
            succeeds(&pulled);
            assert_eq!(containerd.run(&mirrored).trim_end(), "1 of the company");
            containerd.remove(&mirrored);
        } else {
            fails(&pulled);
        }
    }
}
