//! wharf: one process that pulls through many container registries, and keeps what it has pulled.

mod binding;
mod cli;
mod config;
mod descriptors;
mod disk;
mod exchange;
mod health;
mod log;
mod machine;
mod notify;
mod online;
mod panics;
mod registry_set;
mod reload;
mod reload_request;
mod report;
mod runtime;
mod schema;
mod signals;
mod told;
mod watch;
mod wiring;

/// The C library's keeps what a crowd of clients used, and each further crowd may cost more.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
