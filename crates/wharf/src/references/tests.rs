use super::*;

fn read_with(text: &str, variables: Variables<'_>) -> References {
    let mut references = References::default();
    references.add_text("file", text.as_bytes(), variables);
    references
}

fn read(text: &str) -> References {
    read_with(text, &|_| None)
}

#[track_caller]
fn check(text: &str, images: &[&str], mistake_count: usize, remark_count: usize) -> References {
    let read = read(text);
    let found: Vec<String> = read.images.iter().map(ToString::to_string).collect();
    assert_eq!(found, images, "{read:?}");
    assert_eq!((read.mistakes.count(), read.remarks.count()), (mistake_count, remark_count), "{read:?}");
    read
}

#[test]
fn a_list_has_one_reference_on_a_line_and_one_bad_line_does_not_stop_the_rest() {
    let text = "\u{feff}# images\r\n\r\nalpine:3.20\r\n  ghcr.io/org/app  # ours\r\nnot an image\r\n- redis\r\nalpine:3.20\r\n\"quay.io/a/b\"\r\nUPPER\r\n";
    let read = check(text, &["alpine:3.20", "ghcr.io/org/app", "redis", "quay.io/a/b"], 2, 0);
    let mistakes: Vec<String> = read.mistakes.lines().collect();
    assert!(mistakes[0].starts_with("file:5: \"not an image\" is no image reference"), "{mistakes:?}");
    assert!(mistakes[1].starts_with("file:9: \"UPPER\""), "{mistakes:?}");
    check("localhost:5000/a:1\nlab:5000/b\n", &["localhost:5000/a:1", "lab:5000/b"], 0, 0);
    check("alpine:\nredis\n", &["redis"], 1, 0);
}

#[test]
fn lists_of_texts_in_json_and_yaml_are_lists() {
    check(r#"["alpine", "redis:7"]"#, &["alpine", "redis:7"], 0, 0);
    check("---\n- alpine\n- 'redis:7'\n", &["alpine", "redis:7"], 0, 0);
}

#[test]
fn a_text_that_names_no_image_says_so() {
    for text in ["", "# nothing\n", "kind: Service\n", "{}", "[]"] {
        let read = check(text, &[], 1, 0);
        assert_eq!(read.mistakes.lines().next().unwrap(), "file: names no image", "{text:?}");
    }
    let mut binary = References::default();
    binary.add_text("file", &[0xff, 0xfe, 0], &|_| None);
    assert_eq!(binary.mistakes.count(), 1);
}

#[test]
fn containers_are_found_wherever_manifests_nest_them() {
    let text = "\
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      initContainers:
      - name: wait
        image: busybox:1.36
      containers:
      - image: \"ghcr.io/org/app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"
        env: [{name: image, value: other}]
      - name: twice
        image: busybox:1.36
      volumes:
      - name: model
        image: {reference: quay.io/models/a:1}
--- # Source: chart/templates/job.yaml
kind: CronJob
spec:
  jobTemplate:
    spec: {template: {spec: {containers: [{image: curl/curl}], ephemeralContainers: [{image: debug}]}}}
---
kind: Whatever
spec:
  image: not/a/container
  podTemplate:
    containers:
    - image: own/resource:1
";
    let app = "ghcr.io/org/app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let images = ["busybox:1.36", app, "quay.io/models/a:1", "curl/curl", "debug", "own/resource:1"];
    check(text, &images, 0, 0);
}

#[test]
fn pods_of_a_cluster_name_what_they_ask_for_and_not_what_ran() {
    let pod = |image: &str| {
        format!(
            r#"{{"kind": "Pod", "spec": {{"containers": [{{"image": "{image}"}}]}}, "status": {{
              "containerStatuses": [{{"image": "docker.io/x/{image}", "imageID": "docker.io/y@sha256:00"}}]}}}}"#
        )
    };
    let text =
        format!(r#"{{"kind": "List", "items": [{}, {}, {}]}}"#, pod("nginx:1"), pod("redis"), pod("nginx:1"));
    check(&text, &["nginx:1", "redis"], 0, 0);
    // Several documents, as from jq.
    check(&format!("{}\n{}", pod("a"), pod("b")), &["a", "b"], 0, 0);
}

#[test]
fn templates_are_left_out_with_a_remark_and_the_rest_is_read() {
    let text = "\
containers:
- image: \"{{ .Values.image }}\"
- image: repo/${TAG}
- image: auto
- image: good:1
---
{{- if .Values.enabled }}
containers:
- image: {{ .Values.other }}
{{- end }}
---
containers: [{image: after:1}]
";
    let read = check(text, &["good:1", "after:1"], 0, 4);
    let remarks: Vec<String> = read.remarks.lines().collect();
    assert!(remarks[0].starts_with("file:2: \"{{ .Values.image }}\" was left out"), "{remarks:?}");
    assert!(remarks[3].starts_with("file:7: this document was left out"), "{remarks:?}");
}

