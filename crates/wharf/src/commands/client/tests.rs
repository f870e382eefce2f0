use super::*;

fn config(text: &str) -> Config {
    Config::parse("wharf.toml", text, &|_| None).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The hosts of the two registries for this address.
#[track_caller]
fn hosts(server: &str, address: Option<&str>) -> (String, Option<String>) {
    let text = format!(
        "[server]\n{server}\n[[registry]]\nname = \"docker.io\"\n[[registry]]\nname = \"corp.example:8443\"\n"
    );
    let given = address.map(|address| address::parse(address).unwrap());
    let mirror = report::mirror(&config(&text), given, None, None).unwrap();
    let scheme = if mirror.is_tls { "https" } else { "http" };
    (format!("{scheme}://{}", mirror.base), mirror.registries[1].host.clone())
}

#[test]
fn the_address_that_the_operator_gives_outweighs_the_configuration() {
    let here = "listen = [\"0.0.0.0:5000\"]";
    let domain = "listen = [\"0.0.0.0:5000\"]\ndomain = \"cache.example\"";
    for (server, address, base, host) in [
        (domain, None, "http://cache.example:5000", Some("corp.example-8443.cache.example:5000")),
        (domain, Some("10.0.0.1"), "http://10.0.0.1:5000", Some("corp.example-8443.cache.example:5000")),
        (domain, Some("10.0.0.1:80"), "http://10.0.0.1", Some("corp.example-8443.cache.example")),
        // A proxy ends TLS, most likely with a wildcard.
        (
            domain,
            Some("https://cache.example/"),
            "https://cache.example",
            Some("corp-example-8443.cache.example"),
        ),
        (here, Some("http://cache"), "http://cache", None),
        (here, Some("[fd00::1]:5000"), "http://[fd00::1]:5000", None),
    ] {
        assert_eq!(hosts(server, address), (base.to_owned(), host.map(str::to_owned)), "{address:?}");
    }
}

#[test]
fn an_address_that_is_none_is_refused() {
    for text in
        ["", "ftp://cache", "cache:port", "cache:0", "cache:70000", "cache/path", "fd00::1", "a b", "[x]:1"]
    {
        assert!(address::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn without_any_address_the_command_says_how_to_name_one() {
    let config = config("[server]\nlisten = [\"0.0.0.0:5000\"]\n[[registry]]\nname = \"docker.io\"\n");
    let error = report::mirror(&config, None, None, None).unwrap_err();
    assert!(error.to_string().contains("--address HOST:PORT"), "{error}");
}

#[test]
fn a_registry_to_which_logins_are_passed_on_needs_one() {
    let text = "[server]\nlisten = \"127.0.0.1:5000\"\n[[registry]]\nname = \"docker.io\"\n\
                [[registry]]\nname = \"corp.example\"\nauth = \"passthrough\"\n";
    let mirror = report::mirror(&config(text), None, None, None).unwrap();
    assert_eq!(mirror.registries.iter().map(|it| it.needs_login).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn the_list_has_every_client_with_its_other_names() {
    let list = list();
    assert_eq!(list.lines().count(), TOOLS.len() + 1);
    assert!(list.contains("podman, skopeo, buildah "), "{list}");
}
