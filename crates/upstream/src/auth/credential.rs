//! The authorization of one request, and its state.

use std::sync::Arc;

use http::StatusCode;
use http::header::HeaderValue;

use super::login::LoginPermit;
use super::token_cache::{CachedToken, TokenKey};
use crate::error::Error;

/// The authorization of one request.
#[derive(Debug, Default)]
pub(crate) struct Credential {
    pub(super) offer: CredentialKind,
    /// Whether the configured credentials were sent, for this one or for an earlier one that the same host
    /// refused.
    pub(super) has_login: bool,
    /// The reason for which there is no authorization although the host is known to demand one.
    pub(super) refusal: Option<Refusal>,
}

/// The kind of authorization.
#[derive(Debug, Default)]
pub(super) enum CredentialKind {
    #[default]
    Nothing,
    /// The configured credentials.
    Basic { header: HeaderValue, permit: Option<LoginPermit> },
    /// A token, and whether it was fetched for this very request.
    Token { key: TokenKey, held: Arc<CachedToken>, is_fresh: bool },
}

/// A token service, or the host itself, refused before the request was sent.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) key: Option<TokenKey>,
    pub(super) with_login: bool,
    pub(super) error: Error,
}

impl Credential {
    pub(super) fn basic(header: HeaderValue, permit: LoginPermit) -> Self {
        Self { offer: CredentialKind::Basic { header, permit: Some(permit) }, has_login: true, refusal: None }
    }

    pub(super) fn token(key: TokenKey, held: Arc<CachedToken>, is_fresh: bool) -> Self {
        let has_login = held.with_login;
        Self { offer: CredentialKind::Token { key, held, is_fresh }, has_login, refusal: None }
    }

    pub(super) fn refused(key: Option<TokenKey>, with_login: bool, error: Error) -> Self {
        Self { refusal: Some(Refusal { key, with_login, error }), has_login: with_login, ..Self::default() }
    }

    /// Returns no authorization, after a host refused `before`.
    pub(super) fn none_after(before: &Self) -> Self {
        Self { has_login: before.has_login, ..Self::default() }
    }

    pub(crate) fn header(&self) -> Option<&HeaderValue> {
        match &self.offer {
            CredentialKind::Nothing => None,
            CredentialKind::Basic { header, .. } => Some(header),
            CredentialKind::Token { held, .. } => Some(&held.header),
        }
    }

    /// Tells whether the login itself was sent, and not a token.
    pub(crate) fn carries_login(&self) -> bool {
        matches!(self.offer, CredentialKind::Basic { .. })
    }

    pub(super) fn is_bare(&self) -> bool {
        matches!(self.offer, CredentialKind::Nothing)
    }

    /// Notes the host's answer.
    pub(super) fn note(&mut self, status: StatusCode) {
        let is_taken = status.as_u16() < 400 || status == StatusCode::RANGE_NOT_SATISFIABLE;
        match &mut self.offer {
            CredentialKind::Token { held, .. } if is_taken => held.note_success(),
            CredentialKind::Basic { permit, .. } => match permit.take() {
                Some(permit) if is_taken => permit.accepted(),
                Some(permit) if status == StatusCode::UNAUTHORIZED => permit.refused(None),
                _ => {}
            },
            CredentialKind::Token { .. } | CredentialKind::Nothing => {}
        }
    }
}
