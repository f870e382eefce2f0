use proptest::prelude::*;

use super::{CHALLENGE_COUNT_MAX, Challenge};

// What is accepted and what is refused stands in `tests/data`.

#[test]
fn a_flood_of_challenges_is_cut() {
    let header = "Basic, ".repeat(CHALLENGE_COUNT_MAX * 100);
    assert_eq!(Challenge::parse_all(&header).len(), CHALLENGE_COUNT_MAX);
}

/// Quotes a value as RFC 9110, section 5.6.4, has it.
fn quote(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

proptest! {
    #[test]
    fn what_was_quoted_comes_back(realm in ".{0,30}", service in ".{0,30}", blank in "[ \t]{0,2}") {
        let (quoted_realm, quoted_service) = (quote(&realm), quote(&service));
        let header = format!(
            "Basic realm={quoted_realm},{blank}Bearer service{blank}={blank}{quoted_service}{blank},realm={quoted_realm}",
        );
        let basic = Challenge::Basic { realm: Some(realm.clone()) };
        let bearer = Challenge::Bearer { realm, service: Some(service), scope: None, error: None };
        prop_assert_eq!(Challenge::parse_all(&header), [basic, bearer]);
    }

    #[test]
    fn no_text_makes_it_panic_or_hang(
        header in ".{0,60}|((Basic|Bearer|realm|service|=|\"|\\\\|,| |\t|a|é)){0,30}",
    ) {
        prop_assert!(Challenge::parse_all(&header).len() <= CHALLENGE_COUNT_MAX);
    }
}
