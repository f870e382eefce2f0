//! Where logins come from, as people write it.

use credentials::{Login, SourceSettings};

use super::{Config, check_refused, check_warned, parse};

/// The rules of the first registry: each pattern with its source in words.
fn rules(text: &str) -> Vec<(Option<String>, String)> {
    let config = Config::parse("wharf.toml", text, &|name| match name {
        "HOME" => Some("/home/wharf".to_owned()),
        "SECRET" => Some("canary-word".to_owned()),
        _ => None,
    });
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(!format!("{config:?}").contains("canary"));
    let rules = config.registries[0].upstream.credentials.rules.iter();
    rules.map(|rule| (rule.pattern.as_ref().map(ToString::to_string), rule.source.to_string())).collect()
}

#[test]
fn one_source_is_a_text() {
    let table = [
        ("docker-config", "docker-config /home/wharf/.docker/config.json"),
        ("docker-config:/etc/wharf/docker", "docker-config /etc/wharf/docker"),
        ("pull-secret:/run/secrets/pull", "pull-secret /run/secrets/pull"),
        ("helper:ecr-login", "helper docker-credential-ecr-login"),
        ("command:/usr/local/bin/login", "command /usr/local/bin/login"),
        ("kubelet:ecr-credential-provider", "kubelet ecr-credential-provider"),
        ("ecr", "ecr"),
        ("ecr-public", "ecr-public"),
        ("google", "google"),
        ("google:/etc/wharf/key.json", "google /etc/wharf/key.json"),
        ("azure", "azure"),
    ];
    for (text, expected) in table {
        let found = rules(&format!("[[registry]]\nname = \"ghcr.io\"\ncredentials = {text:?}\n"));
        assert_eq!(found, [(None, expected.to_owned())]);
    }
}

#[test]
fn rules_keep_their_order_and_the_own_login_is_the_last() {
    let text = "[[registry]]\nname = \"quay.io\"\nusername = \"all\"\npassword = \"${SECRET}\"\n\
                [[registry.credentials]]\nmatch = \"team/*\"\nsource = \"helper:pass\"\n\
                [[registry.credentials]]\nmatch = \"partner/*\"\nusername = \"them\"\npassword = \"${SECRET}\"\n";
    let expected = [
        (Some("team/*"), "helper docker-credential-pass"),
        (Some("partner/*"), "the configuration"),
        (None, "the configuration"),
    ];
    let expected = expected.map(|(pattern, source)| (pattern.map(str::to_owned), source.to_owned()));
    assert_eq!(rules(text), expected);
}

#[test]
fn a_registry_takes_no_half_of_its_logins_from_the_defaults() {
    let text = "[defaults]\ncredentials = \"docker-config\"\n\
                [[registry]]\nname = \"ghcr.io\"\nusername = \"u\"\npassword = \"${HUB_PASSWORD}\"\n\
                [[registry]]\nname = \"quay.io\"\n";
    let config = Config::parse("wharf.toml", text, &|name| match name {
        "HOME" => Some("/root".to_owned()),
        "HUB_PASSWORD" => Some("canary-word".to_owned()),
        _ => None,
    });
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let of = |index: usize| &config.registries[index].upstream.credentials.rules;
    assert!(
        matches!(&of(0)[..], [rule] if matches!(rule.source, SourceSettings::Fixed(Login::Password { .. })))
    );
    assert!(matches!(&of(1)[..], [rule] if matches!(rule.source, SourceSettings::DockerConfig { .. })));
    assert!(of(1).len() == 1 && config.registries[1].cache.links);
}

#[test]
fn a_program_gets_its_own_variables_and_its_time() {
    let text = "[[registry]]\nname = \"quay.io\"\n[[registry.credentials]]\nsource = \"command:login\"\n\
                arguments = [\"--read-only\"]\nenvironment = [\"HUB_USER\"]\ntimeout = \"20s\"\n";
    let config = parse(text);
    let SourceSettings::Command(process) = &config.registries[0].upstream.credentials.rules[0].source else {
        panic!("no command");
    };
    assert_eq!(process.arguments, ["--read-only"]);
    assert_eq!(process.variables.get("HUB_USER"), Some("hub-user"));
    assert_eq!(process.timeout.as_secs(), 20);
}

