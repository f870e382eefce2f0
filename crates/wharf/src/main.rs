//! wharf: one process that pulls through many container registries, and keeps what it has pulled.

mod cli;
mod config;
mod descriptors;
mod health;
mod log;
mod notify;
mod panics;
mod report;
mod shutdown;
mod wiring;

fn main() -> std::process::ExitCode {
    cli::run()
}
