//! Searches for the secrets of tests. Every password and token of a test has the word `canary` in it.

/// The word as it is, in hexadecimal, and in base64 behind any number of other bytes.
const FORMS: [&str; 5] = ["canary", "63616e617279", "Y2FuYXJ5", "jYW5hcn", "NhbmFye"];

/// Characters of the surroundings that a failure shows.
const SHOWN: usize = 200;

/// Searches `told`, such as a log, for a secret of a test in any form.
///
/// # Panics
/// When there is one, with its surroundings and `source`, which is the name of the text.
pub fn assert_tells_no_secret(source: &str, told: &[u8]) {
    let told = String::from_utf8_lossy(told);
    for form in FORMS {
        if let Some(at) = told.find(form) {
            let before: String = told[..at].chars().rev().take(SHOWN).collect();
            let before: String = before.chars().rev().collect();
            let rest: String = told[at..].chars().take(SHOWN).collect();
            panic!("{source} tells a secret, as {form:?}: {before}{rest}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::basic;

    fn is_found(told: &str) -> bool {
        std::panic::catch_unwind(|| assert_tells_no_secret("a log", told.as_bytes())).is_err()
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let logins = ["a", "ab", "abc"].map(|user| basic(user, "my-canary-1"));
        let hex: String = "canary".bytes().map(|byte| format!("{byte:02x}")).collect();
        for told in logins.iter().map(String::as_str).chain(["the canary.", &*format!("key={hex}")]) {
            assert!(is_found(told), "{told}");
        }
        assert!(!is_found("GET /v2/library/app/manifests/latest 200"));
    }
}
