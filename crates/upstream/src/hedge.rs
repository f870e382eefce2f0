//! A second try for a request whose connection stays silent: one bad connection among good ones, as where an
//! edge of a content network has just died, must not take all the time that there is.
//!
//! What is asked here is idempotent, so the same request goes out once more over a new connection, and the
//! first answer wins. That is once for each operation, and out of the budget for retries.

use reqwest::Response;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::clients::Pair;
use crate::location::host_of;
use crate::transport::{Allowance, Failure, Outgoing, Transport};

/// The share of the time for an answer that passes before the second try: 4 of 10 s.
const SILENCE: f32 = 0.4;
/// The share of it that must be left for the second try.
const REST_MIN: f32 = 0.2;

impl Transport {
    /// Sends the request over a kept connection if there is one, and, if no answer comes for long, over a new
    /// one as well.
    ///
    /// # Errors
    /// The [`Failure`] of the last connection that failed.
    pub(crate) async fn send_hedged(
        &self,
        pair: &Pair,
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
