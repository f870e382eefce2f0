use super::*;

#[test]
fn a_json_object_keeps_its_other_keys_and_the_mirror_comes_first() {
    let wanted = r#"{"registry-mirrors": ["http://new"], "insecure-registries": ["new"]}"#;
    let present = r#"{"log-driver": "journald", "registry-mirrors": ["http://old"], "mtu": 1400}"#;
    let joined = json(present, wanted).unwrap().unwrap();
    let joined: Value = serde_json::from_str(&joined).unwrap();
    let expected = serde_json::json!({
        "log-driver": "journald",
        "mtu": 1400,
        "registry-mirrors": ["http://new", "http://old"],
        "insecure-registries": ["new"],
    });
    assert_eq!(joined, expected);
    assert_eq!(json(&joined.to_string(), wanted), Ok(None), "a second time");
    assert!(json("  ", wanted).unwrap().is_some(), "an empty file is an empty object");
}

#[test]
fn json_that_cannot_be_joined_is_refused() {
    for (present, expected) in [
        ("{ // comment\n}", MergeError::Format("a JSON object")),
        ("[]", MergeError::Format("a JSON object")),
        (r#"{"registry-mirrors": "http://old"}"#, MergeError::Differs("registry-mirrors".to_owned())),
    ] {
        assert_eq!(json(present, r#"{"registry-mirrors": ["http://new"]}"#), Err(expected), "{present}");
    }
}

const WANTED: &str = "version = 2\n\n[plugins.\"cri\".registry]\n  config_path = \"/etc/certs.d\"\n";

#[test]
fn toml_sections_join_a_file_that_keeps_its_text() {
    let present =
        "# ours\nversion = 2\nroot = \"/data\"\n\n[plugins.\"cri\"]\n  sandbox_image = \"pause\" # pinned\n";
    let joined = toml(present, WANTED).unwrap().unwrap();
    assert!(joined.starts_with(present.trim_end()), "{joined}");
    assert!(joined.ends_with("[plugins.\"cri\".registry]\n  config_path = \"/etc/certs.d\"\n"), "{joined}");
    assert_eq!(toml(&joined, WANTED), Ok(None), "a second time");
    assert_eq!(toml("\n", WANTED).unwrap().unwrap(), WANTED);
}

#[test]
fn a_mirror_joins_the_mirrors_of_an_array() {
    let wanted = "[[host.\"docker.io\".mirrors]]\nhost = \"new\"\n";
    let joined = toml("[[host.\"docker.io\".mirrors]]\nhost = \"old\"\n", wanted).unwrap().unwrap();
    assert_eq!(joined.matches("mirrors]]").count(), 2, "{joined}");
    assert_eq!(toml(&joined, wanted), Ok(None));
}

#[test]
fn toml_that_cannot_be_joined_is_refused() {
    for (present, expected) in [
        ("version = ", MergeError::Format("TOML")),
        ("version = 3\n", MergeError::Differs("version".to_owned())),
        ("[plugins]\n", MergeError::Differs("version".to_owned())),
        ("version = 2\n[plugins.\"cri\".registry]\nconfig_path = \"\"\n", MergeError::Sections),
        ("version = 2\nplugins = { cri = {} }\n", MergeError::Sections),
    ] {
        assert_eq!(toml(present, WANTED), Err(expected), "{present}");
    }
}

#[test]
fn a_hosts_file_with_a_login_does_what_the_file_without_it_does() {
    let wanted = "server = \"a\"\n[host.\"b\"]\n  capabilities = [\"pull\"]\n";
    let with_login = format!("{wanted}  [host.\"b\".header]\n    Authorization = \"Basic x\"\n");
    assert!(is_extended(&with_login, wanted));
    assert!(!is_extended(&with_login, &wanted.replace("\"b\"", "\"c\"")));
    assert!(!is_extended("nonsense", wanted));
}
