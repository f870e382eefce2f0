//! The benchmark: compares wharf with its alternatives, in one run on one machine.
//!
//! The server under test has one processor to itself; clients and upstreams share another. Servers take
//! turns, figures are medians, and each rate comes with the processor time, which a noisy machine affects
//! less. Bodies are checked: see `client::Check`.

mod admin;
mod certificate;
mod client;
mod lateness;
mod load;
mod peer;
mod processor;
mod report;
mod upstream;
mod workload;

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};

use crate::peer::{Distribution, Workspace};
use crate::processor::Processors;
use crate::report::{Table, markdown, plot};
use crate::upstream::Upstreams;
use crate::workload::{ALL, Bench, Programs};

/// Compares wharf with nginx and registries in proxy mode, and writes tables, JSON and plots.
#[derive(Debug, Parser)]
struct Arguments {
    /// The wharf program to measure, built for release.
    #[arg(long, default_value = "target/dist/wharf")]
    wharf: PathBuf,
    /// An earlier build of wharf, to be measured beside it on stored content.
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// A further registry in proxy mode: NAME=PROGRAM reads distribution's configuration; in arguments,
    /// {config}, {port}, {upstream} and {data} are replaced.
    #[arg(long = "peer", value_name = "NAME=PROGRAM ...", value_parser = Distribution::parse)]
    peers: Vec<Distribution>,
    /// Only these workloads.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The number of repetitions of each measurement.
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// Seconds of one measurement of a load.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The size of the large blob, in MiB.
    #[arg(long, default_value_t = 256)]
    blob_mib: u64,
    /// The most blobs on disk in the workload grow-stored.
    #[arg(long, default_value_t = 1_000_000)]
    stored_max: u64,
    /// The directory for the files of the servers; by default a temporary one.
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// The directory for results.md, results.json and the plots; by default the tables are only printed.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let unknown = arguments.only.iter().find(|name| ALL.iter().all(|(known, _)| known != name));
    if let Some(name) = unknown {
        let known: Vec<_> = ALL.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no workload {name}; the workloads are {}", known.join(", ")).into());
    }
    // Another crate may bring a second provider, so this chooses one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let processors = Processors::choose()?;
    processors.keep_off()?;
    let scratch = match &arguments.scratch {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    let bench = Bench {
        workspace: Workspace { processors, directory: scratch.path().to_owned() },
        upstreams: Upstreams::start()?,
        programs: find_programs(&arguments)?,
        repetitions: arguments.repetitions.max(1),
        duration: Duration::from_secs_f64(arguments.seconds),
        blob_bytes: arguments.blob_mib << 20,
        stored_max: arguments.stored_max,
    };
    let mut tables = Vec::new();
    for (name, run) in ALL {
        if arguments.only.is_empty() || arguments.only.iter().any(|only| only == name) {
            let table = run(&bench).map_err(|error| format!("{name}: {error}"))?;
            println!("{}", markdown::render(&table));
            tables.push(table);
        }
    }
    if let Some(directory) = &arguments.out {
        write(directory, &tables, &bench)?;
    }
    Ok(())
}

fn find_programs(arguments: &Arguments) -> Result<Programs, Box<dyn Error>> {
    let wharf = arguments.wharf.canonicalize();
    let wharf = wharf.map_err(|error| format!("--wharf {}: {error}", arguments.wharf.display()))?;
    let nginx = find("nginx");
    let registry = find("docker-registry").map(|program| Distribution::at("docker-registry", program));
    for (name, is_there) in [("nginx", nginx.is_some()), ("docker-registry", registry.is_some())] {
        if !is_there {
            eprintln!("{name} is not installed, so it is not measured");
        }
    }
    let before = arguments.before.clone();
    Ok(Programs {
        wharf,
        before,
        nginx,
        registries: registry.into_iter().chain(arguments.peers.clone()).collect(),
    })
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    directories.map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// Writes the tables as `results.md` and `results.json`, and a plot of each figure that grows.
fn write(directory: &Path, tables: &[Table], bench: &Bench) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let machine = machine();
    let mut text = format!(
        "# Results\n\nWritten by `cargo run --release -p bench`; [how it measures](../how-to/benchmark.md).\n\n\
         Machine: {machine}. Medians of {} repetitions of {} s. Memory is resident memory of the \
         server. \"Foreign CPU\" is what other programs used meanwhile, in processors.\n\n",
        bench.repetitions,
        bench.duration.as_secs_f64()
    );
    for table in tables {
        text.push_str(&markdown::render(table));
        for figure in table.figures() {
            if let Some(svg) = plot::render(table, figure) {
                let file = format!("{}-{}.svg", table.name, file_name(figure));
                fs::write(directory.join(&file), svg)?;
                text.push_str(&format!("\n![{figure}]({file})"));
            }
        }
        text.push_str("\n\n");
    }
    fs::write(directory.join("results.md"), format!("{}\n", text.trim_end()))?;
    let tables: Vec<Value> = tables.iter().map(Table::to_json).collect();
    let document = json!({ "machine": machine, "repetitions": bench.repetitions,
        "seconds": bench.duration.as_secs_f64(), "tables": tables });
    fs::write(directory.join("results.json"), format!("{document:#}\n"))
}

/// A figure's name as part of a file's.
fn file_name(figure: &str) -> String {
    let words = figure.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

/// The processor's model and the kernel, without the machine's name.
fn machine() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = processors
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map(|(_, model)| model.trim())
        .collect();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} x {}, Linux {}", models.len(), models.first().unwrap_or(&"unknown"), kernel.trim())
}
