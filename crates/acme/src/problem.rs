//! The cause of an order's failure, in words, and the names to blame.

use instant_acme::{Error, Identifier, Problem};

/// The failure of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// A sentence for the log.
    pub(crate) text: String,
    /// The names that the authority did not validate. Empty if the failure has another cause.
    pub(crate) culprits: Vec<String>,
    /// Whether the authority does not know the account any more.
    pub(crate) is_account_gone: bool,
    /// Whether the certificate that the order would replace was replaced already.
    pub(crate) is_replaced: bool,
}

const TYPE_PREFIX: &str = "urn:ietf:params:acme:error:";

/// The longest text of an authority that the log shows, in characters.
const TEXT_CHARS_MAX: usize = 500;

impl Failure {
    /// A failure that is no name's fault.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), culprits: Vec::new(), is_account_gone: false, is_replaced: false }
    }

    /// A failure of these names.
    pub(crate) fn of_names(text: impl Into<String>, culprits: Vec<String>) -> Self {
        Self { culprits, ..Self::new(text) }
    }

    /// The failure of a request about an order for `names`, which failed to `what`.
    pub(crate) fn of_request(what: &str, error: &Error, names: &[String]) -> Self {
        match error {
            Error::Api(problem) => {
                let kind = kind_of(problem);
                Self {
                    text: format!("the authority did not {what}: {}", words(problem)),
                    culprits: culprits(problem, names),
                    is_account_gone: kind == "accountDoesNotExist",
                    is_replaced: kind == "alreadyReplaced",
                }
            }
            Error::Timeout(_) => Self::new(format!("the authority took too long to {what}")),
            Error::Json(error) => {
                let why = shown(&error.to_string());
                Self::new(format!("the authority was to {what}, and its answer is none of ACME: {why}"))
            }
            error => Self::new(format!("cannot ask the authority to {what}: {}", shown(&error.to_string()))),
        }
    }
}

fn kind_of(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix(TYPE_PREFIX).unwrap_or(kind)
}

/// A problem document as a sentence: its detail, its kind, and the same for each name.
pub(crate) fn words(problem: &Problem) -> String {
    let mut text = one(problem.detail.as_deref(), kind_of(problem));
    for sub in &problem.subproblems {
        let name = sub.identifier.as_ref().and_then(name_of).unwrap_or("a name");
        let kind = sub.r#type.as_deref().unwrap_or_default();
        let kind = kind.strip_prefix(TYPE_PREFIX).unwrap_or(kind);
        text.push_str(&format!("; {}: {}", shown(name), one(sub.detail.as_deref(), kind)));
    }
    shown(&text)
}

fn one(detail: Option<&str>, kind: &str) -> String {
    match (detail, kind) {
        (Some(detail), "") => detail.to_owned(),
        (Some(detail), kind) => format!("{detail} ({kind})"),
        (None, "") => "it gave no reason".to_owned(),
        (None, kind) => kind.to_owned(),
    }
}

/// The names of the order that the problem blames: those of its parts, or those that its text quotes.
fn culprits(problem: &Problem, names: &[String]) -> Vec<String> {
    let named: Vec<&str> =
        problem.subproblems.iter().filter_map(|it| name_of(it.identifier.as_ref()?)).collect();
    let detail = problem.detail.as_deref().unwrap_or_default();
    let quoted: Vec<&str> = detail.split('"').skip(1).step_by(2).collect();
    let is_blamed = |name: &&String| {
        let bare = name.strip_prefix("*.").unwrap_or(name);
        named.iter().chain(&quoted).any(|it| *it == name.as_str() || *it == bare)
    };
    names.iter().filter(is_blamed).cloned().collect()
}

fn name_of(identifier: &Identifier) -> Option<&str> {
    match identifier {
        Identifier::Dns(name) => Some(name),
        _ => None,
    }
}

/// Foreign text for one line of the log.
pub(crate) fn shown(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
