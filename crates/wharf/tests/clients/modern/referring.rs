//! A registry with the referrers API, which Debian's lacks, and a wharf in front of it that can be killed.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use testkit::{Auth, Behaviour, Door, Endpoint, FakeRegistry, Program, Referrers};
use tokio::runtime::Runtime;

use crate::image::{OCI_INDEX, OCI_MANIFEST};
use crate::lab::wharf_program;
use crate::registry::Registry;

/// The name of the registry in wharf.
const NAME: &str = "referrers.test";

/// Fields drop in order: first wharf, last the directory of its store.
pub(super) struct Referring {
    wharf: Option<Program>,
    pub(super) registry: FakeRegistry,
    runtime: Runtime,
    directory: TempDir,
}

impl Referring {
    pub(super) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let behaviour =
            Behaviour { auth: Auth::Anonymous, referrers: Referrers::Filtered, ..Behaviour::default() };
        let registry = runtime.block_on(FakeRegistry::start_with(behaviour));
        let directory = tempfile::tempdir().expect("a directory is created");
        let wharf = Some(start_wharf(directory.path(), &registry));
        Self { wharf, registry, runtime, directory }
    }

    /// `host:port` of wharf.
    pub(super) fn host(&self) -> String {
        self.wharf.as_ref().expect("wharf runs").address.to_string()
    }

    /// `repository` in a path at [`Referring::host`].
    pub(super) fn name(repository: &str) -> String {
        format!("{NAME}/{repository}")
    }

    /// Copies a manifest of `from` with the blobs and manifests that it names, and sets `tag` to it.
    pub(super) fn take(&self, from: &Registry, repository: &str, reference: &str, tag: Option<&str>) {
        let bytes = from.manifest(repository, reference);
        let manifest: Value = serde_json::from_slice(&bytes).expect("a manifest is JSON");
        for child in manifest["manifests"].as_array().into_iter().flatten() {
            self.take(from, repository, child["digest"].as_str().expect("named"), None);
        }
        let is_index = manifest["manifests"].is_array();
        if !is_index {
            for digest in from.blobs_of(repository, reference).keys() {
                self.registry.put_blob(from.blob(repository, digest));
            }
        }
        let otherwise = if is_index { OCI_INDEX } else { OCI_MANIFEST };
        let media_type = manifest["mediaType"].as_str().unwrap_or(otherwise);
        self.registry.put_manifest(repository, tag, media_type, bytes.clone());
    }

    /// Stops the registry; kills wharf and starts it again over its store.
    pub(super) fn lose_registry_and_restart(&mut self) {
        for endpoint in [Endpoint::Registry, Endpoint::Token, Endpoint::Cdn] {
            self.runtime.block_on(self.registry.set_door(endpoint, Door::Refuse));
        }
        self.wharf.take().expect("wharf runs").kill();
        self.wharf = Some(start_wharf(self.directory.path(), &self.registry));
    }
}

fn start_wharf(directory: &Path, registry: &FakeRegistry) -> Program {
    let executable = wharf_program();
    Program::start(executable.to_str().expect("a path is text"), directory, &[(NAME, registry)])
}
