//! The cost of protections on a hit: the same warm manifest with each of them on or off.

use std::fs;
use std::io;

use super::{Bench, warm};
use crate::client::Request;
use crate::peer::{Peer, Setup};
use crate::report::Table;
use crate::workload::warm::small;

/// `bench` with the password `bench-password`, as `htpasswd -nbB -C 10` hashes it.
const USERS: &str = "bench:$2y$10$KhvxXhZ2EItM2cORl09QpeVngseakQijLLriFs3O7QC.jH6DqFS7u\n";

/// That login.
const LOGIN: &str = "Basic YmVuY2g6YmVuY2gtcGFzc3dvcmQ=";

/// The first server is wharf as it comes: without access rules, in its sandbox.
pub(crate) fn run(bench: &Bench) -> io::Result<Table> {
    let manifest = bench.upstreams.put_image("options", 11, &[20_000, 30_000, 40_000]).swap_remove(0);
    let path = manifest.path.replace("options", &testkit::digest_of(&manifest.content));
    let requests = [Request::whole(path, manifest.content)];
    let users = bench.workspace.clear("users")?.join("htpasswd");
    fs::write(&users, USERS)?;
    let with_users = format!("[access]\nusers_file = \"{}\"", users.display());
    let mut peers: Vec<Peer> = [
        Setup::default(),
        Setup { name: "without the sandbox", server: "sandbox = false", ..Setup::default() },
        Setup {
            name: "addresses",
            sections: "[access]\naddresses = [\"10.0.0.0/8\", \"127.0.0.0/8\"]",
            ..Setup::default()
        },
        Setup { name: "htpasswd", sections: &with_users, ..Setup::default() },
        Setup {
            name: "bandwidth limits",
            defaults: "client_bandwidth = \"100GB/s\"\nupstream_bandwidth = \"100GB/s\"",
            ..Setup::default()
        },
    ]
    .iter()
    .map(|setup| bench.wharf(setup))
    .collect::<io::Result<_>>()?;
    for peer in &mut peers {
        if peer.name == "htpasswd" {
            peer.target.authorization = Some(LOGIN);
        }
        warm(peer, &requests)?;
    }
    let table =
        Table::new("options", "A warm manifest by digest, with and without protections", "connections");
    small(bench, table, &peers, &requests)
}
