//! Derives timeouts from other ones: a wait must be longer than the time that its cause may take, or the
//! setting of that time would have no effect.

use std::time::Duration;

use super::registry::Registry;

/// The time for an answer to start after the wait has ended.
const MARGIN: Duration = Duration::from_secs(5);

/// Returns the server's settings with waits as long as the slowest registry needs, and never below the
/// default.
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
