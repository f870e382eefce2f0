//! The certificates that wharf shows to its clients.
//!
//! A [`Certificate`] is a chain with its key. A [`CertificateSet`] chooses one of several for each handshake:
//! by the server name in the client's hello, by the address that the client connected to, and by the
//! signatures that the client can check. [`Certificates`] holds the set in force, which can be replaced while
//! connections go on. [`pair`] reads a chain and its key from two files, and [`waiting`] says how long a pair
//! has waited for its other half. [`authority`] is a private authority for people without a public name.
//! [`client`] is about the certificates of clients, and [`challenges`] answers an authority that checks who
//! controls a name.
//!
//! The crate knows neither the configuration nor a runtime: a file, a reload or a protocol such as ACME can
//! fill a set.

pub mod authority;
mod certificate;
pub mod challenges;
pub mod client;
pub mod pair;
mod set;
mod shown;
pub mod waiting;

pub use certificate::{Certificate, CertificateError, Validity};
pub use set::{CertificateSet, Hello};
pub use shown::{Certificates, ForAddress};
