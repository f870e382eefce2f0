//! Sets the limits of the process: as many open files as the system grants, and no core file. Describes the
//! number of connections and requests that these allow.

use policy::capacity::{Capacity, TooFewDescriptors, Wanted};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard limit, and returns it; `None` if there is no limit. The
/// soft limit is low for programs that use select(2) (systemd.exec(5), "Process Properties"); wharf does not.
pub(crate) fn raise_limit() -> Option<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Forbids core files, which would contain passwords (getrlimit(2), `RLIMIT_CORE`).
pub(crate) fn forbid_core_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    // Lowering a limit is always allowed.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
}

/// A line about the limits on connections and requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) text: String,
    /// Whether the operator gets less than the configuration asks for.
    pub(crate) is_warning: bool,
    /// Whether the open-file limit allows all of them.
    pub(crate) is_all: bool,
}

/// Describes what `capacity` serves within `limit` descriptors. It is a warning only if `wanted` asks for
/// more.
pub(crate) fn describe(limit: Option<usize>, wanted: &Wanted, capacity: &Capacity) -> Notice {
    let limit = limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let mut text = format!(
        "open-file limit is {limit}: serving at most {} connections ({} of one client) and {} requests at \
         once",
        capacity.connections, capacity.per_client, capacity.answers
    );
    let Some(shortfall) = capacity.shortfall else { return Notice { text, is_warning: false, is_all: true } };
    if shortfall.is_less_than_asked {
        let asked: Vec<String> = asked_for(wanted).collect();
        text.push_str(&format!(", less than {}", asked.join(", ")));
    }
    let needed = shortfall.descriptors_needed;
    text.push_str(&format!(". For more, raise it to {needed} (LimitNOFILE=, --ulimit nofile)"));
    Notice { text, is_warning: shortfall.is_less_than_asked, is_all: false }
}

/// The keys that the operator set, with their values.
fn asked_for(wanted: &Wanted) -> impl Iterator<Item = String> {
    let keys = [
        ("connection_count_max", wanted.connections),
        ("client_connection_count_max", wanted.per_client),
        ("answer_count_max", wanted.answers),
    ];
    keys.into_iter().filter_map(|(key, count)| Some(format!("{key} = {}", count?)))
}

/// Describes why wharf refuses to start with so few descriptors.
pub(crate) fn refuse(too_few: &TooFewDescriptors) -> String {
    let TooFewDescriptors { descriptors, descriptors_min, descriptors_needed } = too_few;
    format!(
        "open-file limit is {descriptors}, which is too few for a server; raise it to {descriptors_min} at \
         least, better to {descriptors_needed} (LimitNOFILE=, --ulimit nofile)"
    )
}

#[cfg(test)]
mod tests;
