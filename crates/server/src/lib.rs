//! HTTP for registry clients, and connections for the admin listener.
//!
//! A request on the public listener goes through these rooms in order: `listen` accepts it, `tls` decrypts it on the
//! listeners that speak TLS, `connection` serves HTTP/1.1 on it under the deadlines of `clock`, `site` refuses malformed
//! heads, `identity` says who asks, `handle` finds the registry and asks its backend, `respond` puts the answer into
//! HTTP, `body` sends it, through `sendfile` where it is in a file, and `report` tells its end to `access`. Beside them,
//! `lateness` measures how long they wait for one another.
//!
//! A listener beside the public one (`side`) shares `listen`, `seats`, `connection` and `clock` with it, and may check
//! heads with `site`; what it answers is its own.

mod about;
mod access;
mod body;
mod clock;
mod condition;
mod connection;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handle;
pub mod health;
mod identity;
mod lateness;
mod listen;
mod multipart;
mod permits;
mod renewal;
mod report;
mod request_id;
mod respond;
mod seats;
mod sendfile;
mod server;
mod settings;
mod side;
pub mod site;
mod snapshot;
mod socket;
mod surface;
mod tls;
mod turns;
mod unsent;
mod wrong_port;

pub use hyper::body::Incoming;
pub use listen::{BindError, BoundSocket};
pub use respond::foreign::foreign;
pub use server::{Parts, Server, Sockets};
pub use settings::{Settings, TlsSettings};
pub use side::SideService;
pub use snapshot::{Control, Snapshot};
pub use tls::{TlsIdentity, TlsIdentityError};
