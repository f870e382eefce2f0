//! Real clients before a wharf that passes their logins on: each pulls what its user may pull at the
//! registry.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use testkit::{Account, Auth, Behaviour, Endpoint, FakeRegistry};
use tokio::runtime::Runtime;

use crate::docker::Docker;
use crate::http;
use crate::image::{Form, Image, runnable};
use crate::lab::{DOMAIN, TURN, free_address, wharf_program};
use crate::podman::Podman;
use crate::process::{Process, Ran, Surroundings, available};
use crate::skopeo::{Skopeo, write_registries};

const REGISTRY: &str = "one.test";
const APP: &str = "team/app";
const MARKER: &str = "for the team";
const WITHIN: Duration = Duration::from_secs(60);

/// Two users of the team, and one of another team. Their passwords begin with a word that nothing else has.
const ALICE: [&str; 2] = ["alice", "canary-of-alice"];
const CAROL: [&str; 2] = ["carol", "canary-of-carol"];
const BOB: [&str; 2] = ["bob", "canary-of-bob"];

/// A registry with private images, and a wharf that passes logins on. Fields drop in order.
struct Lab {
    wharf: Process,
    fake: FakeRegistry,
    image: Image,
    surroundings: Surroundings,
    public: SocketAddr,
    directory: TempDir,
    _runtime: Runtime,
    _turn: MutexGuard<'static, ()>,
}

impl Lab {
    fn start(auth: Auth, form: Form) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().expect("a directory is created");
        let vhost = format!("{REGISTRY}.{DOMAIN}");
        let surroundings = Surroundings::new(directory.path(), &[DOMAIN, &vhost]);
        let runtime = Runtime::new().expect("a runtime starts");
        let account = |[user, password]: [&str; 2], repository| Account::new(user, password, &[repository]);
        let accounts = vec![account(ALICE, APP), account(CAROL, APP), account(BOB, "team/other")];
        let behaviour = Behaviour { auth, accounts, redirects: false, ..Behaviour::default() };
        let fake = runtime.block_on(FakeRegistry::start_with(behaviour));
        let image = runnable(form, MARKER);
        for blob in &image.blobs {
            fake.put_blob_in(APP, blob.bytes());
        }
        fake.put_manifest(APP, Some("1"), image.manifest.media_type, image.manifest.bytes());
        let (public, admin, root) = (free_address(), free_address(), directory.path().join("cache"));
        let settings = format!(
            "[server]\nlisten = [\"{public}\"]\ndomain = \"{DOMAIN}\"\n[admin]\nlisten = \"{admin}\"\n[storage]\nroot = {root:?}\n\
             [log]\nlevel = \"trace\"\n[defaults]\nconnections_per_blob_max = 1\n\
             [[registry]]\nname = \"{REGISTRY}\"\nupstream = {:?}\nauth = \"passthrough\"\nauth_ttl = \"0s\"\n\
             trusted_hosts = [{:?}]\n",
            fake.url(),
            fake.host_of(Endpoint::Token),
        );
        let path = directory.path().join("wharf.toml");
        fs::write(&path, settings).expect("the settings are written");
        let mut command = surroundings.command(wharf_program());
        let log = directory.path().join("wharf.log");
        let mut wharf = Process::start(command.arg("serve").arg("--config").arg(path), log);
        wharf.wait_ready(|_| http::get(public, "/readyz").ok().filter(|answer| answer.status == 200));
        Self { wharf, fake, image, surroundings, public, directory, _runtime: runtime, _turn: turn }
    }

    fn host(&self) -> String {
        format!("{REGISTRY}.{DOMAIN}:{}", self.public.port())
    }

    fn reference(&self) -> String {
        format!("{}/{APP}:1", self.host())
    }

    fn client_directory(&self) -> PathBuf {
        let path = self.directory.path().join("client");
        fs::create_dir(&path).expect("the directory is created");
        path
    }

    /// Plays the story of three users with one client.
    fn play(&self, client: &mut dyn Client) {
        let (host, reference) = (self.host(), self.reference());
        fails(&client.pull(&reference), "without a login");
        refuses(client.log_in(&host, [ALICE[0], "canary-wrong"]), "a wrong password");
        // One who may not pull it, before it is stored.
        accepts(client.log_in(&host, BOB), "a right password");
        denied(&client.pull(&reference));
        client.log_out(&host);
        for user in [ALICE, CAROL] {
            accepts(client.log_in(&host, user), "a right password");
            succeeds(&client.pull(&reference));
            client.check(&reference);
            client.forget(&reference);
            client.log_out(&host);
        }
        for blob in &self.image.blobs {
            let sent = self.fake.log().body_bytes(&blob.digest);
            assert_eq!(sent, blob.size, "{} came once for both users", blob.digest);
        }
        // The same one, now that it is stored.
        accepts(client.log_in(&host, BOB), "a right password");
        denied(&client.pull(&reference));
        client.log_out(&host);
        // One who may pull it no longer: `auth_ttl` is zero.
        accepts(client.log_in(&host, ALICE), "a right password");
        self.fake.change(|behaviour| behaviour.accounts[0].repositories.clear());
        self.fake.revoke_tokens();
        denied(&client.pull(&reference));
        self.fake.change(|behaviour| behaviour.accounts[0].password = "canary-changed".to_owned());
        denied(&client.pull(&reference));
        client.log_out(&host);
        refuses(client.log_in(&host, ALICE), "an old password");
        accepts(client.log_in(&host, CAROL), "the others go on");
        succeeds(&client.pull(&reference));
        client.log_out(&host);
        let log = self.wharf.log();
        assert!(log.contains("GET") && !log.contains("canary"), "a credential is in the log:\n{log}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test runner shows this only for a failed test.
            for request in self.fake.requests() {
                println!("{} {} {:?}", request.method, request.target, request.status);
            }
        }
    }
}

