//! Which scope a token is asked for. Whatever a challenge names, wharf asks for `pull` and nothing else.

use oci::Repository;

/// What a registry's challenges say about scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ScopeRule {
    /// `repository:<name>:pull`, so that the scope of another repository is known before it is asked for.
    PerRepository,
    /// `<type>:<name>:pull` for names that the registry calls otherwise; true for this repository alone.
    Renamed(String, Repository),
    /// A word that is the same for every repository, such as `aws`.
    Fixed(String),
}

impl ScopeRule {
    /// Reads the scope of a challenge that was met when asking for `repository`.
    pub(crate) fn learn(scope: Option<&str>, repository: &Repository) -> Self {
        let Some(first) = scope.and_then(|scope| scope.split_ascii_whitespace().next()) else {
            return Self::PerRepository;
        };
        // The name may hold a port, `repository:host:5000/name:pull`, so it is read from both ends.
        let Some((kind, rest)) = first.split_once(':') else { return Self::Fixed(first.to_owned()) };
        let name = rest.rsplit_once(':').map_or(rest, |(name, _actions)| name);
        if kind == "repository" && name == repository.as_str() {
            return Self::PerRepository;
        }
        Self::Renamed(format!("{kind}:{name}:pull"), repository.clone())
    }

    /// The scope for `repository`.
    pub(crate) fn of(&self, repository: &Repository) -> String {
        match self {
            Self::Renamed(scope, learnt_for) if learnt_for == repository => scope.clone(),
            Self::PerRepository | Self::Renamed(..) => format!("repository:{repository}:pull"),
            Self::Fixed(scope) => scope.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
