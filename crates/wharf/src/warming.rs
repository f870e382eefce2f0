//! Work on many images of the running server: bringing them into the stores, and verifying that they are
//! complete. The admin listener and the schedule of `[warm]` start it.

mod run;
mod schedule;
mod verifying;

use std::collections::HashSet;
use std::sync::Arc;

use admin::{ImageRequest, ImageWork};
use bytes::Bytes;
use cache::Backend;
use oci::{Platforms, Reference, Repository};
use policy::image::ImageNameError;
use serde_json::Value;
use server::Control;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::commands::serve_from;
use crate::machine;

pub(crate) use self::schedule::{Schedule, add_file, warnings};

/// The most requests of the admin listener that are worked on at a time.
const REQUEST_COUNT_MAX: usize = 4;

/// Lines that wait for a client that reads slowly.
const WAITING_LINE_COUNT_MAX: usize = 64;

/// Starts work on images of the registries that are served at that time.
#[derive(Clone, Debug)]
pub(crate) struct Warmer {
    control: Control,
    shutdown: CancellationToken,
    requests: Arc<Semaphore>,
}

/// The parts of images that are wanted.
#[derive(Debug)]
struct Choice {
    platforms: Platforms,
    /// Whether what is attached to them is wanted too.
    with_referrers: bool,
}

/// An image in a served registry.
#[derive(Debug)]
struct Target {
    backend: Arc<Backend>,
    repository: Repository,
    reference: Reference,
}

/// An image as somebody wrote it, and where it is.
#[derive(Debug)]
struct Asked {
    text: String,
    target: Result<Target, String>,
}

/// Where the lines of a run go.
#[derive(Debug)]
enum Lines {
    /// To a client, which may have left.
    Client(mpsc::Sender<Bytes>),
    /// Nowhere, except for failures.
    Log,
}

impl Warmer {
    pub(crate) fn new(control: Control, shutdown: CancellationToken) -> Self {
        Self { control, shutdown, requests: Arc::new(Semaphore::new(REQUEST_COUNT_MAX)) }
    }

    /// Finds the images in the served registries, each once.
    fn find(&self, images: impl IntoIterator<Item = String>) -> Vec<Asked> {
        let snapshot = self.control.snapshot();
        let find = |host: &str| snapshot.routes.registry(host).cloned();
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for text in images {
            let target = text.parse().map_err(|error: ImageNameError| error.to_string());
            let target = target.and_then(|name| serve_from(&name, find));
            let target =
                target.map(|(backend, repository, reference)| Target { backend, repository, reference });
            let key = match &target {
                Ok(target) => target.shown(),
                Err(_) => text.clone(),
            };
            if seen.insert(key) {
                all.push(Asked { text, target });
            }
        }
        all
    }

    /// Starts work that reports to the returned receiver. `None`: too much is in progress.
    fn begin<F: Future<Output = ()> + Send + 'static>(
        &self,
        work: impl FnOnce(Lines) -> F,
    ) -> Option<mpsc::Receiver<Bytes>> {
        let turn = Arc::clone(&self.requests).try_acquire_owned().ok()?;
        let (sender, receiver) = mpsc::channel(WAITING_LINE_COUNT_MAX);
        let work = work(Lines::Client(sender));
        tokio::spawn(async move {
            work.await;
            drop(turn);
        });
        Some(receiver)
    }
}

impl ImageWork for Warmer {
    fn pull(&self, request: ImageRequest) -> Option<mpsc::Receiver<Bytes>> {
        let warmer = self.clone();
        self.begin(|lines| async move {
            let with_referrers = request.with_referrers;
            let choice = Choice { platforms: chosen(request.platforms), with_referrers };
            let _: Option<run::Report> = run::run(&warmer, request.images, &choice, &lines).await;
        })
    }

    fn verify(&self, request: ImageRequest) -> Option<mpsc::Receiver<Bytes>> {
        let warmer = self.clone();
        self.begin(|lines| async move {
            verifying::run(&warmer, request.images, &chosen(request.platforms), &lines).await;
        })
    }
}

/// The chosen platforms, or that of this machine, as a container runtime on it would choose.
fn chosen(platforms: Option<Platforms>) -> Platforms {
    platforms.unwrap_or_else(|| Platforms::Some(vec![machine::image_platform()]))
}

impl Target {
    /// The registry's name.
    fn registry(&self) -> &str {
        self.backend.name()
    }

    /// The image in full.
    fn shown(&self) -> String {
        let sign = if matches!(self.reference, Reference::Tag(_)) { ':' } else { '@' };
        format!("{}/{}{sign}{}", self.registry(), self.repository, self.reference)
    }
}

impl Lines {
    /// Sends a line. A client that has left is noticed by [`gone`](Self::gone).
    async fn send(&self, document: &Value) {
        match self {
            Self::Client(sender) => {
                let _ = sender.send(Bytes::from(format!("{document}\n"))).await;
            }
            Self::Log if document["state"] == "failed" => {
                let text = |key: &str| document[key].as_str().unwrap_or_default();
                warn!(image = text("image"), error = text("error"), "cannot warm an image");
            }
            Self::Log => {}
        }
    }

    /// Sends a line, unless the client is slow.
    fn try_send(&self, document: &Value) {
        if let Self::Client(sender) = self {
            let _ = sender.try_send(Bytes::from(format!("{document}\n")));
        }
    }

    /// Resolves when the client has left.
    async fn gone(&self) {
        match self {
            Self::Client(sender) => sender.closed().await,
            Self::Log => std::future::pending().await,
        }
    }
}