/// A client that keeps a login for each host.
trait Client {
    /// Returns nothing if it has no such step.
    fn log_in(&mut self, host: &str, login: [&str; 2]) -> Option<Ran>;
    fn log_out(&mut self, host: &str);
    fn pull(&mut self, reference: &str) -> Ran;
    /// # Panics If the pulled image is another one.
    fn check(&self, reference: &str);
    fn forget(&mut self, reference: &str);
}

impl Client for Docker<'_> {
    fn log_in(&mut self, host: &str, [user, password]: [&str; 2]) -> Option<Ran> {
        Some(self.try_run(&["login", "-u", user, "-p", password, host], WITHIN))
    }

    fn log_out(&mut self, host: &str) {
        succeeds(&self.try_run(&["logout", host], WITHIN));
    }

    fn pull(&mut self, reference: &str) -> Ran {
        self.try_pull(reference, WITHIN)
    }

    fn check(&self, reference: &str) {
        assert_eq!(self.run(reference).trim_end(), MARKER);
    }

    fn forget(&mut self, reference: &str) {
        self.remove(reference);
    }
}

/// podman, with its directory.
struct PodmanOf<'a>(Podman<'a>, &'a Path);

impl Client for PodmanOf<'_> {
    fn log_in(&mut self, host: &str, [user, password]: [&str; 2]) -> Option<Ran> {
        Some(self.0.try_run(&["login", "--tls-verify=false", "-u", user, "-p", password, host], WITHIN))
    }

    fn log_out(&mut self, host: &str) {
        succeeds(&self.0.try_run(&["logout", host], WITHIN));
    }

    fn pull(&mut self, reference: &str) -> Ran {
        let policy = self.1.join("policy.json").display().to_string();
        let arguments = ["pull", "--tls-verify=false", "--signature-policy", &policy, reference];
        self.0.try_run(&arguments, WITHIN)
    }

    fn check(&self, reference: &str) {
        assert_eq!(self.0.run(reference).trim_end(), MARKER);
    }

    fn forget(&mut self, reference: &str) {
        self.0.remove(reference);
    }
}

