//! The waits that follow from others: whoever waits for something waits longer than that may take, or the
//! setting of it would have no effect.

use std::time::Duration;

use super::registry::Registry;

/// What an answer has to begin once everything that it waited for is there or has failed.
const MARGIN: Duration = Duration::from_secs(5);

/// The server's waits, as long as the slowest of its registries needs and never shorter than by default.
pub(super) fn outlast(server: server::Settings, registries: &[Registry]) -> server::Settings {
    let longest = |of: fn(&cache::Settings) -> Duration| registries.iter().map(|it| of(&it.cache)).max();
    let manifest = longest(|cache| cache.manifest_deadline).unwrap_or_default();
    let stall = longest(|cache| cache.fill_stall_max).unwrap_or_default();
    let answer_wait_max = server.answer_wait_max.max(manifest.saturating_add(MARGIN));
    let silence_max = server.silence_max.max(answer_wait_max).max(stall.saturating_add(MARGIN));
    server::Settings { answer_wait_max, silence_max, ..server }
}

#[cfg(test)]
mod tests;
