//! The meaning of an answer for a client, in one sentence.

use super::connection::Told;

/// The verdict on the answer to `/v2/`.
///
/// # Errors
/// The sentence: the client cannot use it.
pub(super) fn of_version(told: &Told, has_login: bool) -> Result<(), String> {
    match told.status {
        200 => Ok(()),
        401 => Err(login(has_login)),
        _ => Err(refused(told, "/v2/")),
    }
}

/// The verdict on the answer about the manifest of `image`.
///
/// # Errors
/// The sentence: the client cannot pull it.
pub(super) fn of_manifest(told: &Told, image: &str, has_login: bool) -> Result<(), String> {
    match told.status {
        200 => Ok(()),
        401 => Err(login(has_login)),
        403 => Err(format!(
            "wharf or the upstream denies {image}: look for the rule or the login in wharf's log, at outcome=denied"
        )),
        404 => Err(format!("there is no {image} at the upstream: name another image with --image")),
        429 => Err(format!(
            "the upstream has no more requests left for {image}: wait, or give wharf a login for it"
        )),
        502..=504 => Err(format!(
            "wharf cannot reach the upstream for {image}: `wharf check --online` on its machine says why"
        )),
        _ => Err(refused(told, image)),
    }
}

fn login(has_login: bool) -> String {
    match has_login {
        true => "wharf refuses this login: correct the file of --login-file, or the users of [access]",
        false => "wharf asks for a login: write USER:PASSWORD into a file, and name it with --login-file",
    }
    .to_owned()
}

/// wharf's own words, where it has some.
fn refused(told: &Told, what: &str) -> String {
    match &told.message {
        Some(message) => format!("{} for {what}: {message}", told.status),
        None => format!("{} for {what}, without a reason: another program may answer there", told.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_a_sentence_that_says_what_to_do() {
        let told = |status: u16| Told { status, message: None };
        assert_eq!(of_version(&told(200), false), Ok(()));
        assert_eq!(of_manifest(&told(200), "a", false), Ok(()));
        for (status, has_login, word) in [
            (401, false, "--login-file"),
            (401, true, "refuses this login"),
            (403, false, "outcome=denied"),
            (404, false, "--image"),
            (429, false, "wait"),
            (502, false, "check --online"),
            (504, false, "check --online"),
            (500, false, "another program"),
        ] {
            let sentence = of_manifest(&told(status), "a", has_login).unwrap_err();
            assert!(sentence.contains(word), "{status}: {sentence}");
        }
        let with_reason = Told { status: 404, message: Some("no registry has this host name".to_owned()) };
        let sentence = of_version(&with_reason, false).unwrap_err();
        assert!(sentence.ends_with("no registry has this host name"), "{sentence}");
    }
}
