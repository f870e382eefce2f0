//! The list of clients.

use crate::mirror::{Mirror, Registry};
use crate::settings::Settings;
use crate::{builders, containerd, engine, image_library, kubernetes, lazy, runners, talos};
use Selector::{Host, Namespace, Path};

/// A client that can use wharf.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// The name on the command line.
    pub name: &'static str,
    /// Other names of it.
    pub aliases: &'static [&'static str],
    /// The programs and versions that the settings are for.
    pub about: &'static str,
    selector: Selector,
    make: fn(&Mirror) -> Settings,
}

/// How a client names the registry to a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selector {
    /// By the host, and by `ns`.
    Namespace,
    /// By the host, or by a path in front of the repository.
    Path,
    /// By the host alone.
    Host,
}

/// The way in which a client asks a mirror for a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The host of the request, with the port unless it is the scheme's default.
    pub host: String,
    /// The start of the repository in the path; empty, or it ends with a slash.
    pub prefix: String,
    /// The value of `ns`.
    pub ns: Option<String>,
}

impl Tool {
    /// The settings by which the client uses `mirror`.
    pub fn settings(&self, mirror: &Mirror) -> Settings {
        (self.make)(mirror)
    }

    /// The way in which the client asks `mirror` for `registry`; `None`: it cannot.
    pub fn way(&self, mirror: &Mirror, registry: &Registry) -> Option<Way> {
        let (host, prefix, ns) = match self.selector {
            Selector::Namespace => {
                (mirror.host(registry).to_owned(), String::new(), Some(registry.name.clone()))
            }
            Selector::Path => {
                let location = mirror.location(registry)?;
                let (host, path) = location.split_once('/').unwrap_or((&location, ""));
                let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
                (host.to_owned(), prefix, None)
            }
            Selector::Host => (mirror.plain_host(registry)?.to_owned(), String::new(), None),
        };
        Some(Way { host, prefix, ns })
    }
}

/// Every client, in families.
pub const TOOLS: &[Tool] = &[
    tool(
        "docker",
        &["dockerd"],
        "Docker Engine 28 and later, with the containerd image store",
        Namespace,
        engine::docker,
    ),
    tool(
        "docker-classic",
        &[],
        "Docker Engine 20.10 to 27, or the classic image store",
        Path,
        engine::docker_classic,
    ),
    tool("containerd", &["containerd-2", "crictl"], "containerd 2", Namespace, containerd::containerd_2),
    tool("containerd-1", &[], "containerd 1.5 to 1.7", Namespace, containerd::containerd_1),
    tool("nerdctl", &[], "nerdctl", Namespace, containerd::nerdctl),
    tool("podman", &["skopeo", "buildah"], "podman, skopeo and buildah", Path, image_library::podman),
    tool("cri-o", &["crio"], "CRI-O", Path, image_library::cri_o),
    tool("k3s", &[], "k3s", Namespace, kubernetes::k3s),
    tool("rke2", &[], "RKE2", Namespace, kubernetes::rke2),
    tool("k3d", &[], "k3d", Namespace, kubernetes::k3d),
    tool("kind", &[], "kind", Namespace, kubernetes::kind),
    tool("minikube", &[], "minikube with the containerd runtime", Namespace, kubernetes::minikube),
    tool("microk8s", &[], "MicroK8s", Namespace, kubernetes::microk8s),
    tool("talos", &[], "Talos 1.12 and later", Namespace, talos::talos),
    tool("buildkit", &["buildkitd"], "a BuildKit that runs by itself", Namespace, builders::buildkit),
    tool("buildx", &[], "a builder of docker buildx", Namespace, builders::buildx),
    tool("earthly", &[], "Earthly", Namespace, builders::earthly),
    tool("kaniko", &[], "kaniko 1.20 and later", Path, builders::kaniko),
    tool(
        "github-actions",
        &[],
        "GitHub Actions on runners that reach wharf",
        Namespace,
        runners::github_actions,
    ),
    tool(
        "hub-mirror",
        &["actuated"],
        "GitHub Actions with self-actuated/hub-mirror",
        Host,
        runners::hub_mirror,
    ),
    tool("gitlab-runner", &["gitlab"], "GitLab Runner with Docker-in-Docker", Host, runners::gitlab_runner),
    tool(
        "gitea-runner",
        &["forgejo-runner"],
        "the runners of Gitea and Forgejo",
        Host,
        runners::gitea_runner,
    ),
    tool("stargz", &["stargz-snapshotter"], "stargz-snapshotter", Namespace, lazy::stargz),
    tool("nydus", &["nydus-snapshotter"], "nydus-snapshotter", Host, lazy::nydus),
    tool("dragonfly", &[], "Dragonfly between containerd and wharf", Namespace, lazy::dragonfly),
];

const fn tool(
    name: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
    selector: Selector,
    make: fn(&Mirror) -> Settings,
) -> Tool {
    Tool { name, aliases, about, selector, make }
}

/// The client with this name or alias, in any case.
pub fn find(name: &str) -> Option<&'static Tool> {
    let is_it = |it: &&str| it.eq_ignore_ascii_case(name);
    TOOLS.iter().find(|tool| is_it(&tool.name) || tool.aliases.iter().any(is_it))
}
