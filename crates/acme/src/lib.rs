//! Certificates from an authority that speaks ACME (RFC 8555), obtained and renewed without a person.
//!
//! A [`Keeper`] is one task. It follows the names that should have certificates, asks
//! `policy::issuance` what to do next, and runs one order at a time (`order`): it presents the answers to
//! the authority's challenges (`responder`), by the listeners or in the DNS (`dns`), and stores the result
//! (`state`). The certificates that it holds go on while an order fails.

mod acceptance;
mod account;
mod client;
mod dns;
mod keeper;
mod order;
mod problem;
mod renewal_window;
mod report;
mod responder;
mod settings;
mod state;

pub use client::Transport;
pub use keeper::{Goal, Keeper, Parts};
pub use settings::{Algorithm, Binding, Challenge, Dns, Settings, UpdateSettings, decode_key};
pub use state::{State, StateError};
