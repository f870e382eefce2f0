//! What is measured: each workload is a function from the bench to a table.

mod cold;
mod cold_small;
mod growth;
mod neighbour;
mod warm;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::{Check, Question};
use crate::load;
use crate::peer::{Distribution, NginxCache, NginxStatic, Peer, Setup, Wharf, Yard};
use crate::report::{Figures, Table, medians};
use crate::upstream::Upstreams;

/// The programs that were found or given.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) wharf: PathBuf,
    pub(crate) nginx: Option<PathBuf>,
    pub(crate) registries: Vec<Distribution>,
}

/// Everything that a workload needs.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) yard: Yard,
    pub(crate) upstreams: Upstreams,
    pub(crate) programs: Programs,
    pub(crate) repetitions: usize,
    /// How long one measurement of a load lasts.
    pub(crate) duration: Duration,
    /// The size of the large blob.
    pub(crate) blob_bytes: u64,
    /// Blobs on disk in the workload about what is stored.
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
    ("neighbour", neighbour::run),
    ("hung-registry", neighbour::beside_a_hung_registry),
    ("cold-image", cold::image),
    ("cold-image-slow", cold::slow_image),
    ("cold-blob", cold::blob),
    ("cold-small", cold_small::run),
    ("herd", cold::herd),
    ("grow-connections", growth::connections),
    ("grow-stored", growth::stored),
    ("grow-registries", growth::registries),
];

impl Bench {
    fn wharf(&self, setup: &Setup<'_>) -> io::Result<Peer> {
        Wharf { program: &self.programs.wharf }.start(&self.yard, &self.upstreams, setup)
    }

    /// nginx with the content as files, where there is nginx.
    fn nginx_static(&self, name: &str, content: &[Question], kind: Kind) -> io::Result<Option<Peer>> {
        let Some(program) = &self.programs.nginx else { return Ok(None) };
        let nginx =
            NginxStatic { program, sendfile: kind != Kind::Copying, nopush: kind != Kind::Small, tls: None };
        nginx.start(&self.yard, name, content).map(Some)
    }

    fn nginx_cache(&self) -> io::Result<Option<Peer>> {
        let Some(program) = &self.programs.nginx else { return Ok(None) };
        NginxCache { program }.start(&self.yard, "nginx proxy_cache", &self.upstreams).map(Some)
    }

    fn registries(&self) -> io::Result<Vec<Peer>> {
        self.programs.registries.iter().map(|registry| registry.start(&self.yard, &self.upstreams)).collect()
    }

    /// Everything that caches, each with an empty store.
    fn caches(&self) -> io::Result<Vec<Peer>> {
        let mut peers = vec![self.wharf(&Setup { server: PLACES, ..Setup::default() })?];
        peers.extend(self.nginx_cache()?);
        peers.extend(self.registries()?);
        Ok(peers)
    }

    /// Measures each server `repetitions` times, in turn and each time in the other order, so that what
    /// disturbs the machine disturbs all of them; the medians, in the order of `peers`.
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

/// All clients of the benchmark have one address, and each of a thousand opens several connections.
const PLACES: &str = "client_connection_count_max = 10_000\nanswer_count_max = 16_384";

/// What a static nginx is to be good at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Large,
    Small,
    /// Large files without sendfile.
    Copying,
}

/// Pulls every question once, so that the server has the content, and once more, so that it has seen a hit;
/// every byte is compared both times.
fn warm(peer: &Peer, questions: &[Question]) -> io::Result<()> {
    for _ in 0..2 {
        load::to_the_end(peer, questions, 1, 1, Check::Bytes).map_err(|error| named(peer, &error))?;
    }
    Ok(())
}

fn named(peer: &Peer, error: &io::Error) -> io::Error {
    io::Error::other(format!("{}: {error}", peer.name))
}
