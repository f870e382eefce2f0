//! The manifests that are attached to an image: signatures, attestations, SBOMs. Clients find them by the
//! referrers API (distribution-spec, "Listing Referrers") and by tags that are made from the digest.

use std::collections::BTreeMap;

use inventory::Contents;
use oci::{Digest, Page, Platforms, Query, Reference, Repository};

use super::bringing::{WarmProgress, is_fetched};
use super::error::WarmError;
use super::{Wanted, Warmed};
use crate::backend::Backend;
use crate::error::PullError;
use crate::outcome::Outcome;
use crate::tags::pulled::Pulled;
use crate::warm_blob::Patience;
use crate::warm_room::KeptBlobs;

/// The most manifests of one image whose referrers are looked for. Public images have some dozen.
const SUBJECT_COUNT_MAX: usize = 256;

/// The most referrers of one manifest.
const REFERRER_COUNT_MAX: usize = 256;

/// The most attached images of one image, and their most manifests, in all.
const ATTACHED_COUNT_MAX: usize = 512;
const ATTACHED_MANIFEST_COUNT_MAX: usize = 4096;

/// The most pages of one list of referrers.
const PAGE_COUNT_MAX: usize = 16;

/// What came with an image.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// The number of attached images, each once.
    pub(super) count: usize,
    /// All their manifests.
    pub(super) manifests: Vec<Digest>,
    pub(super) total_bytes: u64,
    pub(super) fetched_bytes: u64,
    /// Whether something of it was not here before.
    pub(super) is_new: bool,
    /// Whether the upstream could not be asked, so that this is what it listed before.
    pub(super) is_stale: bool,
}

impl Backend {
    /// Brings everything that is attached to these manifests into the store, but not what is attached to
    /// that in turn. The lists of referrers are stored too.
    ///
    /// # Errors
    /// [`WarmError::Referrer`].
    pub(super) async fn warm_referrers(
        &self,
        repository: &Repository,
        subjects: &[Digest],
        kept: &KeptBlobs,
    ) -> Result<Attached, WarmError> {
        // Each with the bytes that came from the upstream when it was found.
        let (mut attached, mut found) = (Attached::default(), BTreeMap::new());
        if subjects.len() > SUBJECT_COUNT_MAX {
            return Err(of_referrer("the lists for its manifests".to_owned(), WarmError::Unreadable));
        }
        for subject in subjects {
            let listed = self.list_referrers(repository, subject).await;
            let (listed, is_stale) =
                listed.map_err(|why| of_referrer(format!("the list for {subject}"), why))?;
            attached.is_stale |= is_stale;
            found.extend(listed.into_iter().map(|digest| (digest.to_string(), 0)));
            if found.len() > ATTACHED_COUNT_MAX {
                return Err(of_referrer(format!("the list for {subject}"), WarmError::Unreadable));
            }
            for tag in inventory::referrers_tags(subject) {
                let text = tag.to_string();
                match self.find_tag(repository, &Reference::Tag(tag)).await {
                    Ok(Some(bytes)) => {
                        found.insert(text, bytes);
                    }
                    Ok(None) => {}
                    // As the list, the tags are what they were when the upstream was last asked.
                    Err(WarmError::Pull(error)) if is_stale && error.is_outage_or_offline() => {}
                    Err(why) => return Err(of_referrer(text, why)),
                }
            }
        }
        for (text, found_bytes) in found {
            let reference: Reference = text.parse().expect("it was made from a digest or a tag");
            let progress = WarmProgress::default();
            let (reference, platforms, with_referrers) = (&reference, &Platforms::All, false);
            let wanted = Wanted { repository, reference, platforms, with_referrers };
            let warming = self.warm(wanted, kept, &progress);
            let warmed = Box::pin(warming).await.map_err(|why| of_referrer(text.clone(), why))?;
            attached.add(warmed, found_bytes);
            if attached.manifests.len() > ATTACHED_MANIFEST_COUNT_MAX {
                return Err(of_referrer(text, WarmError::Unreadable));
            }
        }
        Ok(attached)
    }

    /// Lists the referrers of a manifest; none, if the registry has no such list. Returns also whether the
    /// list is the stored one because the upstream cannot be asked.
    async fn list_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<(Vec<Digest>, bool), WarmError> {
        let (mut digests, mut page, mut patience) = (Vec::new(), Page::default(), Patience::new());
        let mut is_stale = false;
        for _ in 0..PAGE_COUNT_MAX {
            let answer = loop {
                match self.listings.ask_for_referrers(repository, subject, None, &page).await {
                    Ok(answer) => break answer,
                    Err(error) if is_absent(&error) => return Ok((digests, is_stale)),
                    Err(error) => patience.wait_after(error).await.map_err(WarmError::Pull)?,
                }
            };
            is_stale |= answer.outcome == Outcome::Stale;
            digests.extend(Contents::of(&answer.bytes).children);
            if digests.len() > REFERRER_COUNT_MAX {
                return Err(WarmError::Unreadable);
            }
            let Some(next) = answer.next else { return Ok((digests, is_stale)) };
            page = Page::parse(Query::new(Some(&next))).map_err(|_| WarmError::Unreadable)?;
        }
        Err(WarmError::Unreadable)
    }

    /// Looks for a tag. Returns the bytes of its manifest that came from the upstream; `None`: there is no
    /// such tag.
    async fn find_tag(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<u64>, WarmError> {
        match self.pull_patiently(repository, reference).await {
            Ok(Pulled { answer, .. }) => Ok(Some(if is_fetched(&answer) { answer.size } else { 0 })),
            Err(WarmError::Pull(error)) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Attached {
    fn add(&mut self, warmed: Warmed, found_bytes: u64) {
        // A list and a tag may name the same one.
        if self.manifests.contains(&warmed.digest) {
            return;
        }
        self.count += 1;
        self.total_bytes = self.total_bytes.saturating_add(warmed.total_bytes);
        self.fetched_bytes = self.fetched_bytes.saturating_add(warmed.fetched_bytes + found_bytes);
        self.is_new |= !warmed.was_held || found_bytes > 0;
        self.manifests.extend(warmed.manifests);
    }
}

/// Whether the upstream has no such thing. The image itself has just come from there, so that a 404 without
/// the registry's own words is its answer too.
fn is_absent(error: &PullError) -> bool {
    matches!(error, PullError::NotFound { .. } | PullError::Unconfirmed { status: 400 | 404 | 405 | 410, .. })
}

fn of_referrer(what: String, why: WarmError) -> WarmError {
    WarmError::Referrer { what, why: Box::new(why) }
}
