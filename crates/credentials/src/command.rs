//! A program that prints a login as JSON.
//!
//! The output is one object: `username` and `password`, or `identity_token`, or `registry_token`; and
//! `expires_at` (RFC 3339) or `expires_in` (seconds), if the login ends.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use secret::Secret;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::document;
use crate::failure::Failure;
use crate::login::Login;
use crate::process::{self, ProcessSettings};
use crate::source::{Grant, Question, Source};

/// The time for which a login without an end is used before the program is asked again.
const RECHECK: Duration = Duration::from_secs(10 * 60);

/// The longest time that a login may claim to be good.
const LIFETIME_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    username: Option<String>,
    password: Option<Secret<String>>,
    identity_token: Option<Secret<String>>,
    registry_token: Option<Secret<String>>,
    expires_at: Option<String>,
    expires_in: Option<f64>,
}

/// A program that prints a login.
#[derive(Debug)]
pub(crate) struct LoginCommand {
    pub(crate) process: ProcessSettings,
}

#[async_trait]
impl Source for LoginCommand {
    async fn ask(&self, _: Question) -> Result<Grant, Failure> {
        let output = process::run_to_success(&self.process, Vec::new()).await?;
        read(output.expose(), SystemTime::now())
    }
}

/// Reads the output at `now`.
fn read(output: &[u8], now: SystemTime) -> Result<Grant, Failure> {
    let answer: Answer = document::parse(
        output,
        "one JSON object with username and password, identity_token or registry_token, and maybe expires_at \
         or expires_in",
    )?;
    let login = match (answer.username, answer.password, answer.identity_token, answer.registry_token) {
        (Some(user), Some(password), None, None) => Login::password(&user, password.expose())?,
        (None, None, Some(token), None) => Login::identity_token(token.expose())?,
        (None, None, None, Some(token)) => Login::registry_token(token.expose())?,
        _ => {
            return Err(Failure::new(
                "gave no login, or more than one: write username and password, identity_token, or \
                 registry_token",
            ));
        }
    };
    let lifetime = match (answer.expires_at, answer.expires_in) {
        (None, None) => return Ok(Grant::until_next_look(Some(login), RECHECK)),
        (Some(at), None) => until(&at, now)?,
        (None, Some(seconds)) if seconds.is_finite() => {
            Duration::from_secs_f64(seconds.clamp(0.0, LIFETIME_MAX.as_secs_f64()))
        }
        (None, Some(_)) => return Err(Failure::new("gave an expires_in that is no number of seconds")),
        (Some(_), Some(_)) => return Err(Failure::new("gave both expires_at and expires_in")),
    };
    Grant::lasting(login, lifetime)
}

/// The time from `now` to an RFC 3339 time; zero if that has passed.
pub(crate) fn until(at: &str, now: SystemTime) -> Result<Duration, Failure> {
    let at = OffsetDateTime::parse(at, &Rfc3339)
        .map_err(|_| Failure::new("gave an end that is no time such as 2026-01-31T12:00:00Z"))?;
    Ok(SystemTime::from(at).duration_since(now).unwrap_or_default().min(LIFETIME_MAX))
}

#[cfg(test)]
mod tests;
