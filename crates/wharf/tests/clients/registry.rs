//! The upstream: Debian's `docker-registry`, filled over HTTP, observed through its access log.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::Identity;

use crate::http::{Answer, Request, send};
use crate::image::{Blob, DOCKER_MANIFEST, Image, OCI_INDEX, OCI_MANIFEST};
use crate::process::{Process, Surroundings};

pub(crate) const USERNAME: &str = "puller";
pub(crate) const PASSWORD: &str = "canary";
/// `puller:canary`, as Basic authentication sends it.
const AUTHORIZATION: &str = "Basic cHVsbGVyOmNhbmFyeQ==";

/// The users who may pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Anonymous,
    Basic,
}

/// A running registry.
#[derive(Debug)]
pub(crate) struct Registry {
    process: Process,
    pub(crate) address: SocketAddr,
    access: Access,
}

/// A finished GET of a blob.
struct BlobAnswer {
    ranged: bool,
    digest: String,
    bytes: u64,
}

impl Registry {
    pub(crate) fn start(surroundings: &Surroundings, directory: PathBuf, access: Access) -> Self {
        fs::create_dir_all(&directory).expect("the directory is created");
        let settings = render_settings(&directory, "addr: '127.0.0.1:0'", access);
        Self::start_with(surroundings, &directory, "registry", access, &settings)
    }

    /// A second listener for the store in `directory`: TLS on the default port of loopback.
    pub(crate) fn start_tls(surroundings: &Surroundings, directory: &Path, identity: &Identity) -> Self {
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| directory.join(name));
        fs::write(&certificate, &identity.certificate_pem).expect("the certificate is written");
        fs::write(&key, &identity.key_pem).expect("the key is written");
        let (certificate, key) = (certificate.display(), key.display());
        let http = format!("addr: '127.0.0.1:443', tls: {{certificate: '{certificate}', key: '{key}'}}");
        let settings = render_settings(directory, &http, Access::Anonymous);
        Self::start_with(surroundings, directory, "tls", Access::Anonymous, &settings)
    }

    fn start_with(
        surroundings: &Surroundings,
        directory: &Path,
        name: &str,
        access: Access,
        text: &str,
    ) -> Self {
        let settings = directory.join(format!("{name}.yml"));
        fs::write(&settings, text).expect("the settings are written");
        let mut command = surroundings.command("docker-registry");
        let log = directory.join(format!("{name}.log"));
        let mut process = Process::start(command.arg("serve").arg(&settings), log);
        // It listens on port 0 and logs the real port, and whether it uses TLS.
        let address = process.wait_ready(|process| {
            let log = process.log();
            log.lines().filter_map(parse_log_line).find_map(|line| {
                let address = line["msg"].as_str()?.strip_prefix("listening on ")?;
                address.trim_end_matches(", tls").parse().ok()
            })
        });
        Self { process, address, access }
    }

    /// Stops it: connections to it are refused from here on.
    pub(crate) fn stop(&mut self) {
        self.process.stop();
    }

    /// Connections succeed from here on, and requests get no answer.
    pub(crate) fn hold(&self) {
        self.process.hold();
    }

    /// It answers again, first the requests that came meanwhile.
    pub(crate) fn release(&self) {
        self.process.release();
    }

    /// Pushes `image` under `reference`, a tag or its digest.
    pub(crate) fn push(&self, repository: &str, reference: &str, image: &Image) {
        for blob in &image.blobs {
            self.push_blob(repository, blob);
        }
        self.push_manifest(repository, reference, &image.manifest);
    }

    pub(crate) fn push_manifest(&self, repository: &str, reference: &str, manifest: &Blob) {
        let target = format!("/v2/{repository}/manifests/{reference}");
        let answer = self.ask("PUT", &target, manifest.media_type, manifest.size, &mut manifest.open());
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.header("docker-content-digest"), Some(manifest.digest.as_str()));
    }

    fn push_blob(&self, repository: &str, blob: &Blob) {
        let uploads = format!("/v2/{repository}/blobs/uploads/");
        let kind = "application/octet-stream";
        let answer = self.ask("POST", &uploads, kind, 0, &mut io::empty());
        let location = answer.header("location").expect("an upload has a location");
        let path = location.trim_start_matches("http://").split_once('/').expect("a location has a path").1;
        let target = format!("/{path}&digest={}", blob.digest);
        let answer = self.ask("PUT", &target, kind, blob.size, &mut blob.open());
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    }

    /// The manifest that `reference` names, as it is stored.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Vec<u8> {
        let accept = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST].join(", ");
        self.get(&format!("/v2/{repository}/manifests/{reference}"), &accept)
    }

    /// A blob, as it is stored. This counts among the sent bytes.
    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Vec<u8> {
        self.get(&format!("/v2/{repository}/blobs/{digest}"), "*/*")
    }

    /// The sizes of the blobs that a manifest names, by digest.
    pub(crate) fn blobs_of(&self, repository: &str, reference: &str) -> BTreeMap<String, u64> {
        let manifest = self.manifest(repository, reference);
        let manifest: Value = serde_json::from_slice(&manifest).expect("a manifest is JSON");
        let layers = manifest["layers"].as_array().expect("a manifest has layers");
        let blobs = layers.iter().chain([&manifest["config"]]);
        let parts = blobs.map(|blob| (blob["digest"].as_str(), blob["size"].as_u64()));
        parts.map(|(digest, size)| (digest.expect("named").to_owned(), size.expect("sized"))).collect()
    }

    fn get(&self, target: &str, accept: &str) -> Vec<u8> {
        let mut headers = vec![("Accept", accept.to_owned())];
        if self.access == Access::Basic {
            headers.push(("Authorization", AUTHORIZATION.to_owned()));
        }
        let request = Request { method: "GET", address: self.address, target, headers };
        let answer = send(&request, 0, &mut io::empty()).expect("it answers");
        assert_eq!(answer.status, 200, "{target}: {}", String::from_utf8_lossy(&answer.body));
        answer.body
    }

    fn ask(&self, method: &str, target: &str, kind: &str, size: u64, body: &mut dyn Read) -> Answer {
        let mut headers = vec![("Content-Type", kind.to_owned())];
        if self.access == Access::Basic {
            headers.push(("Authorization", AUTHORIZATION.to_owned()));
        }
        send(&Request { method, address: self.address, target, headers }, size, body).expect("it answers")
    }

    /// The number of bytes of the blob in each finished ranged answer.
    pub(crate) fn ranges_sent(&self, blob: &Blob) -> Vec<u64> {
        let answers = self.blob_answers();
        answers
            .filter(|answer| answer.ranged && answer.digest == blob.digest)
            .map(|answer| answer.bytes)
            .collect()
    }

    /// The number of bytes of each blob sent since the start of the registry, by any request.
    pub(crate) fn blob_bytes_sent(&self) -> BTreeMap<String, u64> {
        let mut sent = BTreeMap::new();
        for answer in self.blob_answers() {
            *sent.entry(answer.digest).or_default() += answer.bytes;
        }
        sent
    }

    /// The number of answers below `repository` to clients with the user agent `agent`.
    pub(crate) fn requests_of(&self, agent: &str, repository: &str) -> usize {
        let path = format!("/v2/{repository}/");
        let log = self.process.log();
        let is_one = |line: &Value| {
            let is = |key: &str, start: &str| line[key].as_str().is_some_and(|text| text.starts_with(start));
            line["msg"] == "response completed"
                && is("http.request.uri", &path)
                && is("http.request.useragent", agent)
        };
        log.lines().filter_map(parse_log_line).filter(is_one).count()
    }

    fn blob_answers(&self) -> impl Iterator<Item = BlobAnswer> {
        let log = self.process.log();
        let lines: Vec<Value> = log.lines().filter_map(parse_log_line).collect();
        lines.into_iter().filter_map(|line| blob_answer(&line))
    }
}

