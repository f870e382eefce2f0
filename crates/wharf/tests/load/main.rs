//! More clients than there is room for, before the real program and a registry that misbehaves on request.
//!
//! What is checked holds on any machine. Figures that depend on it are printed: see them with
//! `cargo test --release -p wharf --test load -- --nocapture`.

mod crowd;
mod herd;
mod idle;
mod isolation;
mod overload;
mod ranges;
mod transfers;
