//! Decides whether a repository is public, from the upstream's answers to requests without a login.
//!
//! A registry with an account, and without rules that say who may pull, gives its clients only what the
//! upstream gives to everyone. A first request asks for the very content that the client wants. If the
//! registry says that there is none, the list of tags tells a public repository without that content from
//! one that the registry hides.

use std::time::{Duration, SystemTime};

use crate::freshness::Upstream404;

/// The upstream's answer to a request without a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It gave the content.
    Given,
    /// The registry itself refused.
    Refused,
    /// The registry itself said that there is none.
    Missing,
    /// There was no answer, or one that proves nothing: an outage, a 5xx, a 429.
    None,
}

/// A judgement on a repository, by the upstream's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// The upstream gives it to everyone.
    Public,
    /// The upstream refuses it without a login.
    Private,
    /// The registry says that there is neither this content nor a list of tags: it is hidden, or missing.
    Hidden,
    /// The registry says that there is no such content, and nothing more is known.
    Absent,
    /// Nothing is known.
    Undecided,
}

/// The effect of an answer on the client's request, and on the memory of the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// Whether the request is served.
    pub is_served: bool,
    /// The effect on the memory that the repository is public.
    pub memory: Memory,
}

/// The effect of an answer on the memory that a repository is public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// It counts from now.
    Renewed,
    /// It stays as it is.
    Kept,
    /// It is forgotten, so that an outage does not bring it back.
    Dropped,
}

/// Whether the list of tags is needed beside the answer about the content.
pub fn needs_list(content: Answer) -> bool {
    content == Answer::Missing
}

/// Judges the answers: about the content, and from the list of tags if [`needs_list`] said so.
pub fn judge(content: Answer, list: Answer) -> Visibility {
    match (content, list) {
        (Answer::Given, _) | (Answer::Missing, Answer::Given) => Visibility::Public,
        (Answer::Refused, _) | (Answer::Missing, Answer::Refused) => Visibility::Private,
        (Answer::Missing, Answer::Missing) => Visibility::Hidden,
        (Answer::Missing, Answer::None) => Visibility::Absent,
        (Answer::None, _) => Visibility::Undecided,
    }
}

/// Concludes what happens to a request for a repository that `was_public` when it was last decided. An outage
/// takes nothing away, and opens nothing.
pub fn conclude(visibility: Visibility, was_public: bool, on_404: Upstream404) -> Conclusion {
    let is_kept_on_404 = was_public && on_404 == Upstream404::Serve;
    let (is_served, memory) = match visibility {
        Visibility::Public => (true, Memory::Renewed),
        Visibility::Private => (false, Memory::Dropped),
        Visibility::Hidden | Visibility::Absent if is_kept_on_404 => (true, Memory::Kept),
        Visibility::Hidden => (false, Memory::Dropped),
        Visibility::Absent => (false, Memory::Kept),
        Visibility::Undecided => (was_public, Memory::Kept),
    };
    Conclusion { is_served, memory }
}

/// Returns for how long the answer of `asked_at`, which an earlier process noted, still holds; `None`: the
/// upstream is asked again. An answer from the future is of a clock that was set back.
pub fn remaining(asked_at: SystemTime, ttl: Duration, now: SystemTime) -> Option<Duration> {
    let age = now.duration_since(asked_at).ok()?;
    ttl.checked_sub(age).filter(|rest| !rest.is_zero())
}

#[cfg(test)]
mod tests;
