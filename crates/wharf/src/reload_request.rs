//! `wharf reload`: makes the running wharf read its configuration again, and reports the result.

use url::Url;

use crate::admin_listener::AdminListener;
use crate::config::Config;
use crate::exchange::Answer;

/// The way without the admin listener.
const HANGUP: &str =
    "send SIGHUP to the running wharf instead (`systemctl kill -s HUP wharf`, `docker kill -s HUP NAME`)";

/// Sends the request to the wharf that runs with `config`, or to the admin listener at `url`. Returns its
/// report.
///
/// # Errors
/// Lines for the operator that say why nothing was reloaded.
pub(crate) fn request(config: &Config, url: Option<&Url>) -> Result<String, String> {
    let listener = AdminListener::find(config, url, HANGUP)?;
    let answer = listener.send("POST", "/api/reload").map_err(|error| format!("{error}, or {HANGUP}"))?;
    report(answer, &listener.shown())
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
