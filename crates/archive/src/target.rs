//! The registries whose stores imports write and exports read.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use inventory::Inventory;
use oci::{Descriptor, Digest, Manifest, MediaType, Repository};
use parking_lot::RwLock;
use policy::docker_hub;
use storage::{Store, StoreError, VerifiedManifest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A registry with its store.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name, such as `docker.io`.
    pub name: String,
    /// Further names under which archives may know it.
    pub aliases: Vec<String>,
    /// Whether to store a grant for each blob and repository, as registries with credentials need.
    pub grants: bool,
    /// The inventory of its store.
    pub inventory: Arc<Inventory>,
    /// A directory on the file system of its store, for files without a name.
    pub scratch: PathBuf,
}

/// Finds registries by the names in an archive.
#[async_trait]
pub trait Targets: fmt::Debug + Send + Sync {
    /// The registry of this name; `None`: there is none.
    ///
    /// # Errors
    /// A line for the operator: its store cannot be used.
    async fn find(&self, name: &str) -> Result<Option<Arc<Target>>, String>;

    /// A registry whose store holds contents for a moment until it is known where they belong.
    ///
    /// # Errors
    /// As [`find`](Self::find); also if there is no registry at all.
    async fn any(&self) -> Result<Arc<Target>, String>;
}

/// Registries whose stores are all open.
#[derive(Clone, Debug, Default)]
pub struct OpenTargets(pub Vec<Arc<Target>>);

#[async_trait]
impl Targets for OpenTargets {
    async fn find(&self, name: &str) -> Result<Option<Arc<Target>>, String> {
        Ok(self.0.iter().find(|target| target.has_name(name)).cloned())
    }

    async fn any(&self) -> Result<Arc<Target>, String> {
        self.0.first().cloned().ok_or_else(|| "wharf serves no registry".to_owned())
    }
}

/// The registries that a server serves, and the bounds on concurrent imports and exports.
#[derive(Debug)]
pub struct ServedTargets {
    targets: RwLock<Vec<Arc<Target>>>,
    imports: Arc<Semaphore>,
    exports: Arc<Semaphore>,
}

/// The imports and the exports that run at a time.
const IMPORT_COUNT_MAX: usize = 1;
const EXPORT_COUNT_MAX: usize = 2;

impl Default for ServedTargets {
    fn default() -> Self {
        Self {
            targets: RwLock::default(),
            imports: Arc::new(Semaphore::new(IMPORT_COUNT_MAX)),
            exports: Arc::new(Semaphore::new(EXPORT_COUNT_MAX)),
        }
    }
}

impl ServedTargets {
    /// Replaces the registries, as a reload does.
    pub fn set(&self, targets: Vec<Arc<Target>>) {
        *self.targets.write() = targets;
    }

    /// All registries.
    pub fn all(&self) -> Vec<Arc<Target>> {
        self.targets.read().clone()
    }

    /// The right to import; `None`: an import is in progress.
    pub fn begin_import(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.imports).try_acquire_owned().ok()
    }

    /// The right to export; `None`: as many exports as there may be are in progress.
    pub fn begin_export(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.exports).try_acquire_owned().ok()
    }
}

#[async_trait]
impl Targets for ServedTargets {
    async fn find(&self, name: &str) -> Result<Option<Arc<Target>>, String> {
        OpenTargets(self.all()).find(name).await
    }

    async fn any(&self) -> Result<Arc<Target>, String> {
        OpenTargets(self.all()).any().await
    }
}

impl Target {
    /// Whether an archive means this registry by `name`.
    pub fn has_name(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || self.aliases.iter().any(|it| it.eq_ignore_ascii_case(name))
    }

    /// Whether it is Docker Hub, whose repositories of one part are in `library/`.
    pub(crate) fn is_docker_hub(&self) -> bool {
        self.name == docker_hub::NAME
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &**self.inventory.store()
    }

    /// Whether the store holds the blob, with the repository's grant if it needs one.
    pub(crate) async fn holds(&self, repository: &Repository, digest: &Digest) -> Result<bool, StoreError> {
        let is_held = self.store().open(digest).await?.is_some();
        if is_held {
            self.grant(repository, digest).await?;
        }
        Ok(is_held)
    }

    /// Stores the repository's grant for a blob. It is stored before the blob, which never lacks it.
    pub(crate) async fn grant(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError> {
        if !self.grants || self.store().has_link(repository, digest).await? {
            return Ok(());
        }
        self.store().put_link(repository, digest).await
    }

    /// Stores a manifest, whose blobs are stored.
    pub(crate) async fn put_manifest(
        &self,
        repository: &Repository,
        media_type: &MediaType,
        manifest: &VerifiedManifest,
    ) -> Result<(), StoreError> {
        let storing = self.inventory.storing().await;
        if self.store().manifest(repository, manifest.digest()).await?.is_none() {
            self.store().put_manifest(repository, media_type, manifest).await?;
        }
        self.inventory.manifest_stored(&storing, repository, manifest.digest(), manifest.bytes());
        Ok(())
    }
}

/// The registries that contents belong to, as far as the manifests that came tell.
#[derive(Debug, Default)]
pub(crate) struct Owners(HashMap<Digest, Owned>);

#[derive(Debug, Default)]
struct Owned {
    targets: Vec<Arc<Target>>,
    /// The size in bytes that a manifest gives.
    size: Option<u64>,
    /// Whether it is named as an image or as the manifest of a platform.
    is_manifest: bool,
}

impl Owners {
    /// Notes that a content belongs to a registry. Returns whether that was not known before.
    pub(crate) fn add(&mut self, digest: &Digest, target: &Arc<Target>, size: Option<u64>) -> bool {
        let owned = self.0.entry(digest.clone()).or_default();
        owned.size = owned.size.or(size);
        let is_news = !owned.targets.iter().any(|known| known.name == target.name);
        if is_news {
            owned.targets.push(Arc::clone(target));
        }
        is_news
    }

    /// Notes that a manifest belongs to a registry, with all that it names, as far as `bytes_of` has that.
    pub(crate) fn add_tree(
        &mut self,
        root: &Digest,
        target: &Arc<Target>,
        mut bytes_of: impl FnMut(&Digest) -> Option<Bytes>,
    ) {
        self.add(root, target, None);
        self.expect_manifest(root);
        let mut ahead = vec![root.clone()];
        while let Some(digest) = ahead.pop() {
            let Some(bytes) = bytes_of(&digest) else { continue };
            let Ok(manifest) = Manifest::parse(&bytes, None) else { continue };
            manifest.manifests.iter().for_each(|child| self.expect_manifest(&child.digest));
            let named = manifest.manifests.into_iter().chain(manifest.config).chain(manifest.layers);
            let is_news = |named: &Descriptor| self.add(&named.digest, target, named.size);
            ahead.extend(named.filter(is_news).map(|named| named.digest));
        }
    }

    pub(crate) fn of(&self, digest: &Digest) -> &[Arc<Target>] {
        self.0.get(digest).map_or(&[], |owned| &owned.targets)
    }

    /// Notes that a content is named as a manifest.
    pub(crate) fn expect_manifest(&mut self, digest: &Digest) {
        self.0.entry(digest.clone()).or_default().is_manifest = true;
    }

    pub(crate) fn expects_manifest(&self, digest: &Digest) -> bool {
        self.0.get(digest).is_some_and(|owned| owned.is_manifest)
    }

    pub(crate) fn size_of(&self, digest: &Digest) -> Option<u64> {
        self.0.get(digest)?.size
    }
}
