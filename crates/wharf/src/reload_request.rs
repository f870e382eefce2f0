//! `wharf reload`: makes the running wharf read its configuration again, and reports the result.

use std::time::Duration;

use telemetry::error_chain;
use url::Url;

use crate::config::Config;
use crate::exchange::{self, Answer, Socket};

/// The longest wait for the end of the reload.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The way without the admin listener.
const HANGUP: &str =
    "send SIGHUP to the running wharf instead (`systemctl kill -s HUP wharf`, `docker kill -s HUP NAME`)";

/// Sends the request to the wharf that runs with `config`, or to the admin listener at `url`. Returns its
/// report.
///
/// # Errors
/// Lines for the operator that say why nothing was reloaded.
pub(crate) fn request(config: &Config, url: Option<&Url>) -> Result<String, String> {
    let admin = config.admin.as_ref();
    let (host, port) = match (url, admin) {
        (Some(url), _) => match (url.scheme(), url.host_str(), url.port_or_known_default()) {
            ("http", Some(host), Some(port)) => (host.trim_matches(['[', ']']).to_owned(), port),
            _ => return Err(format!("{url}: write the admin listener as http://HOST:PORT")),
        },
        (None, Some(admin)) => {
            let address = exchange::reachable(admin.listen);
            (address.ip().to_string(), address.port())
        }
        (None, None) => return Err(format!("the configuration has no admin listener; {HANGUP}")),
    };
    let token = admin.and_then(|admin| admin.token.as_ref());
    let authorization =
        token.map(|token| format!("Authorization: Bearer {}\r\n", token.expose())).unwrap_or_default();
    let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let request = format!(
        "POST /api/reload HTTP/1.1\r\nHost: {shown}\r\n{authorization}Content-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    let sent = Socket::connect(&host, port, WAIT_MAX).and_then(|it| exchange::whole(it, &request));
    let answer = sent.map_err(|error| {
        format!(
            "no answer from the admin listener at {shown}: {}; check that wharf runs there, or {HANGUP}",
            error_chain(&error)
        )
    })?;
    report(answer, &shown)
}

/// The text to print for an answer, or the reason for the failure.
fn report(answer: Answer, shown: &str) -> Result<String, String> {
    let Answer { line, body } = answer;
    match line.split(' ').nth(1) {
        Some("200") => Ok(body),
        Some("422") => Err(body.trim_end().to_owned()),
        Some("401" | "403") => Err(format!(
            "the running wharf does not accept this token ({}); if token_file of [admin] has just changed, \
             {HANGUP}",
            body.trim_end()
        )),
        _ => Err(format!("{shown} answered {line:?}; name wharf's admin listener with --url")),
    }
}

#[cfg(test)]
mod tests;
