//! Distributions of Kubernetes with a containerd of their own.

use crate::hosts_file::{self, AUTHORITY, PULL, Places};
use crate::mirror::Mirror;
use crate::registries_yaml;
use crate::settings::{Placement, Settings};

/// The authority's certificate beside the files of a cluster that is made from them.
const LOCAL_AUTHORITY: &str = "wharf-ca.pem";

/// k3s.
pub(crate) fn k3s(mirror: &Mirror) -> Settings {
    let mut settings = registries(mirror, "/etc/rancher/k3s/registries.yaml");
    settings.command("systemctl restart k3s        # on agents: k3s-agent");
    settings
}

/// RKE2.
pub(crate) fn rke2(mirror: &Mirror) -> Settings {
    let mut settings = registries(mirror, "/etc/rancher/rke2/registries.yaml");
    settings.command("systemctl restart rke2-server        # on agents: rke2-agent");
    settings
}

fn registries(mirror: &Mirror, path: &str) -> Settings {
    let mut settings = Settings::default();
    settings.file(Placement::IfAbsent, path, registries_yaml::text(mirror, AUTHORITY));
    hosts_file::add_authority(&mut settings, mirror, AUTHORITY);
    settings
}

/// k3d.
pub(crate) fn k3d(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    settings.file(Placement::Own, "registries.yaml", registries_yaml::text(mirror, AUTHORITY));
    hosts_file::add_authority(&mut settings, mirror, LOCAL_AUTHORITY);
    let volume = match mirror.authority {
        Some(_) => format!(" --volume \"$PWD/{LOCAL_AUTHORITY}:{AUTHORITY}@all\""),
        None => String::new(),
    };
    settings.command(format!("k3d cluster create NAME --registry-config registries.yaml{volume}"));
    settings.note(NODES);
    settings
}

/// The note about the containers in which nodes run.
const NODES: &str =
    "Names and addresses must work inside the node containers, so localhost and 127.0.0.1 do not.";

/// kind.
pub(crate) fn kind(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    let text = "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n  - role: control-plane\n    \
                extraMounts:\n      - hostPath: ./certs.d\n        containerPath: /etc/containerd/certs.d\n";
    settings.file(Placement::IfAbsent, "kind.yaml", text.to_owned());
    let places = Places {
        directory: "certs.d",
        authority: "certs.d/wharf-ca.pem",
        authority_for_client: "/etc/containerd/certs.d/wharf-ca.pem",
        capabilities: PULL,
    };
    hosts_file::add(&mut settings, mirror, mirror.registries.iter(), &places);
    settings.command("kind create cluster --config kind.yaml");
    settings.note("Repeat extraMounts for each further node.");
    settings.note(NODES);
    settings.note(
        "Node images before kind 0.27 also need `config_path = \"/etc/containerd/certs.d\"` by \
         containerdConfigPatches.",
    );
    settings
}

/// minikube with containerd.
pub(crate) fn minikube(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    let places = Places {
        directory: "~/.minikube/files/etc/containerd/certs.d",
        authority: "~/.minikube/files/etc/ssl/wharf-ca.pem",
        authority_for_client: AUTHORITY,
        capabilities: PULL,
    };
    hosts_file::add(&mut settings, mirror, mirror.registries.iter(), &places);
    settings.command("minikube start --container-runtime=containerd");
    if let Some(url) = mirror.hub_url() {
        settings.note(format!(
            "With the docker runtime, which mirrors Docker Hub alone: `minikube start --registry-mirror={url}`. \
             The containerd runtime ignores that flag."
        ));
    }
    settings
}

/// MicroK8s.
pub(crate) fn microk8s(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    let places = Places {
        directory: "/var/snap/microk8s/current/args/certs.d",
        authority: "/var/snap/microk8s/current/args/wharf-ca.pem",
        authority_for_client: "/var/snap/microk8s/current/args/wharf-ca.pem",
        capabilities: PULL,
    };
    hosts_file::add(&mut settings, mirror, mirror.registries.iter(), &places);
    settings.command("snap restart microk8s");
    settings.note("Each node of the cluster needs these files.");
    settings
}
