//! Registries in proxy mode: Debian's `docker-registry`, and others given as commands.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{Launch, Peer, Workspace, free_port};
use crate::upstream::Upstreams;

/// A registry that reads the configuration of distribution, or takes all settings as arguments.
#[derive(Clone, Debug)]
pub(crate) struct Distribution {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    /// `{config}`, `{port}`, `{upstream}` and `{data}` are filled in.
    pub(crate) arguments: Vec<String>,
}

impl Distribution {
    /// Debian's registry, or another build of the same program.
    pub(crate) fn at(name: &str, program: PathBuf) -> Self {
        Self { name: name.to_owned(), program, arguments: vec!["serve".to_owned(), "{config}".to_owned()] }
    }

    /// Reads `NAME=PROGRAM ARGUMENT...`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or("NAME=PROGRAM ARGUMENT... is expected")?;
        let mut words = command.split_whitespace().map(str::to_owned);
        let program = words.next().ok_or("the program is missing")?;
        let arguments: Vec<_> = words.collect();
        let peer = Self::at(name, PathBuf::from(program));
        Ok(if arguments.is_empty() { peer } else { Self { arguments, ..peer } })
    }

    pub(crate) fn start(&self, workspace: &Workspace, upstreams: &Upstreams) -> io::Result<Peer> {
        let directory = workspace.clear(&self.name)?;
        let port = free_port()?;
        let (config, data) = (directory.join("config.yml"), directory.join("data"));
        let upstream = upstreams.hub.url();
        fs::write(
            &config,
            format!(
                "version: 0.1\n\
                 log: {{level: error, accesslog: {{disabled: true}}}}\n\
                 storage: {{cache: {{blobdescriptor: inmemory}}, filesystem: {{rootdirectory: '{}'}}}}\n\
                 http: {{addr: '127.0.0.1:{port}', secret: bench}}\n\
                 proxy: {{remoteurl: '{upstream}'}}\n",
                data.display()
            ),
        )?;
        let filled = self.arguments.iter().map(|argument| {
            argument
                .replace("{config}", &config.display().to_string())
                .replace("{port}", &port.to_string())
                .replace("{upstream}", &upstream)
                .replace("{data}", &data.display().to_string())
        });
        let launch = Launch { name: &self.name, program: &self.program, arguments: filled.collect(), port };
        workspace.launch(&launch, &directory)
    }
}
