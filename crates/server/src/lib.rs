//! HTTP for registry clients, and connections for the admin listener.
//!
//! A request on the public listener passes these modules in order: `listen` accepts the connection,
//! `admission` limits the connections, `tls` decrypts them on TLS listeners, and `connection` serves HTTP/1.1
//! under the deadlines of `clock`. `site` refuses malformed heads, `identity` identifies the client, `handle`
//! finds the registry and calls its backend, `respond` builds the answer, `body` sends it (`sendfile` does so
//! for files), and `report` passes its end to `access_log`. `lateness` measures the runtime's scheduling
//! delay.
//!
//! A side service (`side`) has its own listener. It shares `listen`, `admission`, `connection` and `clock`
//! with the public one, may check heads with `site`, and builds its own answers.

mod about;
mod access_log;
mod address;
mod admission;
mod body;
mod challenge;
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
mod passthrough;
mod permits;
mod proxy_protocol;
mod quote;
mod redirect;
mod renewal;
mod report;
mod request_id;
mod respond;
mod sendfile;
mod server;
mod settings;
mod side;
pub mod site;
mod snapshot;
mod socket;
mod socket_file;
mod surface;
mod tls;
mod turns;
mod unsent;
mod wrong_port;

pub use address::{ListenAddress, SOCKET_FILE_PREFIX, SocketFile};
pub use hyper::body::Incoming;
pub use listen::{BindError, BoundSocket};
pub use quote::quoted;
pub use server::{Parts, Server, Sockets};
pub use settings::{Settings, TlsSettings};
pub use side::{SideBounds, SideContent, SideService, Working};
pub use snapshot::{Control, Snapshot};