fn render_settings(directory: &Path, http: &str, access: Access) -> String {
    let root = directory.join("storage");
    let mut settings = format!(
        "version: 0.1\n\
         log: {{level: info, formatter: json, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: '{}'}}}}\n\
         http: {{{http}, secret: test}}\n",
        root.display(),
    );
    if access == Access::Basic {
        let path = directory.join("htpasswd");
        let output = Command::new("htpasswd").args(["-Bbn", USERNAME, PASSWORD]).output();
        fs::write(&path, output.expect("htpasswd runs").stdout).expect("the password file is written");
        settings.push_str(&format!("auth: {{htpasswd: {{realm: test, path: '{}'}}}}\n", path.display()));
    }
    settings
}

fn parse_log_line(line: &str) -> Option<Value> {
    serde_json::from_reader(Cursor::new(line)).ok()
}

fn blob_answer(line: &Value) -> Option<BlobAnswer> {
    if line["msg"] != "response completed" || line["http.request.method"] != "GET" {
        return None;
    }
    let target = line["http.request.uri"].as_str()?;
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let (_, digest) = path.rsplit_once("/blobs/")?;
    // The bytes of a redirect or a refusal are no content.
    let status = line["http.response.status"].as_u64()?;
    let ranged = status == 206;
    let content = ranged || status == 200;
    let bytes = line["http.response.written"].as_u64()?;
    content.then(|| BlobAnswer { ranged, digest: digest.to_owned(), bytes })
}
