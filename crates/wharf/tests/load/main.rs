//! More clients than the program serves at once, with a registry that misbehaves on request.
//!
//! The checks hold on any machine. Figures that depend on the machine are printed: see them with `cargo test
//! --release -p wharf --test load -- --nocapture`.

mod crowd;
mod herd;
mod idle;
mod isolation;
mod overload;
mod ranges;
mod transfers;
