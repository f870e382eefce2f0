//! Hedged requests: a second request if a connection stays silent. One bad connection, such as to a dead edge
//! node of a content network, must not use up the whole deadline.
//!
//! All requests are idempotent, so the same one is sent again over a new connection, and the first answer
//! wins. This happens once per operation, and counts against the retry budget.

use reqwest::Response;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::clients::ClientPair;
use crate::location::host_of;
use crate::transport::{Allowance, Failure, Outgoing, Transport};

/// The share of the header timeout before the second request: 4 of 10 s.
pub(crate) const SILENCE: f32 = 0.4;
/// The share of it that must remain for the second request.
const REST_MIN: f32 = 0.2;

impl Transport {
    /// Sends the request over a kept connection if there is one, and if it stays silent, over a new one as
    /// well.
    ///
    /// # Errors
    /// The [`Failure`] of the last connection that failed.
    pub(crate) async fn send_hedged(
        &self,
        pair: &ClientPair,
        outgoing: &Outgoing,
        allowance: &mut Allowance,
    ) -> Result<Response, Failure> {
        let silent_at = Instant::now() + self.header_timeout.mul_f32(SILENCE);
        let first = self.send_once(&pair.pooled, outgoing, allowance.deadline);
        tokio::pin!(first);
        if let Ok(answered) = timeout_at(silent_at, &mut first).await {
            return answered;
        }
        let is_time_left = silent_at + self.header_timeout.mul_f32(REST_MIN) <= allowance.deadline;
        let may_send = allowance.may_hedge && !outgoing.is_further && is_time_left;
        if !may_send || !self.may_ask_again(allowance) {
            return first.await;
        }
        allowance.may_hedge = false;
        self.metrics.second_try();
        let host = host_of(&outgoing.url);
        debug!(registry = %self.registry, %host, kind = outgoing.kind.as_str(), "no answer; asking over a new connection too");
        let second = self.send_once(&pair.unpooled, outgoing, allowance.deadline);
        tokio::pin!(second);
        tokio::select! {
            answered = &mut first => if answered.is_ok() { answered } else { second.await },
            answered = &mut second => if answered.is_ok() { answered } else { first.await },
        }
    }
}