#[test]
fn each_mistake_is_named_with_its_place() {
    let start = "[[registry]]\nname = \"quay.io\"\n";
    let table = [
        (
            "credentials = \"docker-confg\"\n",
            "wharf.toml:3: registry[quay.io].credentials: \"docker-confg\" is no source of credentials; did you mean \
             \"docker-config\"?",
        ),
        (
            "credentials = \"helper\"\n",
            "wharf.toml:3: registry[quay.io].credentials: helper names nothing; write, for example, \
             \"helper:ecr-login\"",
        ),
        (
            "credentials = \"helper:../bin/sh\"\n",
            "wharf.toml:3: registry[quay.io].credentials: \"helper:../bin/sh\": a helper is named by the word behind \
             \"docker-credential-\", such as \"helper:ecr-login\"",
        ),
        (
            "credentials = \"pull-secret:secret\"\n",
            "wharf.toml:3: registry[quay.io].credentials: \"pull-secret:secret\": write the whole path, from \"/\" on",
        ),
        (
            "[[registry.credentials]]\nsource = \"pull-secret:/a\"\narguments = [\"x\"]\n",
            "wharf.toml:5: registry[quay.io].credentials[0].arguments: is not for pull-secret; leave it out",
        ),
        (
            "credentials = \"ecr:eu-west-1\"\n",
            "wharf.toml:3: registry[quay.io].credentials: ecr takes nothing behind a colon; write \"ecr\", and keys \
             beside it",
        ),
        (
            "[[registry.credentials]]\nsource = \"google\"\nregion = \"eu-west-1\"\n",
            "wharf.toml:5: registry[quay.io].credentials[0].region: is not for google; leave it out",
        ),
        (
            "[[registry.credentials]]\nmatch = \"Team/*\"\nsource = \"helper:pass\"\n",
            "wharf.toml:4: registry[quay.io].credentials[0].match: \"Team/*\": a pattern has lower-case letters, digits \
             and / . _ - * ? only, and no tag; write repositories such as \"team/*\"",
        ),
        (
            "[[registry.credentials]]\nmatch = \"team/*\"\n",
            "wharf.toml:3: registry[quay.io].credentials[0]: has neither source nor username; write where the login \
             comes from, such as source = \"docker-config\"",
        ),
        (
            "[[registry.credentials]]\nsource = \"helper:a\"\n[[registry.credentials]]\nsource = \"helper:b\"\n",
            "wharf.toml:5: registry[quay.io].credentials[1]: is never used, because the rule before it is for every \
             repository; give that one a match, or leave one of them out",
        ),
        (
            "[[registry.credentials]]\nsource = \"command:login\"\ntimeout = \"2m\"\n",
            "wharf.toml:5: registry[quay.io].credentials[0].timeout: is more than 50 s, which no client waits for; write \
             a shorter time",
        ),
    ];
    for (text, expected) in table {
        check_refused(&format!("{start}{text}"), &[expected]);
    }
}

/// People write a login where its source goes.
#[test]
fn s28_a_login_in_place_of_a_source_is_not_quoted() {
    for written in ["robot:canary-word", "canary-word", "ghp_canary"] {
        let lists = [
            format!("credentials = {written:?}\n"),
            format!("[[registry.credentials]]\nsource = {written:?}\n"),
        ];
        for text in lists {
            let text = format!("[[registry]]\nname = \"quay.io\"\n{text}");
            let mistakes = Config::parse("wharf.toml", &text, &|_| None).unwrap_err().to_string();
            assert!(mistakes.contains("is no source of credentials; the kinds are ecr, "), "{mistakes}");
            assert!(!mistakes.contains("canary"), "{mistakes}");
        }
    }
}

#[test]
fn one_command_in_the_defaults_gives_its_login_to_every_registry() {
    let text = "[defaults]\ncredentials = \"command:login\"\n[[registry]]\nname = \"quay.io\"\nusername = \"\"\n\
                password = \"\"\n";
    check_warned(
        text,
        &[
            "wharf.toml:2: defaults.credentials: goes to every registry that does not set this key; move it to the \
           [[registry]] that it belongs to",
        ],
    );
}
