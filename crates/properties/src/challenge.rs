//! `WWW-Authenticate`, and the scope of the token request after it.

use oci::{Challenge, Repository};

/// Checks that no value grows, and that a parsed challenge, written by the grammar, parses to the same.
pub fn check(input: &[u8]) {
    let Ok(header) = std::str::from_utf8(input) else { return };
    let challenges = Challenge::parse_all(header);
    assert!(challenges.len() <= 16);
    let texts = challenges.iter().flat_map(parameters).filter_map(|(_, value)| value);
    assert!(texts.map(String::len).sum::<usize>() <= header.len(), "more was read than stands there");
    let printed: Vec<String> = challenges.iter().map(print).collect();
    assert_eq!(Challenge::parse_all(&printed.join(", ")), challenges, "{printed:?}");
    let named = |name: &str| name.parse::<Repository>().expect("a name");
    let (met, other) = (named("library/alpine"), named("other/name"));
    for challenge in &challenges {
        let Challenge::Bearer { scope, .. } = challenge else { continue };
        let [for_met, for_other] = upstream::fuzzing::scopes(scope.as_deref(), &met, &other);
        let fixed = scope.as_deref().and_then(|scope| scope.split_ascii_whitespace().next());
        let fixed = fixed.filter(|scope| !scope.contains(':'));
        // For every challenge, no writing action is requested, and no other repository.
        assert!(fixed == Some(&for_met) || for_met.split(' ').all(only_reads), "{for_met}");
        let is_own = for_other.starts_with("repository:other/name:") && only_reads(&for_other);
        assert!(is_own || fixed == Some(&for_other), "{for_other}");
        assert!(for_met.split(' ').count() <= 4);
    }
}

fn only_reads(scope: &str) -> bool {
    let actions = scope.rsplit_once(':').map_or(scope, |(_, actions)| actions);
    !actions.is_empty() && !["push", "write", "delete", "*"].iter().any(|word| actions.contains(word))
}

fn parameters(challenge: &Challenge) -> Vec<(&'static str, Option<&String>)> {
    match challenge {
        Challenge::Basic { realm } => vec![("realm", realm.as_ref())],
        Challenge::Bearer { realm, service, scope, error } => {
            let rest = [("service", service), ("scope", scope), ("error", error)];
            let rest = rest.into_iter().map(|(name, value)| (name, value.as_ref()));
            [("realm", Some(realm))].into_iter().chain(rest).collect()
        }
    }
}

fn print(challenge: &Challenge) -> String {
    let scheme = match challenge {
        Challenge::Basic { .. } => "Basic",
        Challenge::Bearer { .. } => "Bearer",
    };
    let quote = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
    let given = parameters(challenge).into_iter().filter_map(|(name, value)| Some((name, value?)));
    let given: Vec<String> = given.map(|(name, value)| format!("{name}=\"{}\"", quote(value))).collect();
    format!("{scheme} {}", given.join(","))
}