/// skopeo gets the login with each copy.
struct SkopeoOf<'a> {
    skopeo: Skopeo<'a>,
    directory: &'a Path,
    login: Option<String>,
    copies: usize,
}

impl SkopeoOf<'_> {
    fn copy(&self) -> PathBuf {
        self.directory.join(format!("copy-{}", self.copies))
    }
}

impl Client for SkopeoOf<'_> {
    fn log_in(&mut self, _: &str, [user, password]: [&str; 2]) -> Option<Ran> {
        self.login = Some(format!("{user}:{password}"));
        None
    }

    fn log_out(&mut self, _: &str) {
        self.login = None;
    }

    fn pull(&mut self, reference: &str) -> Ran {
        self.copies += 1;
        let name = format!("copy-{}", self.copies);
        match &self.login {
            Some(login) => self.skopeo.try_copy_as(login, reference, &name, WITHIN),
            None => self.skopeo.try_copy(reference, &name, WITHIN),
        }
    }

    fn check(&self, _: &str) {
        assert!(self.copy().join("manifest.json").exists(), "the copy has a manifest");
    }

    fn forget(&mut self, _: &str) {
        fs::remove_dir_all(self.copy()).expect("the copy is removed");
    }
}

#[track_caller]
fn succeeds(ran: &Ran) {
    assert!(ran.status.is_some_and(|status| status.success()), "{ran:?}");
}

#[track_caller]
fn fails(ran: &Ran, why: &str) {
    assert!(ran.status.is_some_and(|status| !status.success()), "{why}: {ran:?}");
}

#[track_caller]
fn accepts(ran: Option<Ran>, why: &str) {
    if let Some(ran) = ran {
        assert!(ran.status.is_some_and(|status| status.success()), "{why}: {ran:?}");
    }
}

#[track_caller]
fn refuses(ran: Option<Ran>, why: &str) {
    if let Some(ran) = ran {
        fails(&ran, why);
        // docker, and podman.
        let words = ["Unauthorized", "invalid username/password"];
        assert!(words.iter().any(|words| ran.stderr.contains(words)), "{ran:?}");
    }
}

/// The client's words for a refusal, and not those for a broken registry.
#[track_caller]
fn denied(ran: &Ran) {
    fails(ran, "the user may not pull it");
    assert!(ran.stderr.contains("denied"), "{ran:?}");
}

fn auths() -> [Auth; 2] {
    [Auth::Bearer { credentials: None, anonymous: true }, Auth::basic("nobody", "canary-of-nobody")]
}

#[test]
fn s14_with_passthrough_docker_pulls_what_its_user_may_pull() {
    if !available(&["/usr/bin/docker", "dockerd", "containerd", "runc", "busybox"]) {
        return;
    }
    for auth in auths() {
        let lab = Lab::start(auth, Form::Docker);
        let settings = json!({ "insecure-registries": [lab.host()] });
        let mut docker = Docker::start_with(&lab.surroundings, &lab.client_directory(), settings);
        lab.play(&mut docker);
    }
}

#[test]
fn s14_with_passthrough_podman_pulls_what_its_user_may_pull() {
    if !available(&["podman", "runc", "busybox"]) {
        return;
    }
    for auth in auths() {
        let lab = Lab::start(auth, Form::Oci);
        let directory = lab.client_directory();
        write_registries(&directory, &[]);
        let podman = Podman::with_settings(&lab.surroundings, &directory);
        lab.play(&mut PodmanOf(podman, &directory));
    }
}

#[test]
fn s14_with_passthrough_skopeo_copies_what_its_user_may_pull() {
    if !available(&["skopeo", "busybox"]) {
        return;
    }
    for auth in auths() {
        let lab = Lab::start(auth, Form::Oci);
        let directory = lab.client_directory();
        let skopeo = Skopeo::without_mirrors(&lab.surroundings, &directory);
        lab.play(&mut SkopeoOf { skopeo, directory: &directory, login: None, copies: 0 });
    }
}
