use std::fs;

use super::*;

fn config(text: &str) -> Config {
    Config::parse("wharf.toml", text, &|_| None).unwrap()
}

const COMMON_ALONE: &str = "[storage]\nroot = \"AT/common\"\n[[registry]]\nname = \"docker.io\"\n";

#[test]
fn files_can_be_written_below_the_stores_alone() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path().to_str().unwrap();
    let quay = "[[registry]]\nname = \"quay.io\"\nroot = ";
    let ghcr = "[storage]\nroot = \"AT/common\"\n[[registry]]\nname = \"ghcr.io\"\nroot = \"AT/ghcr\"\n";
    for (text, expected) in [
        (COMMON_ALONE.to_owned(), &["common"][..]),
        (format!("{COMMON_ALONE}{quay}\"AT/quay\"\n"), &["common", "quay"]),
        (format!("{COMMON_ALONE}{quay}\"AT/./common/deep/quay\"\n"), &["common"]),
        // No store is in the common directory, which does not exist.
        (ghcr.to_owned(), &["ghcr"]),
    ] {
        let expected: Vec<_> = expected.iter().map(|name| place.path().join(name)).collect();
        assert_eq!(writable(&config(&text.replace("AT", at))), expected, "{text}");
    }
    fs::create_dir(place.path().join("common")).unwrap();
    assert_eq!(writable(&config(&ghcr.replace("AT", at))).len(), 2, "a later registry may store there");
}

/// Rights of which these limits are in force.
fn limited(files: bool, calls: bool, writable: &[&str]) -> Rights {
    let limit = |is_in_force: bool| if is_in_force { Ok(()) } else { Err(Unconfined::Unsupported("absent")) };
    let confinement = Confinement { files: limit(files), calls: limit(calls) };
    let writable = writable.iter().map(PathBuf::from).collect();
    Rights { limits: Limits::InForce { confinement, writable, sockets: Vec::new() }, made: Vec::new() }
}

fn refusals(rights: &Rights, config: &Config) -> Vec<String> {
    rights.refuse(config).iter().map(ToString::to_string).collect()
}

#[test]
fn a_later_registry_stores_where_files_can_be_written_or_is_refused_with_the_reason() {
    let text = "[[registry]]\nname = \"docker.io\"\n[[registry]]\nname = \"quay.io\"\nroot = \"/srv/quay\"\n";
    let registries = config(text);
    let expected = "quay.io: cannot store in /srv/quay: since its start, wharf can write only below wharf-data \
                    (`sandbox` of [server]); restart it";
    assert_eq!(refusals(&limited(true, false, &["wharf-data"]), &registries), [expected]);
    assert!(refusals(&limited(true, true, &["wharf-data", "/srv"]), &registries).is_empty());
    assert!(refusals(&limited(false, true, &[]), &registries).is_empty(), "files can be written everywhere");
    let off = Rights { limits: Limits::Off("declined".to_owned()), made: Vec::new() };
    assert!(refusals(&off, &registries).is_empty());
    assert!(
        !off.are_limited()
            && !limited(true, false, &[]).are_limited()
            && limited(true, true, &[]).are_limited()
    );
}

#[test]
fn a_login_that_comes_from_a_program_needs_the_right_to_start_it() {
    let registries = config("[[registry]]\nname = \"docker.io\"\ncredentials = \"helper:pass\"\n");
    let expected = "docker.io: its login may come from a program; since its start, wharf can start none \
                    (`sandbox` of [server]); restart it";
    for rights in [limited(true, false, &["wharf-data"]), limited(false, true, &[])] {
        assert_eq!(refusals(&rights, &registries), [expected]);
    }
    assert!(refusals(&limited(false, false, &[]), &registries).is_empty());
}

#[test]
fn a_hook_of_acme_needs_the_right_to_start_it_and_the_state_a_place_to_write() {
    let text =
        "[server]\ndomain = \"reg.example\"\n[server.acme]\nterms_agreed = true\nstate_dir = \"/srv/acme\"\n";
    let hooked = config(&format!("{text}challenge = \"dns-01\"\ndns_hook = \"/bin/hook\"\n"));
    let expected = "[server.acme]: dns_hook is a program; since its start, wharf can start none (`sandbox` of \
                    [server]); restart it";
    assert_eq!(refusals(&limited(false, true, &[]), &hooked), [expected]);
    assert!(refusals(&limited(false, false, &[]), &hooked).is_empty());
    assert!(writable(&config(text)).contains(&PathBuf::from("/srv/acme")));
}

#[test]
fn directories_are_made_and_go_again_while_they_are_empty() {
    let place = tempfile::tempdir().unwrap();
    let (kept, gone) = (place.path().join("a/kept"), place.path().join("a/b/gone"));
    let mut made = Vec::new();
    assert!(make(&kept, &mut made) && make(&gone, &mut made) && make(place.path(), &mut made));
    let names: Vec<_> = made.iter().map(|it| it.strip_prefix(place.path()).unwrap()).collect();
    assert_eq!(names, ["a", "a/kept", "a/b", "a/b/gone"].map(Path::new));
    fs::write(kept.join("file"), "").unwrap();
    unmake(&mut made);
    assert!(kept.exists() && !place.path().join("a/b").exists());

    assert!(!make(&kept.join("file/below"), &mut made), "a file is in the way");
}