#[test]
fn compose_files_name_images_with_variables_anchors_and_merged_maps() {
    let text = "\
name: shop
x-base: &base
  image: ${REGISTRY:-docker.io}/org/app:${TAG-1}
services:
  web: {<<: *base}
  worker:
    <<: [*base]
    command: run
  db: {image: 'postgres:${PG:-${DEFAULT_PG:-16}}'}
  own: {image: \"$NAME:$$x\"}
  built: {build: .}
  needs: {image: \"app:${UNSET}\"}
  demands: {image: \"app:${UNSET:?give it}\"}
volumes:
  data: {}
";
    let variables = |name: &str| match name {
        "REGISTRY" => Some(String::new()),
        "NAME" => Some("tools".to_owned()),
        _ => None,
    };
    let read = read_with(text, &variables);
    let found: Vec<String> = read.images.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["docker.io/org/app:1", "postgres:16"]);
    let mistakes: Vec<String> = read.mistakes.lines().collect();
    assert!(mistakes[0].starts_with("file:10: \"tools:$x\""), "{mistakes:?}");
    assert!(mistakes[1].contains("UNSET is not set"), "{mistakes:?}");
    assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    let remarks: Vec<String> = read.remarks.lines().collect();
    assert!(remarks.len() == 1 && remarks[0].contains("\"built\""), "{remarks:?}");
}

#[test]
fn interpolation_follows_the_compose_specification() {
    let variables = |name: &str| match name {
        "SET" => Some("s".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    for (text, expected) in [
        ("$SET-${SET}", Some("s-s")),
        ("${SET:-d}${EMPTY:-d}${EMPTY-d}${NO-d}", Some("sdd")),
        ("${SET:+a}${EMPTY:+a}${EMPTY+a}${NO+a}", Some("aa")),
        ("${SET:?no}", Some("s")),
        ("${EMPTY?no}", Some("")),
        ("${NO:-${SET}}", Some("s")),
        ("a$$b", Some("a$b")),
        ("${EMPTY:?no}", None),
        ("$NO", None),
        ("${SET", None),
        ("${}", None),
        ("$-", None),
        ("${SET/x/y}", None),
    ] {
        assert_eq!(compose::expand(text, &variables, 16).ok().as_deref(), expected, "{text}");
    }
    let nested = format!("{}x{}", "${A:-".repeat(40), "}".repeat(40));
    assert!(compose::expand(&nested, &variables, 16).is_err());
}

#[test]
fn documents_that_grow_by_aliases_are_read_in_bounded_time() {
    let mut text = "a0: &a0 {containers: [{image: alpine}]}\n".to_owned();
    for level in 1..40 {
        let items = format!("*a{}, ", level - 1).repeat(10);
        text += &format!("a{level}: &a{level} [{items}]\n");
    }
    let read = check(&text, &["alpine"], 0, 1);
    assert!(read.remarks.lines().next().unwrap().contains("repeat"), "{read:?}");
    check("a: &a [*a]\nb: {containers: [{image: x}]}\n", &[], 1, 0);
    check(&format!("k: {}", "[".repeat(5000)), &[], 1, 0);
    check(&format!("[{}", "[".repeat(5000)), &[], 1, 0);
}

#[test]
fn no_input_makes_it_panic() {
    let seeds = [
        "containers:\n- image: a\n---\nservices: {a: {image: \"${X:-y}\"}}\n",
        "alpine\n- b # c\n",
        "{\"containers\": [{\"image\": \"a\"}]}",
        "&a [*a, !!str x, ? y : z]",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..4000 {
        let mut bytes = seeds[random.usize(..seeds.len())].as_bytes().to_vec();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.insert(at, b"{}[]:-*&$#\n\t '\""[random.usize(..15)]),
                _ if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {}
            }
        }
        let mut references = References::default();
        references.add_text("file", &bytes, &|_| None);
    }
}

#[test]
fn the_number_of_references_and_of_remarks_is_bounded() {
    let text: String = (0..REFERENCE_COUNT_MAX + 5000).map(|number| format!("a{number}\n")).collect();
    let read = read(&text);
    assert_eq!((read.images.len(), read.mistakes.count()), (REFERENCE_COUNT_MAX, 5000));
    assert_eq!(read.mistakes.lines().last().unwrap(), "and 4000 more");
}
