//! The command line: what was asked for, and how it ends.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use url::Url;

use crate::config::Config;
use crate::told::{self, Told};
use crate::{health, log, online, reload_request, report, runtime, schema, wiring};

/// A pull-through cache for many container registries behind one address.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, arg_required_else_help = false)]
struct CommandLine {
    /// The configuration; without it, WHARF_CONFIG, ./wharf.toml, /etc/wharf/wharf.toml or the built-in one
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key, above the file and the environment: `server.domain=cache.example`,
    /// `registry.ghcr.io.tag_ttl=5m`
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = parse_setting)]
    set: Vec<(String, String)>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the configured registries (the default)
    Serve,
    /// Validate the configuration and print what it would serve
    Check {
        /// Also ask each registry once, and log in where there is a login
        #[arg(long)]
        online: bool,
        /// Also print each key with its value, where that was said, and the variable that sets it
        #[arg(long)]
        explain: bool,
        /// Print the JSON Schema of the configuration, for editors, and check nothing
        #[arg(long, conflicts_with_all = ["online", "explain"])]
        schema: bool,
    },
    /// Have the running wharf read its configuration again, and print what changed
    Reload {
        /// Its admin listener, http://HOST:PORT; without it, the one in the configuration
        #[arg(long, value_name = "URL")]
        url: Option<Url>,
    },
    /// Ask a running wharf whether it is ready; for container health checks
    Health {
        /// What to ask; without it, the first address that the configuration listens on
        #[arg(long, value_name = "URL")]
        url: Option<Url>,
    },
}

/// A key and its value.
fn parse_setting(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, such as server.domain=cache.example")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Does what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let CommandLine { config, set, command } =
        CommandLine::try_parse().unwrap_or_else(|error| with_tip(error).exit());
    let told = Told { config, set };
    let result = match command.unwrap_or(Command::Serve) {
        Command::Serve => serve(told),
        Command::Check { schema: true, .. } => print(&schema::text()),
        Command::Check { online, explain, .. } => check(told, online, explain),
        Command::Reload { url } => ask_reload(&told, url.as_ref()),
        Command::Health { url } => ask_health(told, url),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // Nobody may be left to read it; the exit code says it too.
            let _ = writeln!(io::stderr(), "{reason}");
            ExitCode::FAILURE
        }
    }
}

/// The same error with what was probably meant, where another program would have understood it.
fn with_tip(mut error: clap::Error) -> clap::Error {
    let wrong = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand].into_iter().find_map(|kind| {
        match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            _ => None,
        }
    });
    if matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand)
        && let Some(tip) = wrong.and_then(|text| tip(&text))
    {
        let _ = error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// What to write instead of an argument that does not exist.
fn tip(wrong: &str) -> Option<String> {
    let name = wrong.split('=').next().unwrap_or(wrong);
    let setting = |section: &str, key: &str| {
        let variable = format!("WHARF_{}_{}", section.to_ascii_uppercase(), key.to_ascii_uppercase());
        Some(format!(
            "write it into the configuration file, `{key}` of [{section}], or set {variable} or --set \
             {section}.{key}=..."
        ))
    };
    match name {
        "-c" | "-f" | "--config-file" | "--configuration" | "--file" => {
            Some("name the configuration with `--config FILE`".to_owned())
        }
        "-v" => Some("`--version` prints the version".to_owned()),
        "-p" | "-l" | "--port" | "--listen" | "--addr" | "--address" | "--bind" => {
            setting("server", "listen")
        }
        "-d" | "--root" | "--data" | "--data-dir" | "--dir" | "--directory" => setting("storage", "root"),
        "--log-level" | "--verbose" | "--debug" => setting("log", "level"),
        _ if is_file_name(wrong) => Some(format!("name the configuration with `--config {wrong}`")),
        _ => None,
    }
}

fn is_file_name(text: &str) -> bool {
    let extension = Path::new(text).extension().and_then(|extension| extension.to_str());
    !text.starts_with('-')
        && (text.contains('/') || matches!(extension, Some("toml" | "yml" | "yaml" | "json" | "conf")))
}

/// `outcome` is what the mistakes led to, behind their count.
fn load(told: &Told, outcome: &str) -> Result<Config, String> {
    told.load().map_err(|error| told::describe(&error, outcome))
}

fn serve(told: Told) -> Result<(), String> {
    let config = load(&told, "; nothing was started")?;
    let log = log::start(&config.log);
    let runtime = runtime::builder().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    let result = runtime.block_on(wiring::serve(told, config, &log));
    // What is left is work for clients that are gone; the log's last lines go out when `log` is dropped.
    runtime.shutdown_background();
    result.map_err(|error| error.to_string())
}

fn check(told: Told, is_online: bool, is_explained: bool) -> Result<(), String> {
    let config = load(&told, "")?;
    wiring::check(&config).map_err(|error| error.to_string())?;
    print(&report::check(&config))?;
    if is_explained {
        print(&format!("\n{}", report::explain(&config)))?;
    }
    if !is_online {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    let verdict = runtime.block_on(online::ask(&config));
    runtime.shutdown_background();
    print(&format!("\n{}", verdict.text))?;
    verdict.failure.map_or(Ok(()), Err)
}

fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write: {error}"))
}

/// A configuration with mistakes is not asked for: they are told right here.
fn ask_reload(told: &Told, url: Option<&Url>) -> Result<(), String> {
    let config = load(told, "; nothing was reloaded")?;
    print(&reload_request::request(&config, url)?)
}

fn ask_health(told: Told, url: Option<Url>) -> Result<(), String> {
    let url = match url {
        Some(url) => url,
        None => health::url_of(&load(&told, "")?),
    };
    health::ask(&url).map_err(|error| format!("{url}: {error}"))
}
