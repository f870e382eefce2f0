//! Presents the answers to the challenges of one order, and takes them back.

use std::sync::Arc;

use certificates::challenges::{Challenges, Offer};
use instant_acme::{ChallengeHandle, ChallengeType};

use crate::dns;
use crate::settings::{Challenge, Dns};
use crate::state::{AuthorityState, NotedRecord};

/// The answers that are presented now.
pub(crate) struct Responder {
    challenge: Challenge,
    challenges: Arc<Challenges>,
    state: AuthorityState,
    offers: Vec<Offer>,
    records: Vec<NotedRecord>,
}

impl Responder {
    pub(crate) fn new(challenge: &Challenge, challenges: &Arc<Challenges>, state: &AuthorityState) -> Self {
        Self {
            challenge: challenge.clone(),
            challenges: Arc::clone(challenges),
            state: state.clone(),
            offers: Vec::new(),
            records: Vec::new(),
        }
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
                let record = dns::record(by, host, &answer.dns_value()).await?;
                let noted = self.state.note_record(&record);
                noted.map_err(|error| format!("cannot note the record {}: {error}", record.name))?;
                // Also if its making fails: an answer may be lost on its way.
                self.records.push(record.clone());
                dns::make(by, &record).await?;
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

    /// Takes all answers back. A record that cannot be removed is told, and stays noted.
    pub(crate) async fn clean_up(&mut self) {
        self.offers.clear();
        let Challenge::Dns { by, .. } = &self.challenge else { return };
        for record in std::mem::take(&mut self.records) {
            remove(by, &self.state, &record).await;
        }
    }
}

/// Removes the records that an earlier process has noted. One that cannot be removed is told, and stays
/// noted.
pub(crate) async fn remove_left_behind(challenge: &Challenge, state: &AuthorityState) {
    let Challenge::Dns { by, .. } = challenge else { return };
    for record in state.records() {
        remove(by, state, &record).await;
    }
}

async fn remove(by: &Dns, state: &AuthorityState, record: &NotedRecord) {
    match dns::remove(by, record).await {
        Ok(()) => state.forget_record(record),
        Err(error) => {
            tracing::warn!("a record of a challenge stays in the DNS until the next start: {error}");
        }
    }
}
