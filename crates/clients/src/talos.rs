//! Talos Linux, whose machine configuration is a list of documents.

use crate::mirror::Mirror;
use crate::settings::{Placement, Settings};

/// Talos 1.12 and later.
pub(crate) fn talos(mirror: &Mirror) -> Settings {
    let mut documents = Vec::new();
    for registry in &mirror.registries {
        documents.push(format!(
            "apiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: \"{}\"\nendpoints:\n  - url: {}\n",
            registry.name,
            mirror.url(registry)
        ));
    }
    for host in mirror.hosts() {
        if let Some(authority) = &mirror.authority {
            let pem: String = authority.pem.lines().map(|line| format!("  {line}\n")).collect();
            documents.push(format!(
                "apiVersion: v1alpha1\nkind: RegistryTLSConfig\nname: \"{host}\"\nca: |-\n{pem}"
            ));
        }
    }
    let mut text = documents.join("---\n");
    if mirror.needs_login() {
        text.push_str("# wharf asks for a login: write it here, and remove the marks of the comments.\n");
    }
    for host in mirror.hosts().into_iter().filter(|host| mirror.needs_login_at(host)) {
        text.push_str(&format!(
            "# ---\n# apiVersion: v1alpha1\n# kind: RegistryAuthConfig\n# name: \"{host}\"\n# username: \
             \"USER\"\n# password: \"PASSWORD\"\n"
        ));
    }
    let mut settings = Settings::default();
    settings.file(Placement::Own, "wharf-talos.yaml", text);
    settings.command("talosctl patch machineconfig --patch @wharf-talos.yaml");
    settings.note("Talos before 1.12 has the same settings below machine.registries of its configuration.");
    settings
}
