//! The command line: runs a command and prints its result.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use policy::image::{ImagePattern, ImageSelector};
use telemetry::error_chain;
use url::Url;

use crate::admin_listener::admin_url;
use crate::commands::{
    self, CertArguments, Change, ClientArguments, ExportArguments, Failure, ImageList, ImportArguments, List,
    OfflineArguments, PinArguments, Prune, Purge, Work,
};
use crate::config::{Config, PairRule, parse_duration};
use crate::config_options::{self, ConfigOptions, Loaded};
use crate::confinement::Rights;
use crate::output::{complain, print};
use crate::{health, log, manual, online, reload_request, report, runtime, schema, warming, wiring};

/// A pull-through cache for many container registries behind one address.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, arg_required_else_help = false)]
pub(crate) struct CommandLine {
    /// The configuration file; without it, WHARF_CONFIG, ./wharf.toml, /etc/wharf/wharf.toml or the built-in
    /// one
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key; overrides the file and the environment: `server.domain=cache.example`,
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
    /// Validate the configuration and print the registries that it serves
    Check {
        /// Also send a request to each registry, and log in where a login is configured
        #[arg(long)]
        online: bool,
        /// Also print each key with its value, where it was set, and the variable that sets it
        #[arg(long)]
        explain: bool,
        /// Print the JSON Schema of the configuration for editors, without checking anything
        #[arg(long, conflicts_with_all = ["online", "explain"])]
        schema: bool,
    },
    /// Make the running wharf read its configuration again, and print the changes
    Reload {
        /// Its admin listener, http://HOST:PORT or unix:/PATH; by default the one in the configuration
        #[arg(long, value_name = "URL", value_parser = admin_url)]
        url: Option<Url>,
    },
    /// List the images that wharf stores, with the platforms that can be pulled offline
    List {
        /// Only images that match: `alpine`, `docker.io/library/alpine:3.*`, `ghcr.io/*`, `library/*`
        pattern: Option<ImagePattern>,
        /// Only images that no tag names any more
        #[arg(long, conflicts_with = "pinned")]
        untagged: bool,
        /// The pinned images, also those that are not held
        #[arg(long)]
        pinned: bool,
        /// Print JSON, for scripts
        #[arg(long)]
        json: bool,
        /// Its admin listener, http://HOST:PORT or unix:/PATH; by default the one in the configuration
        #[arg(long, value_name = "URL", value_parser = admin_url)]
        url: Option<Url>,
    },
    /// Print the number and size of the objects that the running wharf stores for each registry
    Stats {
        /// Print JSON, for scripts
        #[arg(long)]
        json: bool,
        /// Its admin listener, http://HOST:PORT or unix:/PATH; by default the one in the configuration
        #[arg(long, value_name = "URL", value_parser = admin_url)]
        url: Option<Url>,
    },
    /// Print everything that is known of one image
    Show {
        /// alpine, docker.io/library/alpine:3.20, ghcr.io/org/app@sha256:..., @sha256:...
        image: ImageSelector,
        /// Print JSON, for scripts
        #[arg(long)]
        json: bool,
        /// Its admin listener, http://HOST:PORT or unix:/PATH; by default the one in the configuration
        #[arg(long, value_name = "URL", value_parser = admin_url)]
        url: Option<Url>,
    },
    /// Ask the upstreams now which images tags name, and fetch the new images of tags that have moved
    Refresh {
        /// alpine, docker.io/library/alpine:3.20; `ghcr.io/org/*` for all stored tags that match
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<ImageSelector>,
        /// Print a JSON document for each tag, on a line
        #[arg(long)]
        json: bool,
        /// Its admin listener, http://HOST:PORT or unix:/PATH; by default the one in the configuration
        #[arg(long, value_name = "URL", value_parser = admin_url)]
        url: Option<Url>,
    },
    /// Remove images from the store; the next pull fetches them again
    #[command(override_usage = "wharf purge [OPTIONS] <IMAGE>...\n       \
                                wharf purge [OPTIONS] --unused-for <TIME> [IMAGE]...\n       \
                                wharf purge [OPTIONS] --untagged [IMAGE]...")]
    Purge {
        /// alpine, ghcr.io/org/app@sha256:...; `library/*:v1.*` for all that match
        #[arg(required_unless_present_any = ["unused_for", "untagged"], value_name = "IMAGE")]
        images: Vec<ImageSelector>,
        /// Only images that no tag names any more; then IMAGE names repositories
        #[arg(long)]
        untagged: bool,
        /// Only images that were not used for this time, such as `30d` or `12h`
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        unused_for: Option<Duration>,
        /// Print the images that would be removed and the bytes that would come free, and remove none
        #[arg(long)]
        dry_run: bool,
        /// Do not ask before a removal by a pattern or by age
        #[arg(long)]
        yes: bool,
        /// Print JSON, for scripts
        #[arg(long)]
        json: bool,
        /// Its admin listener, http://HOST:PORT or unix:/PATH; by default the one in the configuration
        #[arg(long, value_name = "URL", value_parser = admin_url)]
        url: Option<Url>,
    },
    /// Remove what no image needs: orphaned blobs, unfinished blobs that no transfer owns, damaged files
    Prune {
        /// Only in the store of this registry
        #[arg(long, value_name = "NAME")]
        registry: Option<String>,
        /// Print what would be removed, and remove nothing
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Print JSON, for scripts
        #[arg(long)]
        json: bool,
        /// Its admin listener, http://HOST:PORT or unix:/PATH; by default the one in the configuration
        #[arg(long, value_name = "URL", value_parser = admin_url)]
        url: Option<Url>,
    },
    /// Pin images, so that the running wharf does not remove them to make room
    Pin(PinArguments),
    /// Take the pins of images back
    Unpin(PinArguments),
    /// Make the running wharf fetch images into its stores, before clients pull them
    #[command(override_usage = "wharf pull [OPTIONS] <IMAGE>...\n       \
                                wharf pull [OPTIONS] -f <FILE>... [IMAGE]...")]
    Pull {
        #[command(flatten)]
        list: ImageList,
        /// Fetch what is attached to the images too: signatures, attestations, SBOMs
        #[arg(long)]
        referrers: bool,
    },
    /// Find out whether images can be pulled while their upstreams are gone, and print what is missing
    #[command(override_usage = "wharf verify [OPTIONS] <IMAGE>...\n       \
                                wharf verify [OPTIONS] -f <FILE>... [IMAGE]...")]
    Verify(ImageList),
    /// Export images as an OCI image layout that wharf, skopeo, podman and crane read
    #[command(override_usage = "wharf export [OPTIONS] -o <PATH> <IMAGE>...\n       \
                                wharf export [OPTIONS] -o <PATH> --all")]
    Export(ExportArguments),
    /// Import images from an archive, or from the storage directory of another registry
    Import(ImportArguments),
    /// Take registries offline or online at run time, or print their states; a switch survives restarts
    Offline(OfflineArguments),
    /// Make a private authority and a TLS certificate for every virtual host, and print how clients trust it
    Cert(CertArguments),
    /// Print the settings by which a client such as docker or k3s uses this wharf
    Client(ClientArguments),
    /// Check whether a running wharf is ready; for container health checks
    Health {
        /// The URL to request; by default /readyz at the first listener of the configuration
        #[arg(long, value_name = "URL")]
        url: Option<Url>,
    },
    /// Print a script that completes commands and options in a shell
    Completions { shell: Shell },
    /// Print the man page, of wharf or of one command; `wharf man | man -l -` shows it
    Man {
        /// The command, such as `list`
        command: Option<String>,
    },
}

