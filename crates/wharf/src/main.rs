//! wharf: one process that pulls through many container registries, and keeps what it has pulled.

mod binding;
mod cli;
mod config;
mod descriptors;
mod disk;
mod health;
mod log;
mod machine;
mod notify;
mod online;
mod panics;
mod report;
mod runtime;
mod schema;
mod signals;
mod wiring;

/// The C library's keeps what a crowd of clients used, and each further crowd may cost more.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
