//! The list of clients.

use crate::mirror::Mirror;
use crate::settings::Settings;
use crate::{builders, containerd, engine, image_library, kubernetes, lazy, runners, talos};

/// A client that can use wharf.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// The name on the command line.
    pub name: &'static str,
    /// Other names of it.
    pub aliases: &'static [&'static str],
    /// The programs and versions that the settings are for.
    pub about: &'static str,
    make: fn(&Mirror) -> Settings,
}

impl Tool {
    /// The settings by which the client uses `mirror`.
    pub fn settings(&self, mirror: &Mirror) -> Settings {
        (self.make)(mirror)
    }
}

/// Every client, in families.
pub const TOOLS: &[Tool] = &[
    tool(
        "docker",
        &["dockerd"],
        "Docker Engine 28 and later, with the containerd image store",
        engine::docker,
    ),
    tool(
        "docker-classic",
        &[],
        "Docker Engine 20.10 to 27, or the classic image store",
        engine::docker_classic,
    ),
    tool("containerd", &["containerd-2", "crictl"], "containerd 2", containerd::containerd_2),
    tool("containerd-1", &[], "containerd 1.5 to 1.7", containerd::containerd_1),
    tool("nerdctl", &[], "nerdctl", containerd::nerdctl),
    tool("podman", &["skopeo", "buildah"], "podman, skopeo and buildah", image_library::podman),
    tool("cri-o", &["crio"], "CRI-O", image_library::cri_o),
    tool("k3s", &[], "k3s", kubernetes::k3s),
    tool("rke2", &[], "RKE2", kubernetes::rke2),
    tool("k3d", &[], "k3d", kubernetes::k3d),
    tool("kind", &[], "kind", kubernetes::kind),
    tool("minikube", &[], "minikube with the containerd runtime", kubernetes::minikube),
    tool("microk8s", &[], "MicroK8s", kubernetes::microk8s),
    tool("talos", &[], "Talos 1.12 and later", talos::talos),
    tool("buildkit", &["buildkitd"], "a BuildKit that runs by itself", builders::buildkit),
    tool("buildx", &[], "a builder of docker buildx", builders::buildx),
    tool("earthly", &[], "Earthly", builders::earthly),
    tool("kaniko", &[], "kaniko 1.20 and later", builders::kaniko),
    tool("github-actions", &[], "GitHub Actions on runners that reach wharf", runners::github_actions),
    tool("hub-mirror", &["actuated"], "GitHub Actions with self-actuated/hub-mirror", runners::hub_mirror),
    tool("gitlab-runner", &["gitlab"], "GitLab Runner with Docker-in-Docker", runners::gitlab_runner),
    tool("gitea-runner", &["forgejo-runner"], "the runners of Gitea and Forgejo", runners::gitea_runner),
    tool("stargz", &["stargz-snapshotter"], "stargz-snapshotter", lazy::stargz),
    tool("nydus", &["nydus-snapshotter"], "nydus-snapshotter", lazy::nydus),
    tool("dragonfly", &[], "Dragonfly between containerd and wharf", lazy::dragonfly),
];

const fn tool(
    name: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
    make: fn(&Mirror) -> Settings,
) -> Tool {
    Tool { name, aliases, about, make }
}

/// The client with this name or alias, in any case.
pub fn find(name: &str) -> Option<&'static Tool> {
    let is_it = |it: &&str| it.eq_ignore_ascii_case(name);
    TOOLS.iter().find(|tool| is_it(&tool.name) || tool.aliases.iter().any(is_it))
}
