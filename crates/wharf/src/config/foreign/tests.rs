use super::*;

fn notice(names: &[&str], read: &[&str]) -> Option<String> {
    let read = read.iter().map(|name| (*name).to_owned()).collect();
    notice_of_variables(names.iter().map(|name| (*name).to_owned()), &read)
}

#[test]
fn variables_of_other_registries_are_named_with_the_key_that_says_the_same() {
    let said = notice(&["HOME", "REGISTRY_PROXY_USERNAME", "REGISTRY_PROXY_REMOTEURL", "PATH"], &[]);
    assert_eq!(
        said.unwrap(),
        "wharf does not read these environment variables: REGISTRY_PROXY_REMOTEURL (set name of a \
         [[registry]] instead); REGISTRY_PROXY_USERNAME (set username of a [[registry]] instead). To use \
         one, write it into the configuration file, as in username = \"${NAME}\", or set \
         wharf's own, such as WHARF_REGISTRY_DOCKER_IO_USERNAME"
    );
    for (name, expected) in [
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "(set [storage] root instead)"),
        ("REGISTRY_STORAGE_S3_BUCKET", "(wharf stores in files, below [storage] root)"),
        ("REGISTRY_HTTP_TLS_LETSENCRYPT_EMAIL", "([server.tls] takes a certificate and its key)"),
        ("AUTH_REGISTRIES", "(set username and password of each [[registry]] instead)"),
        ("MANIFEST_CACHE_PRIMARY_TIME", "(set tag_ttl instead)"),
        ("WHARF_LISTEN", "(wharf has no such variable)"),
        ("DOCKERHUB_USERNAME", "${DOCKERHUB_USERNAME}"),
    ] {
        let said = notice(&[name], &[]).unwrap_or_else(|| panic!("nothing is said of {name}"));
        assert!(said.contains(name) && said.contains(expected), "{said}");
    }
}

#[test]
fn variables_that_are_read_or_meaningless_get_no_notice() {
    let ours = ["WHARF_CONFIG", "WHARF_PORT", "WHARF_IMAGE"];
    let of_services = [
        "REGISTRY_SERVICE_HOST",
        "REGISTRY_SERVICE_PORT_HTTP",
        "REGISTRY_PORT",
        "REGISTRY_PORT_5000_TCP_ADDR",
        "REGISTRY_HTTP_PORT_80_TCP",
        "WHARF_SERVICE_HOST",
        "WHARF_PORT_5000_TCP",
    ];
    let others =
        ["HOME", "REGISTRY_DOMAIN", "REGISTRY", "HTTP_PROXY", "SSL_CERT_FILE", "REGISTRY_PROXY_\u{1b}[31m"];
    for name in ours.iter().chain(&of_services).chain(&others) {
        assert_eq!(notice(&[name], &[]), None, "{name}");
    }
    assert_eq!(
        notice(&["GHCR_PASSWORD", "REGISTRY_PROXY_PASSWORD"], &["GHCR_PASSWORD", "REGISTRY_PROXY_PASSWORD"]),
        None
    );
}

#[test]
fn the_line_has_an_end() {
    let names: Vec<String> = (0..200).map(|number| format!("REGISTRY_STORAGE_X{number}")).collect();
    let said = notice_of_variables(names, &HashSet::new()).unwrap();
    assert!(said.contains("; and 192 more.") && said.len() < 1000, "{said}");
}

#[test]
fn other_forms_of_configuration_are_known_by_their_first_lines() {
    for (text, expected) in [
        ("version: 0.1\nproxy:\n  remoteurl: https://registry-1.docker.io\n", Some("YAML")),
        ("# a comment\n\n---\nserver: {}\n", Some("YAML")),
        ("http:\n  addr: :5000\n", Some("YAML")),
        ("- name: docker.io\n", Some("YAML")),
        ("\n{ \"distSpecVersion\": \"1.1.0\" }", Some("JSON")),
        ("[server\nlisten = \"a\"", None),
        ("listen = 0.0.0.0:5000\n", None),
        ("listen: \"x\"", Some("YAML")),
        ("just words", None),
        ("https://x", None),
        ("", None),
        ("# nothing\n", None),
    ] {
        assert_eq!(looks_like(text), expected, "{text:?}");
    }
}

#[test]
fn a_file_mounted_as_for_another_image_gets_a_notice() {
    let mounts = "1 0 0:1 / / rw - overlay overlay rw\n\
                  2 1 8:1 /x.yml /etc/docker/registry/config.yml ro,relatime - ext4 /dev/sda1 rw\n\
                  3 1 8:1 /zot /etc/zot rw - ext4 /dev/sda1 rw\n";
    for (path, expected) in [
        ("/etc/docker/registry/config.yml", true),
        ("/etc/zot/config.json", true),
        ("/etc/distribution/config.yml", false),
    ] {
        assert_eq!(is_mounted(Path::new(path), mounts), expected, "{path}");
    }
    assert!(!is_mounted(Path::new("/etc/zot/config.json"), ""));
}
