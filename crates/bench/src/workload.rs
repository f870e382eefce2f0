//! The workloads: each is a function from the bench to a table.

mod cold;
mod cold_small;
mod growth;
mod neighbour;
mod options;
mod stored;
mod warm;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::{Check, Request};
use crate::load;
use crate::peer::{Distribution, NginxCache, NginxStatic, Peer, Setup, Wharf, Workspace};
use crate::report::{Figures, Table, medians};
use crate::upstream::Upstreams;

/// The programs to measure.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) wharf: PathBuf,
    /// An earlier build of it.
    pub(crate) before: Option<PathBuf>,
    pub(crate) nginx: Option<PathBuf>,
    pub(crate) registries: Vec<Distribution>,
}

/// Everything that a workload needs.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) workspace: Workspace,
    pub(crate) upstreams: Upstreams,
    pub(crate) programs: Programs,
    pub(crate) repetitions: usize,
    /// The time of one measurement of a load.
    pub(crate) duration: Duration,
    /// The size of the large blob.
    pub(crate) blob_bytes: u64,
    /// The most blobs on disk in the workload `grow-stored`.
    pub(crate) stored_max: u64,
}

/// A workload and its name on the command line.
pub(crate) type Workload = (&'static str, fn(&Bench) -> io::Result<Table>);

/// All of them, in the order in which they run.
pub(crate) const ALL: &[Workload] = &[
    ("warm-blob", warm::blob),
    ("warm-range", warm::range),
    ("warm-blob-tls", warm::blob_over_tls),
    ("manifest-by-digest", warm::manifest_by_digest),
    ("manifest-by-tag", warm::manifest_by_tag),
    ("small-blobs", warm::small_blobs),
    ("options", options::run),
    ("neighbour", neighbour::run),
    ("hung-registry", neighbour::beside_a_hung_registry),
    ("cold-image", cold::image),
    ("cold-image-slow", cold::slow_image),
    ("cold-layers", cold::few_at_a_time),
    ("cold-blob", cold::blob),
    ("cold-small", cold_small::run),
    ("herd", cold::herd),
    ("grow-connections", growth::connections),
    ("grow-stored", stored::run),
    ("grow-registries", growth::registries),
];

impl Bench {
    fn wharf(&self, setup: &Setup<'_>) -> io::Result<Peer> {
        Wharf { program: &self.programs.wharf }.start(&self.workspace, &self.upstreams, setup)
    }

    /// An earlier build of wharf, if there is one.
    fn wharf_before(&self) -> io::Result<Option<Peer>> {
        let Some(program) = &self.programs.before else { return Ok(None) };
        let setup = Setup { name: "wharf before", ..Setup::default() };
        Wharf { program }.start(&self.workspace, &self.upstreams, &setup).map(Some)
    }

    /// nginx with the content as files, if nginx is installed.
    fn nginx_static(&self, name: &str, content: &[Request], kind: Kind) -> io::Result<Option<Peer>> {
        let Some(program) = &self.programs.nginx else { return Ok(None) };
        let nginx =
            NginxStatic { program, sendfile: kind != Kind::Copying, nopush: kind != Kind::Small, tls: None };
        nginx.start(&self.workspace, name, content).map(Some)
    }

    fn nginx_cache(&self) -> io::Result<Option<Peer>> {
        let Some(program) = &self.programs.nginx else { return Ok(None) };
        NginxCache { program }.start(&self.workspace, "nginx proxy_cache", &self.upstreams).map(Some)
    }

    fn registries(&self) -> io::Result<Vec<Peer>> {
        self.programs
            .registries
            .iter()
            .map(|registry| registry.start(&self.workspace, &self.upstreams))
            .collect()
    }

    /// All caches, each with an empty store.
    fn caches(&self) -> io::Result<Vec<Peer>> {
        let mut peers = vec![self.wharf(&Setup { server: LIMITS, ..Setup::default() })?];
        peers.extend(self.nginx_cache()?);
        peers.extend(self.registries()?);
        Ok(peers)
    }

    /// Measures each server `repetitions` times, in turn and each time in reverse order, so that a
    /// disturbance of the machine affects all of them. Returns the medians, in the order of `peers`.
    fn interleave(
        &self,
        peers: &[Peer],
        mut measure: impl FnMut(&Peer) -> io::Result<Figures>,
    ) -> io::Result<Vec<Figures>> {
        let mut runs = vec![Vec::new(); peers.len()];
        for repetition in 0..self.repetitions {
            let mut order: Vec<usize> = (0..peers.len()).collect();
            if repetition % 2 == 1 {
                order.reverse();
            }
            for index in order {
                runs[index].push(measure(&peers[index])?);
            }
        }
        Ok(runs.iter().map(|runs| medians(runs)).collect())
    }
}

/// Limits for a thousand clients with one address and several connections each.
const LIMITS: &str = "client_connection_count_max = 10_000\nanswer_count_max = 16_384";

/// The content for which a static nginx is tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Large,
    Small,
    /// Large files without sendfile.
    Copying,
}

/// Sends every request twice: first so that the server stores the content, then so that it has had a hit.
/// Compares every byte both times.
fn warm(peer: &Peer, requests: &[Request]) -> io::Result<()> {
    for _ in 0..2 {
        load::to_the_end(peer, requests, 1, 1, Check::Bytes).map_err(|error| named(peer, &error))?;
    }
    Ok(())
}

fn named(peer: &Peer, error: &io::Error) -> io::Error {
    io::Error::other(format!("{}: {error}", peer.name))
}
