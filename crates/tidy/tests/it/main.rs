//! The rules of STYLE.md and the walls of ARCHITECTURE.md that a machine can check.

mod dependencies;
mod faults;
mod layers;
mod licences;
mod modules;
mod old_cargo;
mod sources;
mod tree;
