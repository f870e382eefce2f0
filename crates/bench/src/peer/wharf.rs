//! wharf itself.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{Launch, Peer, Workspace, free_port};
use crate::upstream::Upstreams;

/// The program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wharf<'a> {
    pub(crate) program: &'a Path,
}

/// Its configuration beyond the defaults.
#[derive(Clone, Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) name: &'a str,
    /// Keys of `[server]`.
    pub(crate) server: &'a str,
    /// Certificate and key in PEM, for a TLS listener.
    pub(crate) tls: Option<(&'a Path, &'a Path)>,
    /// Keys of `[defaults]`.
    pub(crate) defaults: &'a str,
    /// Whole sections.
    pub(crate) sections: &'a str,
    /// Registries; the first is the default registry.
    pub(crate) registries: usize,
    /// True for the upstream that answers at once, without tokens and redirects.
    pub(crate) plain: bool,
    /// Whether there is also `hung.example`, whose upstream never answers.
    pub(crate) hung: bool,
    /// An existing store, instead of an empty one.
    pub(crate) data: Option<PathBuf>,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            name: "wharf",
            server: "",
            tls: None,
            defaults: "",
            sections: "",
            registries: 1,
            plain: false,
            hung: false,
            data: None,
        }
    }
}

impl Wharf<'_> {
    pub(crate) fn start(
        &self,
        workspace: &Workspace,
        upstreams: &Upstreams,
        setup: &Setup<'_>,
    ) -> io::Result<Peer> {
        let directory = workspace.clear(setup.name)?;
        let port = free_port()?;
        let data = setup.data.clone().unwrap_or_else(|| directory.join("data"));
        let (tls_port, admin_port) = (free_port()?, free_port()?);
        let tls = setup.tls.map_or_else(String::new, |(certificate, key)| {
            format!(
                "[server.tls]\nlisten = [\"127.0.0.1:{tls_port}\"]\ncert_file = \"{}\"\nkey_file = \"{}\"",
                certificate.display(),
                key.display()
            )
        });
        let mut text = format!(
            "[server]\nlisten = [\"127.0.0.1:{port}\"]\ndefault_registry = \"registry0.example\"\n{}\n{}\n\
             [admin]\nlisten = \"127.0.0.1:{admin_port}\"\n[storage]\nroot = \"{}\"\n\
             [log]\nlevel = \"error\"\naccess = false\n[defaults]\n{}\n{}\n",
            setup.server,
            tls,
            data.display(),
            setup.defaults,
            setup.sections,
        );
        for number in 0..setup.registries {
            let [token, cdn] = upstreams.trusted_hosts();
            writeln!(
                text,
                "[[registry]]\nname = \"registry{number}.example\"\nupstream = \"{}\"\n\
                 trusted_hosts = [\"{token}\", \"{cdn}\"]",
                if setup.plain { upstreams.plain.url() } else { upstreams.hub.url() },
            )
            .map_err(io::Error::other)?;
        }
        if setup.hung {
            let upstream = upstreams.hung.url();
            write!(text, "[[registry]]\nname = \"hung.example\"\nupstream = \"{upstream}\"\n")
                .map_err(io::Error::other)?;
        }
        let config = directory.join("wharf.toml");
        fs::write(&config, text)?;
        let arguments = ["serve", "--config"].map(str::to_owned).into_iter();
        let arguments = arguments.chain([config.display().to_string()]).collect();
        let launch = Launch { name: setup.name, program: self.program, arguments, port };
        let mut peer = workspace.launch(&launch, &directory)?;
        peer.data = data;
        peer.admin = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, admin_port)));
        if setup.tls.is_some() {
            peer.target.address.set_port(tls_port);
        }
        Ok(peer)
    }
}
