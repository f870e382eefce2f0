//! `wharf check --online`: sends a request to each registry, with its login, so that the operator learns of
//! faults before clients do.

use std::sync::Arc;
use std::time::Duration;

use telemetry::error_chain;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use upstream::{Authorities, Login, LoginCheck, Probe, Reached};

use crate::config::{Config, Registry};
use crate::report::push_table;

/// The most addresses that are checked at the same time.
const CHECK_COUNT_MAX: usize = 32;

/// The longest wait for one address, from the first request to the last answer.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// The result of checking one address of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// The configuration forbids requests to it.
    Offline,
    Reached(Reached),
    /// Why it cannot be used, and what to do.
    Failed(String),
}

/// The result of checking all registries.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// A table, and remarks below it.
    pub(crate) text: String,
    /// How many registries cannot be used, in words; `None` if all can.
    pub(crate) failure: Option<String>,
}

/// Checks every registry of `config`, many at the same time.
pub(crate) async fn check(config: &Config) -> Verdict {
    let authorities = Authorities::load();
    let places = Arc::new(Semaphore::new(CHECK_COUNT_MAX));
    let mut checks = JoinSet::new();
    for (index, registry) in config.registries.iter().enumerate() {
        for (at, address) in registry.upstream.of_addresses().iter().enumerate() {
            let probe = (!registry.cache.tags.offline).then(|| Probe::new(address, &authorities));
            let places = Arc::clone(&places);
            checks.spawn(async move {
                let _place = places.acquire_owned().await.expect("the places are never closed");
                ((index, at), outcome(probe.transpose().map_err(|error| error_chain(&error))).await)
            });
        }
    }
    let of_registry = |registry: &Registry| vec![Outcome::Offline; registry.upstream.of_addresses().len()];
    let mut outcomes: Vec<Vec<Outcome>> = config.registries.iter().map(of_registry).collect();
    for ((index, at), outcome) in checks.join_all().await {
        outcomes[index][at] = outcome;
    }
    judge(&config.registries, &outcomes)
}

async fn outcome(probe: Result<Option<Probe>, String>) -> Outcome {
    let probe = match probe {
        Ok(Some(probe)) => probe,
        Ok(None) => return Outcome::Offline,
        Err(reason) => return Outcome::Failed(reason),
    };
    match tokio::time::timeout(WAIT_MAX, probe.run()).await {
        Ok(Ok(reached)) => Outcome::Reached(reached),
        // The text of this error is a diagnosis of its causes.
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        Err(_) => Outcome::Failed(format!(
            "no answer within {WAIT_MAX:?}; check the address, and whether a firewall blocks it"
        )),
    }
}

/// `outcomes` has those of each address of each registry. A registry can be used if one of its addresses can.
fn judge(registries: &[Registry], outcomes: &[Vec<Outcome>]) -> Verdict {
    let mut rows = vec![["REGISTRY", "ONLINE", ""].map(str::to_owned)];
    let mut remarks = Vec::new();
    for (registry, outcomes) in registries.iter().zip(outcomes) {
        let name = &registry.names.name;
        for (address, outcome) in registry.upstream.of_addresses().iter().zip(outcomes) {
            let url = address.upstream.as_str().trim_end_matches('/');
            let label = if outcomes.len() > 1 { format!("{name} at {url}") } else { name.clone() };
            let (word, text) = match outcome {
                Outcome::Offline => ("-", "offline = true: not checked".to_owned()),
                Outcome::Failed(why) => ("FAILED", why.clone()),
                Outcome::Reached(reached) => {
                    remarks
                        .extend(reached.remarks.iter().map(|remark| format!("warning: {label}: {remark}\n")));
                    ("ok", reached.logins.iter().map(login_text).collect::<Vec<_>>().join("; "))
                }
            };
            rows.push([label, word.to_owned(), text]);
        }
    }
    let mut text = String::new();
    push_table(&mut text, &rows);
    if !remarks.is_empty() {
        text.push('\n');
        text.extend(remarks);
    }
    let is_failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
    let failed_count = outcomes.iter().filter(|outcomes| outcomes.iter().all(is_failed)).count();
    let failure = (failed_count > 0)
        .then(|| format!("{failed_count} of {} registries cannot be used", registries.len()));
    Verdict { text, failure }
}

/// The result of one login. It names the source, and never the login.
fn login_text(check: &LoginCheck) -> String {
    let of = match &check.source {
        Some(source) => format!("the login of {source}"),
        None => "the login".to_owned(),
    };
    let for_whom = check.pattern.as_ref().map(|pattern| format!("for {pattern}: ")).unwrap_or_default();
    let text = match (check.login, &check.source) {
        (Login::None, None) => "answers".to_owned(),
        (Login::None, Some(source)) => format!("answers; {source} has no login for it"),
        (Login::Accepted, _) => format!("answers, and accepts {of}"),
        (Login::NotAsked, _) => format!("answers, and did not ask for {of}"),
    };
    format!("{for_whom}{text}")
}

#[cfg(test)]
mod tests;
