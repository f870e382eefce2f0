//! Each client's settings for three mirrors. `WHARF_WRITE_PAGES=1 cargo test -p clients` writes the files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clients::{Authority, Mirror, Registry, TOOLS};

pub(crate) fn registry(name: &str, host: Option<&str>) -> Registry {
    Registry {
        name: name.to_owned(),
        host: host.map(str::to_owned),
        is_hub: name == "docker.io",
        is_default: false,
        needs_login: false,
    }
}

/// Plain HTTP below a domain, as `docs/how-to/clients.md` has it.
pub(crate) fn plain() -> Mirror {
    Mirror {
        base: "registry.example.com:5000".to_owned(),
        is_tls: false,
        authority: None,
        registries: ["docker.io", "ghcr.io"]
            .map(|name| registry(name, Some(&format!("{name}.registry.example.com:5000"))))
            .to_vec(),
    }
}

/// TLS with a private authority and logins; one registry has a port.
pub(crate) fn private() -> Mirror {
    let hosts = [("docker.io", "docker-io"), ("registry.corp.example:8443", "registry-corp-example-8443")];
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned();
    let registries = hosts.map(|(name, label)| Registry {
        needs_login: true,
        ..registry(name, Some(&format!("{label}.registry.example.com")))
    });
    Mirror {
        base: "registry.example.com".to_owned(),
        is_tls: true,
        authority: Some(Authority { pem }),
        registries: registries.to_vec(),
    }
}

/// No domain: an address, Docker Hub as the default, and a registry that only `ns` or a path names.
pub(crate) fn bare() -> Mirror {
    Mirror {
        base: "192.168.1.10:5000".to_owned(),
        is_tls: false,
        authority: None,
        registries: vec![
            Registry { is_default: true, ..registry("docker.io", None) },
            registry("ghcr.io", None),
        ],
    }
}

#[test]
fn each_client_gets_the_settings_of_its_golden_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut expected_files = BTreeSet::new();
    let mut wrong = Vec::new();
    for (case, mirror) in [("plain", plain()), ("private", private()), ("bare", bare())] {
        for tool in TOOLS {
            let path = folder.join(case).join(format!("{}.txt", tool.name));
            let text = tool.settings(&mirror).text();
            if std::env::var_os("WHARF_WRITE_PAGES").is_some() {
                fs::create_dir_all(folder.join(case)).unwrap();
                fs::write(&path, &text).unwrap();
            }
            if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
                wrong.push(format!("{}:\n{text}", path.display()));
            }
            expected_files.insert(path);
        }
    }
    assert!(wrong.is_empty(), "these golden files differ from the settings:\n{}", wrong.join("\n"));
    let folders = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<PathBuf> =
        folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files, expected_files, "no golden file is left over");
}
