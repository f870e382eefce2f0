//! wharf: a pull-through cache for many container registries in one process.

mod admin_listener;
mod binding;
mod cli;
mod commands;
mod config;
mod config_options;
mod confinement;
mod descriptors;
mod directory;
mod disk;
mod exchange;
mod health;
mod log;
mod machine;
mod manual;
mod notify;
mod obtaining;
mod online;
mod output;
mod panics;
mod references;
mod registry_error;
mod registry_set;
mod reload;
mod reload_request;
mod report;
mod runtime;
mod schema;
mod signals;
mod streamed;
mod virtual_hosts;
mod warming;
mod watch;
mod wiring;

/// The C library's allocator keeps the memory of past clients, and may take more with each further crowd.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
