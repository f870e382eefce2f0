//! `wharf client`: the settings by which a client uses this wharf.

mod address;
mod apply;
mod check;
mod login;
mod merge;

use std::path::{Path, PathBuf};

use clients::{Authority, Mirror, Settings, TOOLS, Tool};
use policy::image::ImageName;

use self::apply::Machine;
use self::check::Check;
use super::Failure;
use super::table::columns;
use crate::config::Config;
use crate::report::{self, GivenAddress};
use crate::{machine, output};

/// The file of the authority that `wharf cert` writes beside a certificate.
const AUTHORITY_FILE: &str = "ca.pem";

/// The arguments of `wharf client`.
#[derive(Debug, clap::Args)]
pub(crate) struct ClientArguments {
    /// The client, such as `docker`, `containerd` or `k3s`; without it, lists all
    tool: Option<String>,
    /// The address by which clients reach wharf, if the configuration cannot know it: `192.168.1.10:5000`, or
    /// that of a proxy, `https://cache.example.com`
    #[arg(long, value_name = "ADDRESS", value_parser = address::parse, requires = "tool")]
    address: Option<GivenAddress>,
    /// The certificate of the private authority that signed wharf's; by default the `ca.pem` of `wharf cert`
    #[arg(long, value_name = "FILE", requires = "tool")]
    ca: Option<PathBuf>,
    /// Print the contents of the file alone, if there is one
    #[arg(long, requires = "tool", conflicts_with = "apply")]
    plain: bool,
    /// Write the files on this machine, and keep a copy of each from before its first change
    #[arg(long, requires = "tool")]
    apply: bool,
    /// Write below this directory in place of /, such as into the files of an image
    #[arg(long, value_name = "DIR", requires = "apply")]
    root: Option<PathBuf>,
    /// Ask the running wharf as the client would, from this machine, and say what is wrong
    #[arg(long, requires = "tool", conflicts_with_all = ["apply", "plain"])]
    check: bool,
    /// The image to ask for; by default one that is stored for each registry
    #[arg(long, value_name = "IMAGE", requires = "check")]
    image: Option<ImageName>,
    /// A file with USER:PASSWORD for the check, where wharf asks for a login
    #[arg(long, value_name = "FILE", requires = "check")]
    login_file: Option<PathBuf>,
}

/// The list of clients.
pub(crate) fn list() -> String {
    let rows = TOOLS.iter().map(|tool| {
        let names: Vec<&str> = [tool.name].into_iter().chain(tool.aliases.iter().copied()).collect();
        [names.join(", "), tool.about.to_owned()]
    });
    columns(["CLIENT", "FOR"], rows)
}

impl ClientArguments {
    /// The client; `None`: all are to be listed.
    ///
    /// # Errors
    /// There is no such client.
    pub(crate) fn tool(&self) -> Result<Option<&'static Tool>, Failure> {
        let find = |name: &String| {
            clients::find(name).ok_or_else(|| {
                let names: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
                Failure::WrongUse(format!("there is no client {name:?}; there are {}", names.join(", ")))
            })
        };
        self.tool.as_ref().map(find).transpose()
    }
}

/// Prints the settings of `tool`, writes them, or tries them.
///
/// # Errors
/// [`Failure`], for the user.
pub(crate) fn client(
    config: &Config,
    arguments: &ClientArguments,
    tool: &'static Tool,
) -> Result<(), Failure> {
    let mirror = mirror_of(config, arguments)?;
    if arguments.check {
        let authorization = arguments.login_file.as_deref().map(login::authorization).transpose()?;
        let image = arguments.image.as_ref();
        return check::check(tool, &Check { config, mirror: &mirror, authorization, image });
    }
    let settings = tool.settings(&mirror);
    warn(config, arguments);
    let text = match (arguments.apply, arguments.plain) {
        (true, _) => {
            let home = std::env::var_os("HOME").map(PathBuf::from);
            let machine = Machine { root: arguments.root.as_deref(), home: home.as_deref() };
            apply::apply(tool, &settings, machine)?
        }
        (false, true) => plain(tool, &settings)?,
        (false, false) => settings.text(),
    };
    Ok(output::print(&text)?)
}

fn mirror_of(config: &Config, arguments: &ClientArguments) -> Result<Mirror, Failure> {
    let authority = match &arguments.ca {
        Some(file) => Some(read_authority(file)?),
        None => beside_certificate(config).map(|file| read_authority(&file)).transpose()?,
    };
    let mirror = report::mirror(config, arguments.address.clone(), machine::own_address(), authority);
    mirror.map_err(|error| Failure::Failed(error.to_string()))
}

/// The authority of `wharf cert`, which lies beside the certificate of the configuration.
fn beside_certificate(config: &Config) -> Option<PathBuf> {
    let pair = config.pairs.first()?;
    Some(pair.files.certificate.with_file_name(AUTHORITY_FILE)).filter(|file| file.exists())
}

fn read_authority(file: &Path) -> Result<Authority, String> {
    let read = std::fs::read_to_string(file);
    let mut pem = read.map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    if !pem.contains("-----BEGIN CERTIFICATE-----") || pem.contains("PRIVATE KEY-----") {
        return Err(format!("{} is not a certificate in PEM", file.display()));
    }
    if !pem.ends_with('\n') {
        pem.push('\n');
    }
    Ok(Authority { pem })
}

/// Says on standard error when clients on other machines cannot reach wharf.
fn warn(config: &Config, arguments: &ClientArguments) {
    let tls = config.server.tls.iter().flat_map(|tls| &tls.listen);
    let mut listeners = config.server.listen.iter().chain(tls);
    if arguments.address.is_none() && listeners.all(|address| address.ip().is_loopback()) {
        output::complain(
            "warning: wharf listens on loopback alone, so only clients on this machine reach it; change `listen` \
             in [server], or name a proxy with --address",
        );
    }
}

fn plain(tool: &Tool, settings: &Settings) -> Result<String, Failure> {
    match &settings.files[..] {
        [file] => Ok(file.contents.clone()),
        files => {
            let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
            let text = format!(
                "--plain prints one file, and {} has {}: {}",
                tool.name,
                files.len(),
                paths.join(", ")
            );
            Err(Failure::WrongUse(text))
        }
    }
}

#[cfg(test)]
mod tests;
