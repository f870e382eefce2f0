//! The credential of one request, and what is known about it.

use std::sync::Arc;

use http::StatusCode;
use http::header::HeaderValue;

use super::login::LoginPermit;
use super::token_cache::{CachedToken, TokenKey};
use crate::error::Error;

/// What a request carries.
#[derive(Debug, Default)]
pub(crate) struct Credential {
    pub(super) offer: CredentialKind,
    /// Whether the login was shown, for this ticket or for one before it that the same host refused.
    pub(super) has_login: bool,
    /// Why there is nothing to offer, although the host is known to want something.
    pub(super) refusal: Option<Refusal>,
}

/// What is offered.
#[derive(Debug, Default)]
pub(super) enum CredentialKind {
    #[default]
    Nothing,
    /// The login itself.
    Basic { header: HeaderValue, showing: Option<LoginPermit> },
    /// A token, and whether it was fetched for this very request.
    Token { key: TokenKey, held: Arc<CachedToken>, is_fresh: bool },
}

/// A token service, or the host itself, was asked before the request was made, and gave nothing.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) key: Option<TokenKey>,
    pub(super) with_login: bool,
    pub(super) error: Error,
}

impl Credential {
    pub(super) fn basic(header: HeaderValue, showing: LoginPermit) -> Self {
        Self {
            offer: CredentialKind::Basic { header, showing: Some(showing) },
            has_login: true,
            refusal: None,
        }
    }

    pub(super) fn token(key: TokenKey, held: Arc<CachedToken>, is_fresh: bool) -> Self {
        let has_login = held.with_login;
        Self { offer: CredentialKind::Token { key, held, is_fresh }, has_login, refusal: None }
    }

    pub(super) fn refused(key: Option<TokenKey>, with_login: bool, error: Error) -> Self {
        Self { refusal: Some(Refusal { key, with_login, error }), has_login: with_login, ..Self::default() }
    }

    /// A request without anything, after a host refused `before`.
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

    pub(super) fn is_bare(&self) -> bool {
        matches!(self.offer, CredentialKind::Nothing)
    }

    /// Notes how the host received it.
    pub(super) fn note(&mut self, status: StatusCode) {
        let is_taken = status.as_u16() < 400 || status == StatusCode::RANGE_NOT_SATISFIABLE;
        match &mut self.offer {
            CredentialKind::Token { held, .. } if is_taken => held.note_success(),
            CredentialKind::Basic { showing, .. } => match showing.take() {
                Some(showing) if is_taken => showing.accepted(),
                Some(showing) if status == StatusCode::UNAUTHORIZED => showing.refused(None),
                _ => {}
            },
            CredentialKind::Token { .. } | CredentialKind::Nothing => {}
        }
    }
}
