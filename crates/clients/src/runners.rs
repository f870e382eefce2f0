//! Runners of continuous integration.

use crate::builders::{buildkitd, indented};
use crate::mirror::{Mirror, host_of};
use crate::settings::{Placement, Settings};

/// GitHub Actions.
pub(crate) fn github_actions(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    let mut steps = String::new();
    // buildx copies the file that the configuration names into the builder.
    let authority = "/tmp/wharf-ca.pem";
    if let Some(own) = &mirror.authority {
        steps.push_str(&format!(
            "- run: |\n    cat > {authority} <<'END'\n{}    END\n",
            indented(&own.pem, "    ")
        ));
    }
    if let Some(url) = mirror.open_hub_url() {
        steps.push_str("- run: |\n");
        if mirror.authority.is_some() {
            let host = host_of(&url);
            steps.push_str(&format!(
                "    sudo install -D -m 644 {authority} /etc/docker/certs.d/{host}/ca.crt\n"
            ));
        }
        steps.push_str(&format!(
            "    echo '{{\"registry-mirrors\": [\"{url}\"]}}' | sudo tee /etc/docker/daemon.json\n    sudo \
             systemctl restart docker\n"
        ));
    }
    steps.push_str(&format!(
        "- uses: docker/setup-buildx-action@v3\n  with:\n    driver-opts: network=host\n    \
         buildkitd-config-inline: |\n{}",
        indented(&buildkitd(mirror, authority), "      ")
    ));
    settings.file(Placement::Part, "the steps of the job, on a runner that reaches wharf", steps);
    settings.note(
        "On a runner that lives longer than one job, set up Docker once instead: `wharf client docker --apply`.",
    );
    note_login(&mut settings, mirror);
    settings
}

/// The action `self-actuated/hub-mirror`, which expects its mirror at a fixed address.
pub(crate) fn hub_mirror(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    settings.file(
        Placement::Part,
        "the steps of the job, on an actuated runner",
        "- uses: self-actuated/hub-mirror@master\n".to_owned(),
    );
    let is_hub_default = mirror.registries.iter().any(|registry| registry.is_hub && registry.is_default);
    if !is_hub_default {
        settings.note(
            "The action uses the bare address: set `default_registry = \"docker.io\"` in [server] of wharf.",
        );
    }
    settings.note(
        "The action expects TLS at the address of the server's bridge, https://192.168.128.1:5000: let [server.tls] \
         listen there, with the certificate and the key of the actuated agent.",
    );
    settings.note(
        "The action runs docker/setup-buildx-action too: remove that step, or put it before this one. It sets up \
         Docker Hub alone.",
    );
    settings
}

/// GitLab Runner with a Docker-in-Docker service.
pub(crate) fn gitlab_runner(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    let command = service_command(mirror);
    let trust = match mirror.authority {
        Some(_) => ", \"/etc/docker/certs.d:/etc/docker/certs.d:ro\"",
        None => "",
    };
    if let Some(command) = &command {
        settings.file(
            Placement::Part,
            "/etc/gitlab-runner/config.toml",
            format!(
                "[[runners]]\n  executor = \"docker\"\n  [runners.docker]\n    privileged = true\n    volumes = \
                 [\"/certs/client\", \"/cache\"{trust}]\n    [[runners.docker.services]]\n      name = \
                 \"docker:dind\"\n      alias = \"docker\"\n      command = {command}\n"
            ),
        );
    }
    settings.note(
        "The Docker of the runner's machine pulls the images of jobs: `wharf client docker --apply` there sets it \
         up, and the trust in its certificate. With the Kubernetes executor, the nodes pull them.",
    );
    note_login(&mut settings, mirror);
    settings
}

/// The runner of Gitea and Forgejo.
pub(crate) fn gitea_runner(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    let volumes = match mirror.authority {
        Some(_) => "    volumes: [\"/etc/docker/certs.d:/etc/docker/certs.d:ro\"]\n",
        None => "",
    };
    if let Some(command) = service_command(mirror) {
        settings.file(
            Placement::Part,
            "the compose file of the runner",
            format!(
                "services:\n  docker:\n    image: docker:dind\n    privileged: true\n    command: \
                 {command}\n{volumes}"
            ),
        );
    }
    settings.note(
        "Jobs without this service run in the Docker of the runner's machine: `wharf client docker --apply` there.",
    );
    note_login(&mut settings, mirror);
    settings
}

/// The arguments of a Docker daemon that is a service, if Docker Hub needs no login.
fn service_command(mirror: &Mirror) -> Option<String> {
    let url = mirror.open_hub_url()?;
    Some(format!("[\"--registry-mirror={url}\"]"))
}

fn note_login(settings: &mut Settings, mirror: &Mirror) {
    if mirror.needs_login() {
        settings.note(
            "wharf asks for a login. Docker sends none to a mirror of Docker Hub: log in with docker/login-action \
             or `docker login`, and put wharf's address into the image's name.",
        );
    }
}
