//! The properties of every text read as a configuration. Tests replay the corpus in
//! `crates/fuzz/corpus/config`; `.ci/fuzz` searches for more inputs.

use policy::host::Route;

use super::Config;

/// The value of every variable: it may be a secret, so no remark may show it.
const CANARY: &str = "canary-7f3a";

/// Texts that stand only in remarks which show names of registries, hosts or directories: a collision must be
/// named, and none of these is secret.
const COLLISIONS: [&str; 4] = ["already taken by", "the directory of", "would name both", "did you mean"];

/// Checks that a configuration is valid or refused with remarks that name its lines and show no secret, and
/// that each registry is found by its name.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let variables = |name: &str| (name != "UNSET").then(|| CANARY.to_owned());
    let remarks = match Config::parse("wharf.toml", text, &variables) {
        Ok(config) => {
            check_routes(&config);
            config.warnings
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "refused without a word");
            mistakes
        }
    };
    let line_count = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    for remark in remarks.lines() {
        if remark.starts_with("the built-in ") {
            continue;
        }
        let line = remark.strip_prefix("wharf.toml:").and_then(|rest| rest.split_once(": "));
        let line: usize = line.and_then(|(line, _)| line.parse().ok()).expect("a remark names its line");
        assert!((1..=line_count).contains(&line), "{remark} in {line_count} lines");
        assert!(!remark.contains(char::is_control), "{remark:?}");
        let is_collision = COLLISIONS.iter().any(|text| remark.contains(text));
        assert!(is_collision || !remark.contains(CANARY), "{remark}");
    }
}

fn check_routes(config: &Config) {
    assert!(
        !config.registries.is_empty() && (!config.server.listen.is_empty() || config.server.tls.is_some())
    );
    for (index, registry) in config.registries.iter().enumerate() {
        let query = format!("ns={}", registry.names.name.replace(':', "%3A"));
        let route = config.routes.route("127.0.0.1", "/v2/", Some(&query));
        let is_found = matches!(route, Ok(Route::Registry { registry: found, .. }) if found == index);
        assert!(is_found, "{:?} has {route:?}", registry.names);
    }
}