/// Splits a key from its value.
fn parse_setting(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, such as server.domain=cache.example")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A length of time.
fn parse_time(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("write a length of time such as 30d, 12h or 90m")
}

/// Runs the command that the command line names.
pub(crate) fn run() -> ExitCode {
    let CommandLine { config, set, command } =
        CommandLine::try_parse().unwrap_or_else(|error| with_tip(error).exit());
    let options = ConfigOptions { config, set };
    let (reason, code) = match obey(options, command.unwrap_or(Command::Serve)) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(reason)) => (reason, ExitCode::FAILURE),
        Err(Failure::WrongUse(reason)) => (reason, ExitCode::from(2)),
        Err(Failure::Interrupted(reason, code)) => (reason, ExitCode::from(code)),
    };
    complain(&reason);
    code
}

/// # Errors
/// [`Failure`], for the user.
fn obey(options: ConfigOptions, command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve => serve(options)?,
        Command::Check { schema: true, .. } => print(&schema::text())?,
        Command::Check { online, explain, .. } => check(&options, online, explain)?,
        Command::Reload { url } => ask_reload(&options, url.as_ref())?,
        Command::List { pattern, untagged, pinned, json, url } => {
            let pattern = pattern.as_ref();
            let list = List { pattern, is_untagged: untagged, is_pinned: pinned, is_json: json };
            commands::list(&load(&options, "")?, url.as_ref(), &list)?;
        }
        Command::Stats { json, url } => print(&commands::stats(&load(&options, "")?, url.as_ref(), json)?)?,
        Command::Show { image, json, url } => {
            commands::show(&load(&options, "")?, url.as_ref(), &image, json)?;
        }
        Command::Refresh { images, json, url } => {
            commands::refresh(&load(&options, "; nothing was refreshed")?, url.as_ref(), &images, json)?;
        }
        Command::Purge { images, untagged, unused_for, dry_run, yes, json, url } => {
            let (images, is_dry_run, is_json) = (images.as_slice(), dry_run, json);
            let purge = Purge { images, unused_for, is_untagged: untagged, is_dry_run, yes, is_json };
            commands::purge(&load(&options, "; nothing was removed")?, url.as_ref(), &purge)?;
        }
        Command::Prune { registry, dry_run, yes, json, url } => {
            let registry = registry.as_deref();
            let prune = Prune { registry, is_dry_run: dry_run, yes, is_json: json };
            commands::prune(&load(&options, "; nothing was removed")?, url.as_ref(), &prune)?;
        }
        Command::Pin(arguments) => {
            commands::change(&load(&options, "; nothing was changed")?, &arguments, Change::Pin)?;
        }
        Command::Unpin(arguments) => {
            commands::change(&load(&options, "; nothing was changed")?, &arguments, Change::Unpin)?;
        }
        Command::Pull { list, referrers } => {
            commands::work(&load(&options, "")?, &list, Work::Pull { with_referrers: referrers })?;
        }
        Command::Verify(list) => commands::work(&load(&options, "")?, &list, Work::Verify)?,
        Command::Export(arguments) => {
            commands::export(&load(&options, "; nothing was exported")?, &arguments)?;
        }
        Command::Import(arguments) => {
            commands::import(&load(&options, "; nothing was imported")?, &arguments)?;
        }
        Command::Offline(arguments) => {
            print(&commands::offline(&load(&options, "; nothing was switched")?, &arguments)?)?;
        }
        Command::Cert(arguments) => {
            print(&commands::cert(&load(&options, "; nothing was made")?, &arguments, now())?)?;
        }
        Command::Client(arguments) => set_up_client(&options, &arguments)?,
        Command::Health { url } => ask_health(&options, url)?,
        Command::Completions { shell } => print(&manual::completions(CommandLine::command(), shell))?,
        Command::Man { command } => {
            print(&manual::man_page(CommandLine::command(), command.as_deref())?)?;
        }
    }
    Ok(())
}

