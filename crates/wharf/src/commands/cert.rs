//! `wharf cert`: makes a private authority, and a certificate for every virtual host, and says how clients
//! come to trust them. It never overwrites an authority.

mod trust;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use certificates::authority::{Authority, AuthorityError, PemPair};
use certificates::pair::PairFiles;
use telemetry::error_chain;

use super::files::{self, Permissions};
use crate::config::Config;
use crate::machine;
use crate::report::date;
use crate::virtual_hosts;

/// The time before the end of the authority from which on each run says so, in seconds: a year.
const AUTHORITY_WARNING_SECONDS: u64 = 365 * 24 * 3600;

/// The arguments of `wharf cert`.
#[derive(Debug, clap::Args)]
pub(crate) struct CertArguments {
    /// The directory of the authority, the certificate and their keys
    #[arg(long, value_name = "DIR", default_value = "wharf-tls")]
    dir: PathBuf,
    /// A further host name or IP address for the certificate; can be given several times
    #[arg(long = "name", value_name = "NAME", value_parser = name)]
    names: Vec<String>,
    /// Make a new certificate even if the present one is good
    #[arg(long)]
    renew: bool,
}

/// Checks a host name or an IP address for a certificate.
fn name(text: &str) -> Result<String, &'static str> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let is_label = |label: &str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(is_letter)
    };
    let labels = name.strip_prefix("*.").unwrap_or(&name);
    let is_host = name.len() <= 253 && labels.split('.').all(is_label);
    if name.parse::<IpAddr>().is_ok() || is_host {
        Ok(name)
    } else {
        Err("write a host name or an IP address, without a port")
    }
}

/// The files of a directory.
struct Paths {
    authority: PathBuf,
    authority_key: PathBuf,
    pair: PairFiles,
}

impl Paths {
    fn below(directory: &Path) -> Self {
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        Self {
            authority: directory.join("ca.pem"),
            authority_key: directory.join("ca-key.pem"),
            pair: PairFiles { certificate: directory.join("cert.pem"), key: directory.join("key.pem") },
        }
    }
}

/// Makes what is missing, renews a certificate that is near its end or lacks a name, and returns the report.
/// `now` is in seconds since 1970.
///
/// # Errors
/// A line for the operator.
pub(crate) fn cert(config: &Config, arguments: &CertArguments, now: u64) -> Result<String, String> {
    let paths = Paths::below(&arguments.dir);
    let mut names = names_of(config, &arguments.names);
    let old = paths.pair.load().ok();
    // Names of earlier runs stay: a renewal by a timer must not lose what `--name` added.
    let before = old.iter().flat_map(|old| {
        old.dns_names().iter().cloned().chain(old.addresses().iter().map(ToString::to_string))
    });
    names.extend(before.filter(|name| !names.contains(name)).collect::<Vec<_>>());
    let mut report = String::new();
    let authority = open_or_make(&paths, config, &names, now, &mut report)?;
    let fresh = old.filter(|old| !arguments.renew && authority.is_fresh(old, &names, now));
    match fresh.and_then(|fresh| fresh.validity()) {
        Some(validity) => {
            let until = date(validity.ends);
            line(
                &mut report,
                &format!("{}: good until {until}; nothing changed", paths.pair.certificate.display()),
            );
        }
        None => {
            let pair = authority.sign(&names, now).map_err(|error| refuse(&error, &paths))?;
            replace(&paths.pair, &pair)?;
            line(
                &mut report,
                &format!("{}: made for {}", paths.pair.certificate.display(), names.join(", ")),
            );
        }
    }
    if authority.ends().saturating_sub(now) < AUTHORITY_WARNING_SECONDS {
        let end = date(authority.ends());
        let advice = "make a new one with `wharf cert --dir`, and give it to every client before that day";
        line(&mut report, &format!("warning: the authority ends on {end}; {advice}"));
    }
    report.push_str(&trust::text(config, &paths.authority, &paths.pair));
    Ok(report)
}

fn line(report: &mut String, text: &str) {
    report.push_str(text);
    report.push('\n');
}

/// The names of the certificate: every virtual host, the addresses of the listeners and of this machine, and
/// `further`. Each once.
fn names_of(config: &Config, further: &[String]) -> Vec<String> {
    let mut names = virtual_hosts::all(config);
    let tls = config.server.tls.iter().flat_map(|tls| &tls.listen);
    let bound = config.server.listen.iter().chain(tls).map(std::net::SocketAddr::ip);
    let bound = bound.filter(|ip| !ip.is_unspecified());
    let own = machine::own_address().map(IpAddr::V4);
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let addresses = bound.chain(own).chain(loopback).map(|ip| ip.to_string());
    for name in addresses.chain(["localhost".to_owned()]).chain(further.iter().cloned()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn open_or_make(
    paths: &Paths,
    config: &Config,
    names: &[String],
    now: u64,
    report: &mut String,
) -> Result<Authority, String> {
    let [certificate, key] = [&paths.authority, &paths.authority_key];
    let describe = |error: AuthorityError| format!("{}: {}", certificate.display(), error_chain(&error));
    match (certificate.exists(), key.exists()) {
        (true, true) => {
            let pair = PemPair { certificate: files::read(certificate)?, key: files::read(key)? };
            if files::others_may_read(key) {
                let advice =
                    format!("anyone with it can pose as your registries; run `chmod 600 {}`", key.display());
                line(report, &format!("warning: {} can be read by other users; {advice}", key.display()));
            }
            Authority::open(&pair, now).map_err(describe)
        }
        (false, false) => {
            let name = config.domain.as_deref().or(names.first().map(String::as_str)).unwrap_or("wharf");
            let title = format!("wharf authority for {name}, {}", date(now));
            let made = Authority::make(&title, &scope(config, names), now).map_err(describe)?;
            files::make_directory(certificate)?;
            files::write_new(key, &made.key, Permissions::Secret)?;
            files::write_new(certificate, &made.certificate, Permissions::Public)?;
            line(report, &format!("{}: made; give this file to clients", certificate.display()));
            line(report, &format!("{}: its key; keep it secret", key.display()));
            Authority::open(&made, now).map_err(describe)
        }
        (has_certificate, _) => {
            let (there, missing) = if has_certificate { (certificate, key) } else { (key, certificate) };
            Err(format!(
                "{} is there, but {} is not; put it back, or make a new authority in another directory with --dir",
                there.display(),
                missing.display()
            ))
        }
    }
}

/// The names that a new authority may sign for: the domain and whatever is not below it.
fn scope(config: &Config, names: &[String]) -> Vec<String> {
    let is_below =
        |name: &String| config.domain.as_ref().is_some_and(|domain| name.ends_with(&format!(".{domain}")));
    let names = names.iter().filter(|name| !is_below(name));
    names.map(|name| name.strip_prefix("*.").unwrap_or(name).to_owned()).collect()
}

fn refuse(error: &AuthorityError, paths: &Paths) -> String {
    let text = error_chain(error);
    let advice = match error {
        AuthorityError::Outside(_) => {
            "; clients trust it for the names alone for which it was made. Make a new one in another directory \
             with --dir, and give it to every client"
        }
        _ => "",
    };
    format!("{}: {text}{advice}", paths.authority.display())
}

/// Replaces the key, then the certificate. A wharf that reads in between waits for the second.
fn replace(paths: &PairFiles, pair: &PemPair) -> Result<(), String> {
    files::make_directory(&paths.key)?;
    files::replace(&paths.key, &pair.key, Permissions::Secret)?;
    files::replace(&paths.certificate, &pair.certificate, Permissions::Public)
}

#[cfg(test)]
mod tests;
