use std::sync::Mutex;

use async_trait::async_trait;
use oci::{Digest, Reference, Repository};
use policy::freshness::{StaleLimit, TagRule, Upstream404};
use policy::head_trust::Stakes;
use storage::MemoryStore;
use upstream::{
    BlobHead, BlobRange, BlobStream, Described, Error, ErrorKind, ListPage, ListRequest, ManifestBody,
};

use super::*;
use crate::offline::OfflineSwitches;
use crate::permits::Bounds;

/// An upstream that fails.
#[derive(Debug)]
struct Failing;

impl Failing {
    fn fail<T>(&self) -> Result<T, Error> {
        Err(Error::new(ErrorKind::NotFound, "memory.test", "failed on purpose"))
    }
}

#[async_trait]
impl Upstream for Failing {
    async fn head_manifest(&self, _: &Repository, _: &Reference, _: Stakes) -> Result<Described, Error> {
        self.fail()
    }

    async fn get_manifest(&self, _: &Repository, _: &Reference) -> Result<ManifestBody, Error> {
        self.fail()
    }

    async fn head_blob(&self, _: &Repository, _: &Digest, _: Stakes) -> Result<BlobHead, Error> {
        self.fail()
    }

    async fn get_blob(&self, _: &Repository, _: &Digest, _: BlobRange) -> Result<BlobStream, Error> {
        self.fail()
    }

    async fn list(&self, _: &ListRequest) -> Result<ListPage, Error> {
        self.fail()
    }

    fn disconnect(&self) {}
}

/// A transfer that has a client, or none.
#[derive(Debug, Default)]
struct Holder {
    has_clients: bool,
    permit: Mutex<Option<UpstreamPermit>>,
}

impl PermitHolder for Holder {
    fn has_clients(&self) -> bool {
        self.has_clients
    }

    fn keep_permit(&self, permit: UpstreamPermit) {
        *self.permit.lock().unwrap() = Some(permit);
    }

    fn give_way(&self) -> Option<UpstreamPermit> {
        if self.has_clients { None } else { self.permit.lock().unwrap().take() }
    }

    fn is_over(&self) -> bool {
        self.permit.lock().unwrap().is_none()
    }
}

fn asker(is_offline: bool, bounds: Bounds) -> Asker {
    let tags = TagRule {
        ttl: Duration::ZERO,
        stale_if_error: StaleLimit::Forever,
        on_upstream_404: Upstream404::NotFound,
        offline: is_offline,
    };
    let permits = Permits::new(bounds, Bounds::new(100, 100));
    let store = Arc::new(MemoryStore::new());
    let offline = OfflineSwitch::unused("memory.test", store, &OfflineSwitches::default());
    Asker::new("memory.test".into(), Arc::new(Failing), offline, &Settings::new(tags), permits.into())
}

fn holder(has_clients: bool) -> Arc<dyn PermitHolder> {
    Arc::new(Holder { has_clients, ..Holder::default() })
}

#[test]
fn offline_every_request_is_refused_without_a_permit() {
    let asker = asker(true, Bounds::new(0, 0));
    assert_eq!(asker.admit().err(), Some(PullError::Offline));
    assert_eq!(asker.ask().err(), Some(PullError::Offline));
    assert_eq!(asker.permit_transfer(&holder(true)).err(), Some(PullError::Offline));
}

#[test]
fn a_permit_is_released_with_its_request() {
    let asker = asker(false, Bounds::new(1, 1));
    let client = asker.admit().unwrap();
    assert_eq!(asker.admit().err(), Some(PullError::Overloaded));
    let asking = asker.ask().unwrap();
    assert_eq!(asker.ask().err(), Some(PullError::Overloaded));
    // A transfer's connections need no permit beside its own.
    let _ = asker.ask_for_transfer();
    drop((client, asking));
    assert!(asker.admit().is_ok() && asker.ask().is_ok());
}

#[test]
fn a_transfer_without_clients_gives_way_to_a_client_and_makes_no_other_give_way() {
    let asker = asker(false, Bounds::new(1, 1));
    let (left, other, followed) = (holder(false), holder(false), holder(true));
    asker.permit_transfer(&left).unwrap();
    assert_eq!(asker.permit_transfer(&other).err(), Some(PullError::Overloaded));
    asker.permit_transfer(&followed).unwrap();
    assert!(left.is_over() && !followed.is_over());
    assert_eq!(asker.ask().err(), Some(PullError::Overloaded), "one that is followed stays");
}

#[tokio::test(start_paused = true)]
async fn a_document_has_a_deadline_that_names_the_registry() {
    let asker = asker(false, Bounds::new(1, 1));
    let never = std::future::pending::<Result<(), PullError>>();
    let error = asker.within_deadline(never).await.unwrap_err();
    assert!(matches!(&error, PullError::UpstreamUnavailable { timed_out: true, .. }), "{error}");
    assert!(error.to_string().contains("memory.test did not answer within 10s"), "{error}");
}
