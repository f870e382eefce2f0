//! helm: a chart is an artifact, and a range of versions is looked up in the list of tags.

use std::fs;

use crate::lab::{HUB, Lab, Upstream};

use super::{built, run};

#[test]
fn helm_pulls_a_chart_by_version_and_by_range() {
    if !built(&["helm"]) {
        return;
    }
    let mut lab = Lab::start();
    let chart = lab.directory().join("chart");
    fs::create_dir(&chart).expect("created");
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: chart\nversion: 1.2.3\n").expect("written");
    let (from, to) = (chart.display().to_string(), lab.directory().display().to_string());
    run(&lab.surroundings, "helm", &["package", &from, "--destination", &to]);
    let archive = lab.directory().join("chart-1.2.3.tgz");
    let upstream = format!("oci://{}/charts", lab.hub.address);
    let path = archive.display().to_string();
    run(&lab.surroundings, "helm", &["push", "--plain-http", &path, &upstream]);
    lab.expect_blobs_of(Upstream::Hub, "charts/chart", "1.2.3");
    let content = fs::read(&archive).expect("the chart is read");
    lab.pull_three_times(|lab, directory| {
        let through = format!("oci://{}/charts/chart", lab.vhost(HUB));
        for version in ["1.2.3", "^1.2.0"] {
            let directory = directory.join(version);
            fs::create_dir(&directory).expect("created");
            let target = directory.display().to_string();
            let arguments =
                ["pull", "--plain-http", &through, "--version", version, "--destination", &target];
            run(&lab.surroundings, "helm", &arguments);
            let pulled = fs::read(directory.join("chart-1.2.3.tgz")).expect("the chart is there");
            assert!(pulled == content, "{version}");
        }
    });
}