/// Adds a tip to the error if another program would have understood the argument.
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

/// A replacement for an argument that does not exist.
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

/// `outcome` follows the count of mistakes.
fn load(options: &ConfigOptions, outcome: &str) -> Result<Config, String> {
    load_with(options, PairRule::None, outcome)
}

/// As [`load`], for a server or a check.
fn load_with(options: &ConfigOptions, pairs: PairRule<'_>, outcome: &str) -> Result<Config, String> {
    options.load(pairs).map_err(|error| config_options::describe(&error, outcome))
}

fn serve(options: ConfigOptions) -> Result<(), String> {
    let loaded = Loaded::by(|| load_with(&options, PairRule::One, "; nothing was started"))?;
    let mut rights = Rights::take(&loaded.config);
    let log = log::start(&loaded.config.log);
    let runtime = runtime::builder().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {}", error_chain(&error)))?;
    let result = runtime.block_on(wiring::serve(options, loaded, &log, &rights));
    if result.is_err() {
        rights.unmake();
    }
    // The tasks that are left work for clients that are gone. Dropping `log` writes its last lines.
    runtime.shutdown_background();
    result.map_err(|error| error_chain(&error))
}

fn check(options: &ConfigOptions, is_online: bool, is_explained: bool) -> Result<(), String> {
    let config = load_with(options, PairRule::Each, "")?;
    wiring::check(&config).map_err(|error| error_chain(&error))?;
    print(&report::check(&config, now()))?;
    print(&warming::warnings(&config))?;
    if is_explained {
        print(&format!("\n{}", report::explain(&config)))?;
    }
    if !is_online {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {}", error_chain(&error)))?;
    let verdict = runtime.block_on(online::check(&config));
    runtime.shutdown_background();
    print(&format!("\n{}", verdict.text))?;
    verdict.failure.map_or(Ok(()), Err)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Reads the configuration only where a client is named.
fn set_up_client(options: &ConfigOptions, arguments: &ClientArguments) -> Result<(), Failure> {
    let Some(tool) = arguments.tool()? else {
        return Ok(print(&commands::list_clients())?);
    };
    commands::client(&load_with(options, PairRule::Each, "")?, arguments, tool)
}

/// Prints the mistakes of a configuration that has any, instead of requesting a reload.
fn ask_reload(options: &ConfigOptions, url: Option<&Url>) -> Result<(), String> {
    let config = load(options, "; nothing was reloaded")?;
    print(&reload_request::request(&config, url)?)
}

/// Prints the results; the images that were not changed are the failure.
fn ask_health(options: &ConfigOptions, url: Option<Url>) -> Result<(), String> {
    let url = match url {
        Some(url) => url,
        None => health::url_of(&load(options, "")?),
    };
    health::ask(&url).map_err(|error| format!("{url}: {}", error_chain(&error)))
}
