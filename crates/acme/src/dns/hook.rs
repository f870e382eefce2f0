//! A program that makes and removes TXT records.
//!
//! It gets the arguments that lego gives to its `exec` programs: `present` or `cleanup`, the name of the
//! record with a dot at its end, and the value; and the variables that certbot gives to its hooks.

use credentials::{ProcessSettings, run_program};
use hickory_proto::rr::Name;

/// The task of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Present,
    CleanUp,
}

/// Runs the program.
///
/// # Errors
/// A sentence, if it does not end with status 0 in time.
pub(super) async fn run(process: &ProcessSettings, act: Act, name: &Name, value: &str) -> Result<(), String> {
    let told = run_program(&call(process, act, &name.to_ascii(), value), Vec::new()).await;
    told.map(drop).map_err(|failure| format!("the hook for {name}: {failure}"))
}

/// The call of the program for one record.
fn call(process: &ProcessSettings, act: Act, name: &str, value: &str) -> ProcessSettings {
    let word = match act {
        Act::Present => "present",
        Act::CleanUp => "cleanup",
    };
    let mut call = process.clone();
    call.arguments.extend([word, name, value].map(str::to_owned));
    let domain = name.strip_prefix("_acme-challenge.").unwrap_or(name).trim_end_matches('.');
    for (variable, text) in [("CERTBOT_DOMAIN", domain), ("CERTBOT_VALIDATION", value)] {
        call.variables.set(variable, text);
    }
    call
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use credentials::Variables;

    use super::*;

    #[test]
    fn a_hook_gets_the_arguments_of_lego_and_the_variables_of_certbot() {
        let process = ProcessSettings {
            program: "/usr/local/bin/hook".into(),
            arguments: vec!["--zone".to_owned()],
            variables: Variables::default(),
            timeout: Duration::from_secs(1),
        };
        for (act, word) in [(Act::Present, "present"), (Act::CleanUp, "cleanup")] {
            let call = call(&process, act, "_acme-challenge.reg.example.", "value");
            assert_eq!(call.arguments, ["--zone", word, "_acme-challenge.reg.example.", "value"]);
            assert_eq!(call.variables.get("CERTBOT_DOMAIN"), Some("reg.example"));
            assert_eq!(call.variables.get("CERTBOT_VALIDATION"), Some("value"));
        }
    }
}
