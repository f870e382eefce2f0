//! `wharf check --online`: each registry is asked once, with its login, so that an operator hears of what is wrong before
//! a client does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use upstream::{Authorities, Login, Probe, Reached};

use crate::config::{Config, Registry};
use crate::report::push_table;

/// Registries that are asked at the same time.
const AT_ONCE_COUNT_MAX: usize = 32;

/// The longest wait for one registry, from the first question to the last answer.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// What came of asking one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is configured not to be asked.
    Offline,
    Reached(Reached),
    /// Why it cannot be used, and what to do.
    Failed(String),
}

/// What came of asking them all.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// A table, and remarks beneath.
    pub(crate) text: String,
    /// How many cannot be used, in words; none: all can.
    pub(crate) failure: Option<String>,
}

/// Asks every registry of `config`, many at the same time.
pub(crate) async fn ask(config: &Config) -> Verdict {
    let authorities = Authorities::load();
    let places = Arc::new(Semaphore::new(AT_ONCE_COUNT_MAX));
    let mut asking = JoinSet::new();
    for (index, registry) in config.registries.iter().enumerate() {
        let probe = (!registry.cache.tags.offline).then(|| Probe::new(&registry.upstream, &authorities));
        let places = Arc::clone(&places);
        asking.spawn(async move {
            let _place = places.acquire_owned().await.expect("the places are never closed");
            (index, outcome(probe.transpose().map_err(|error| error.to_string())).await)
        });
    }
    let mut outcomes = vec![Outcome::Offline; config.registries.len()];
    for (index, outcome) in asking.join_all().await {
        outcomes[index] = outcome;
    }
    judge(&config.registries, &outcomes)
}

async fn outcome(probe: Result<Option<Probe>, String>) -> Outcome {
    let probe = match probe {
        Ok(Some(probe)) => probe,
        Ok(None) => return Outcome::Offline,
        Err(wrong) => return Outcome::Failed(wrong),
    };
    match tokio::time::timeout(WAIT_MAX, probe.run()).await {
        Ok(Ok(reached)) => Outcome::Reached(reached),
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        Err(_) => Outcome::Failed(format!(
            "no answer within {WAIT_MAX:?}; check the address, and that no firewall is in between"
        )),
    }
}

fn judge(registries: &[Registry], outcomes: &[Outcome]) -> Verdict {
    let mut rows = vec![["REGISTRY", "ONLINE", ""].map(str::to_owned)];
    let mut remarks = Vec::new();
    for (registry, outcome) in registries.iter().zip(outcomes) {
        let name = &registry.names.name;
        let (word, text) = match outcome {
            Outcome::Offline => ("-", "offline = true: not asked".to_owned()),
            Outcome::Failed(why) => ("FAILED", why.clone()),
            Outcome::Reached(reached) => {
                remarks.extend(reached.remarks.iter().map(|remark| format!("warning: {name}: {remark}\n")));
                let text = match reached.login {
                    Login::None => "answers",
                    Login::Accepted => "answers, and accepts the login",
                    Login::NotAsked => "answers, and asked for no login",
                };
                ("ok", text.to_owned())
            }
        };
        rows.push([name.clone(), word.to_owned(), text]);
    }
    let mut text = String::new();
    push_table(&mut text, &rows);
    if !remarks.is_empty() {
        text.push('\n');
        text.extend(remarks);
    }
    let failed_count = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Failed(_))).count();
    let failure = (failed_count > 0)
        .then(|| format!("{failed_count} of {} registries cannot be used", registries.len()));
    Verdict { text, failure }
}

#[cfg(test)]
mod tests;
