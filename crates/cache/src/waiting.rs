//! Places for requests that need the upstream. A registry that hangs or is flooded runs out of its own places, and
//! leaves what the process has for the others; all of them together leave room for what is stored.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::backend::Backend;
use crate::error::PullError;

/// A place: one of the registry's and one of the process's, free again when its last clone is dropped. The request
/// that took it has one, as long as it waits or its body comes from the upstream, and the work that it started has
/// one, because that goes on when the client leaves.
pub(crate) type Place = Arc<[OwnedSemaphorePermit; 2]>;

impl Backend {
    /// A place, at once or not at all: a queue in front of a registry that is too slow already helps nobody.
    ///
    /// # Errors
    /// [`PullError::Overloaded`].
    pub(crate) fn take_place(&self) -> Result<Place, PullError> {
        let [own, of_all] = [&self.places, &self.places_of_all].map(|it| Arc::clone(it).try_acquire_owned());
        match (own, of_all) {
            (Ok(own), Ok(of_all)) => Ok(Arc::new([own, of_all])),
            _ => Err(PullError::Overloaded),
        }
    }
}
