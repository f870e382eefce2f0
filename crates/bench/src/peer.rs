//! The measured servers, each a separate process on the server's processor.

mod nginx;
mod registry;
mod wharf;

pub(crate) use nginx::{NginxCache, NginxStatic};
pub(crate) use registry::Distribution;
pub(crate) use wharf::{Setup, Wharf};

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Target;
use crate::processor::Processors;

/// The longest time until a server listens.
const START_MAX: Duration = Duration::from_secs(60);

/// A running server; dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) target: Target,
    /// The directory of its store.
    pub(crate) data: PathBuf,
    /// The address of its metrics.
    pub(crate) admin: Option<SocketAddr>,
    child: Option<Child>,
}

impl Peer {
    /// A server in this process, whose processor time has no meaning.
    pub(crate) fn direct(target: Target) -> Self {
        Self { name: "direct".to_owned(), target, data: PathBuf::new(), admin: None, child: None }
    }

    /// Tells whether it is another program's process: only wharf has metrics.
    pub(crate) fn is_other(&self) -> bool {
        self.child.is_some() && self.admin.is_none()
    }

    /// The process whose usage counts.
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().map_or_else(std::process::id, Child::id)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The processors and the directory for servers.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) processors: Processors,
    /// The parent of each server's directory.
    pub(crate) directory: PathBuf,
}

/// The command that starts a server.
pub(crate) struct Launch<'a> {
    pub(crate) name: &'a str,
    pub(crate) program: &'a Path,
    pub(crate) arguments: Vec<String>,
    pub(crate) port: u16,
}

impl Workspace {
    /// An empty directory for the server `name`.
    pub(crate) fn clear(&self, name: &str) -> io::Result<PathBuf> {
        let directory = self.directory.join(name.replace(' ', "-"));
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&directory)?,
        }
        Ok(directory)
    }

    /// Starts a server on its processor and waits until it listens.
    pub(crate) fn launch(&self, launch: &Launch<'_>, directory: &Path) -> io::Result<Peer> {
        let log = File::create(directory.join("log"))?;
        let child = Command::new("taskset")
            .args(["-c", &self.processors.server.to_string()])
            .arg(launch.program)
            .args(&launch.arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, launch.port));
        let mut peer = Peer {
            name: launch.name.to_owned(),
            target: Target { address, host: address.to_string(), tls: None, authorization: None },
            data: directory.join("data"),
            admin: None,
            child: Some(child),
        };
        wait_until_it_listens(&mut peer, directory)?;
        Ok(peer)
    }
}

fn wait_until_it_listens(peer: &mut Peer, directory: &Path) -> io::Result<()> {
    let started = Instant::now();
    while TcpStream::connect(peer.target.address).is_err() {
        let ended = peer.child.as_mut().map(Child::try_wait).transpose()?.flatten();
        if ended.is_some() || started.elapsed() > START_MAX {
            let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
            return Err(io::Error::other(format!("{} does not listen: {log}", peer.name)));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
