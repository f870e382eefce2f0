use url::Url;

use super::{BaseLocator, BaseSetting};
use crate::settings::SettingsError;

fn read(upstream: &str) -> Result<BaseSetting, SettingsError> {
    BaseSetting::read(&Url::parse(upstream).unwrap())
}

#[test]
fn k20_what_stands_behind_v2_is_the_beginning_of_names() {
    let cases = [
        ("https://a.example", "https://a.example/v2/x/tags/list"),
        ("https://a.example/", "https://a.example/v2/x/tags/list"),
        ("https://a.example/v2", "https://a.example/v2/x/tags/list"),
        ("https://a.example/v2/", "https://a.example/v2/x/tags/list"),
        ("https://harbor.corp.example/v2/hub-proxy", "https://harbor.corp.example/v2/hub-proxy/x/tags/list"),
        ("https://harbor.corp.example/v2/hub-proxy/", "https://harbor.corp.example/v2/hub-proxy/x/tags/list"),
        ("https://harbor.corp.example/v2/v2", "https://harbor.corp.example/v2/v2/x/tags/list"),
        (
            "https://gitlab.example/v2/group/dependency_proxy/containers",
            "https://gitlab.example/v2/group/dependency_proxy/containers/x/tags/list",
        ),
        ("https://nexus.example/repository/hub/v2", "https://nexus.example/repository/hub/v2/x/tags/list"),
        (
            "https://nexus.example/repository/hub/v2/team/",
            "https://nexus.example/repository/hub/v2/team/x/tags/list",
        ),
        // No repository's name, so it can only lead to a root.
        ("https://a.example/Docker-Hub/", "https://a.example/Docker-Hub/v2/x/tags/list"),
        ("http://10.0.0.1:5000/a/b/v2", "http://10.0.0.1:5000/a/b/v2/x/tags/list"),
    ];
    for (upstream, url) in cases {
        let BaseSetting::HostAnswer(base) = read(upstream).unwrap() else { panic!("{upstream} is clear") };
        assert_eq!(base.url("x/tags/list").as_str(), url, "{upstream}");
        assert!(base.root.path().ends_with("/v2/"), "{upstream}");
    }
}

#[test]
fn k20_a_path_without_v2_may_be_either() {
    for upstream in ["https://nexus.example/repository/hub", "https://nexus.example/repository/hub/"] {
        let setting = read(upstream).unwrap();
        let BaseSetting::Ambiguous { front, below } = setting.clone() else {
            panic!("{upstream} is not clear")
        };
        assert_eq!(front.url("x/tags/list").as_str(), "https://nexus.example/v2/repository/hub/x/tags/list");
        assert_eq!(front.root.as_str(), "https://nexus.example/v2/");
        assert_eq!(below.url("x/tags/list").as_str(), "https://nexus.example/repository/hub/v2/x/tags/list");
        let base_locator = BaseLocator::new(setting);
        let mut asked = front.url("x/tags/list");
        asked.set_query(Some("n=1"));
        assert_eq!(base_locator.moved(&asked, &front), asked);
        let moved = base_locator.moved(&asked, &below);
        assert_eq!(moved.as_str(), "https://nexus.example/repository/hub/v2/x/tags/list?n=1");
    }
}

#[test]
fn k20_what_is_no_name_behind_v2_is_refused() {
    for upstream in ["https://a.example/v2/Hub", "https://a.example/v2/a%20b", "https://a.example/v2/a/-b"] {
        assert!(matches!(read(upstream), Err(SettingsError::UpstreamPath)), "{upstream}");
    }
}
