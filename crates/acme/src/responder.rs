//! Presents the answers to the challenges of one order, and takes them back.

use std::sync::Arc;

use certificates::challenges::{Challenges, Offer};
use instant_acme::{ChallengeHandle, ChallengeType};

use crate::dns::{self, MadeRecord};
use crate::settings::Challenge;

/// The answers that are presented now.
pub(crate) struct Responder {
    challenge: Challenge,
    challenges: Arc<Challenges>,
    offers: Vec<Offer>,
    records: Vec<MadeRecord>,
}

impl Responder {
    pub(crate) fn new(challenge: &Challenge, challenges: &Arc<Challenges>) -> Self {
        let (challenge, challenges) = (challenge.clone(), Arc::clone(challenges));
        Self { challenge, challenges, offers: Vec::new(), records: Vec::new() }
    }

    /// The kind of challenge that it answers.
    pub(crate) fn kind(&self) -> ChallengeType {
        match self.challenge {
            Challenge::Http => ChallengeType::Http01,
            Challenge::Tls => ChallengeType::TlsAlpn01,
            Challenge::Dns { .. } => ChallengeType::Dns01,
        }
    }

    /// Presents the answer for `host`, which is without a wildcard.
    ///
    /// # Errors
    /// A sentence that says what failed.
    pub(crate) async fn present(&mut self, host: &str, handle: &ChallengeHandle<'_>) -> Result<(), String> {
        let answer = handle.key_authorization();
        match &self.challenge {
            Challenge::Http => {
                self.offers.push(self.challenges.offer_http(&handle.token, answer.as_str()));
            }
            Challenge::Tls => {
                let offer = self.challenges.offer_tls(host, answer.digest().as_ref());
                self.offers.push(offer.map_err(|error| error.to_string())?);
            }
            Challenge::Dns { by, .. } => {
                let record = dns::present(by, host, &answer.dns_value()).await?;
                self.records.push(record);
            }
        }
        Ok(())
    }

    /// Waits until the authority can see the answers.
    pub(crate) async fn settle(&self) {
        if let Challenge::Dns { wait, .. } = &self.challenge
            && !self.records.is_empty()
        {
            tokio::time::sleep(*wait).await;
        }
    }

    /// Takes all answers back. A record that cannot be removed is told.
    pub(crate) async fn clean_up(&mut self) {
        self.offers.clear();
        for record in std::mem::take(&mut self.records) {
            if let Err(error) = dns::clean_up(&record).await {
                tracing::warn!("a record of a challenge stays in the DNS: {error}");
            }
        }
    }
}
