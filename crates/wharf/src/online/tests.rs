use super::*;

fn reached(login: Login, remarks: &[&str]) -> Outcome {
    let source = (login != Login::None).then(|| "helper docker-credential-pass".to_owned());
    let logins = vec![LoginCheck { pattern: None, source, login }];
    Outcome::Reached(Reached { logins, remarks: remarks.iter().map(|it| (*it).to_owned()).collect() })
}

#[test]
fn each_registry_has_a_row_and_each_failure_counts() {
    let text =
        ["docker.io", "ghcr.io", "quay.io", "gcr.io"].map(|name| format!("[[registry]]\nname = {name:?}\n"));
    let config = Config::parse("wharf.toml", &text.concat(), &|_| None).unwrap();
    let failed = Outcome::Failed("quay.io does not resolve (asked 10.0.0.53); check the name".to_owned());
    let outcomes = [
        reached(Login::Accepted, &["this machine's clock is 2 days behind the registry's; check it"]),
        reached(Login::None, &[]),
        failed,
        Outcome::Offline,
    ];
    let outcomes = outcomes.map(|outcome| vec![outcome]);
    let verdict = judge(&config.registries, &outcomes);
    assert_eq!(
        verdict.text,
        "\
REGISTRY   ONLINE
docker.io  ok      answers, and accepts the login of helper docker-credential-pass
ghcr.io    ok      answers
quay.io    FAILED  quay.io does not resolve (asked 10.0.0.53); check the name
gcr.io     -       offline = true: not checked

warning: docker.io: this machine's clock is 2 days behind the registry's; check it
"
    );
    assert_eq!(verdict.failure.as_deref(), Some("1 of 4 registries cannot be used"));
    assert_eq!(judge(&config.registries[..1], &outcomes[..1]).failure, None);
}

#[test]
fn each_address_has_a_row_and_one_that_answers_is_enough() {
    let text =
        "[[registry]]\nname = \"corp.example\"\nupstream = [\"https://a.example\", \"https://b.example/\"]\n";
    let config = Config::parse("wharf.toml", text, &|_| None).unwrap();
    let failed = || Outcome::Failed("a.example does not resolve".to_owned());
    let verdict = judge(&config.registries, &[vec![failed(), reached(Login::None, &[])]]);
    assert_eq!(
        verdict.text,
        "\
REGISTRY                           ONLINE
corp.example at https://a.example  FAILED  a.example does not resolve
corp.example at https://b.example  ok      answers
"
    );
    assert_eq!(verdict.failure, None);
    let verdict = judge(&config.registries, &[vec![failed(), failed()]]);
    assert_eq!(verdict.failure.as_deref(), Some("1 of 1 registries cannot be used"));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_never_answers_fails_in_the_end() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // It accepts and sends nothing; the longer timeouts of the registry do not prolong the check.
    let text = format!(
        "[defaults]\nheader_timeout = \"1h\"\nidle_timeout = \"1h\"\nconnect_timeout = \"1h\"\n\
         [[registry]]\nname = \"mute.test\"\nupstream = \"http://{address}\"\n"
    );
    let config = Config::parse("wharf.toml", &text, &|_| None).unwrap();
    let verdict = check(&config).await;
    assert!(
        verdict.text.contains("mute.test  FAILED  no answer within 20s; check the address"),
        "{}",
        verdict.text
    );
}
