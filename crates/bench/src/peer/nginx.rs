//! nginx: as a server of files, which is the practical limit, and as a cache without knowledge of registries.

use std::fs;
use std::io;
use std::path::Path;

use super::{Launch, Peer, Workspace, free_port};
use crate::client::Request;
use crate::upstream::{Upstreams, file_of};

/// nginx that serves the same bytes as static files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NginxStatic<'a> {
    pub(crate) program: &'a Path,
    pub(crate) sendfile: bool,
    /// Whether the last segment of an answer may be delayed: better rates for large files, slower ends of
    /// small ones.
    pub(crate) nopush: bool,
    /// Certificate and key in PEM.
    pub(crate) tls: Option<(&'a Path, &'a Path)>,
}

impl NginxStatic<'_> {
    pub(crate) fn start(&self, workspace: &Workspace, name: &str, content: &[Request]) -> io::Result<Peer> {
        let directory = workspace.clear(name)?;
        let data = directory.join("data");
        for request in content {
            let (path, bytes) = file_of(request);
            let file = data.join(path);
            fs::create_dir_all(file.parent().unwrap_or(&data))?;
            fs::write(file, bytes)?;
        }
        let port = free_port()?;
        let tls = self.tls.map(|(certificate, key)| {
            format!("ssl_certificate {}; ssl_certificate_key {};", certificate.display(), key.display())
        });
        let server = format!(
            "sendfile {}; tcp_nopush {};
             server {{ listen 127.0.0.1:{port}{}; {} root {}; }}",
            on_or_off(self.sendfile),
            on_or_off(self.nopush),
            if self.tls.is_some() { " ssl" } else { "" },
            tls.unwrap_or_default(),
            data.display(),
        );
        start(workspace, self.program, name, &directory, port, &server)
    }
}

/// nginx with `proxy_cache` in front of the registry without tokens and redirects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NginxCache<'a> {
    pub(crate) program: &'a Path,
}

impl NginxCache<'_> {
    pub(crate) fn start(&self, workspace: &Workspace, name: &str, upstreams: &Upstreams) -> io::Result<Peer> {
        let directory = workspace.clear(name)?;
        let port = free_port()?;
        let server = format!(
            "sendfile on; tcp_nopush on;
             proxy_cache_path {}/data levels=1:2 keys_zone=all:32m max_size=100g
               inactive=7d use_temp_path=off;
             server {{ listen 127.0.0.1:{port}; location / {{
               proxy_pass {}; proxy_http_version 1.1; proxy_set_header Connection \"\";
               proxy_cache all; proxy_cache_valid 200 24h; proxy_cache_lock on;
               proxy_cache_lock_timeout 600s; proxy_cache_lock_age 600s; proxy_buffering on;
             }} }}",
            directory.display(),
            upstreams.plain.url(),
        );
        start(workspace, self.program, name, &directory, port, &server)
    }
}

fn start(
    workspace: &Workspace,
    program: &Path,
    name: &str,
    directory: &Path,
    port: u16,
    server: &str,
) -> io::Result<Peer> {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/temporary-{kind};", directory.display()))
        .join(" ");
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let settings = directory.join("nginx.conf");
    fs::write(
        &settings,
        format!(
            "daemon off; master_process off; worker_processes 1; {user} pid {0}/pid; error_log {0}/error warn;
             worker_rlimit_nofile 16384;
             events {{ worker_connections 8192; }}
             http {{ access_log off; default_type application/octet-stream; {temporary}
               keepalive_timeout 600; keepalive_requests 100000000; {server} }}\n",
            directory.display()
        ),
    )?;
    let arguments = vec![
        "-p".to_owned(),
        format!("{}/", directory.display()),
        "-c".to_owned(),
        settings.display().to_string(),
    ];
    workspace.launch(&Launch { name, program, arguments, port }, directory)
}

fn on_or_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}
