//! A denied repository in the whole program: neither another name for it nor another repository with the same
//! digests gives its content away, not even what the store held before the rule.

use std::sync::Arc;

use rustix::process::Signal;
use testkit::client::{self, Response};
use testkit::{Artifact, FakeRegistry, Image, Referrers};

use crate::program::{Program, configuration, registry};

const HOST: &str = "fake.test.localhost";

const RULE: &str = "[access]\ndeny = [\"team/secret\"]\n";

async fn ask(program: &Program, method: &str, host: &str, target: &str, field: &str) -> Response {
    let fields = field.split_once(": ");
    client::request(method, program.address, host, target, fields.as_slice()).await.unwrap()
}

/// A registry whose repositories `team/secret` and `team/app` have an image of their own each. Both images
/// share no blob.
async fn fake() -> (FakeRegistry, Image) {
    let fake = FakeRegistry::start().await;
    fake.change(|behaviour| behaviour.referrers = Referrers::Filtered);
    let secret = Image::small("hidden");
    for (repository, image) in [("team/secret", &secret), ("team/app", &Image::small("app"))] {
        fake.put_image(repository, "1", image);
        for blob in image.blobs() {
            fake.remove_blob(&format!("sha256:{}", blob.hex()));
            fake.put_blob_in(repository, blob.bytes());
        }
    }
    fake.put_artifact("team/secret", &Artifact::about(&secret.manifest, "application/hidden", b"signature"));
    (fake, secret)
}

/// The paths behind a repository that give a part of the image away.
fn parts(image: &Image) -> Vec<String> {
    let digest = image.digest();
    let blobs = image.blobs().map(|blob| format!("blobs/sha256:{}", blob.hex()));
    blobs.chain([format!("manifests/{digest}"), format!("referrers/{digest}")]).collect()
}

/// A program with the rule whose store has the secret image, from a time without it.
async fn program(fake: &FakeRegistry, secret: &Image) -> Program {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let mut before =
        Program::start_in(Arc::clone(&directory), &configuration(&registry("fake.test", fake)), &[]);
    for part in parts(secret).iter().map(String::as_str).chain(["manifests/1"]) {
        let answer = ask(&before, "GET", HOST, &format!("/v2/team/secret/{part}"), "").await;
        assert_eq!(answer.status, 200, "{part}");
    }
    before.signal(Signal::TERM);
    before.wait();
    Program::start_in(directory, &configuration(&format!("{RULE}{}", registry("fake.test", fake))), &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn s15_a_denied_blob_does_not_come_through_another_repository() {
    let (fake, secret) = fake().await;
    let program = program(&fake, &secret).await;
    assert_eq!(ask(&program, "GET", HOST, "/v2/team/app/manifests/1", "").await.status, 200);
    for part in parts(&secret) {
        let digest = part.split_once('/').unwrap().1;
        let held = format!("If-None-Match: \"{digest}\"");
        for field in ["", "Range: bytes=0-9", "Range: bytes=0-1,3-4", "Range: bytes=999999-", &held] {
            for method in ["GET", "HEAD"] {
                let denied = ask(&program, method, HOST, &format!("/v2/team/secret/{part}"), field).await;
                assert_eq!(denied.status, 403, "{method} {part} {field}");
                let other = ask(&program, method, HOST, &format!("/v2/team/app/{part}"), field).await;
                // Every digest has referrers, be it none.
                let is_list = part.starts_with("referrers") && other.status == 200;
                assert!(is_list || other.status == 404, "{method} {part} {field} {}", other.status);
                for answer in [denied, other] {
                    assert!(!answer.text().contains("hidden"), "{method} {part} {field}");
                    assert_eq!(answer.header("docker-content-digest"), None, "{method} {part} {field}");
                }
            }
        }
    }
    // A blob that the registry has in both is not secret.
    let blob = secret.blobs().next().unwrap();
    fake.put_blob_in("team/both", blob.bytes());
    let target = format!("/v2/team/both/blobs/sha256:{}", blob.hex());
    assert_eq!(ask(&program, "GET", HOST, &target, "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_repository_has_no_other_name() {
    let (fake, secret) = fake().await;
    let program = program(&fake, &secret).await;
    let asked_before = fake.requests().len();
    let mut rests = parts(&secret);
    rests.extend(["manifests/1".to_owned(), "tags/list".to_owned()]);
    let own = "fake.test";
    for rest in &rests {
        for (host, target) in [
            (HOST, format!("/v2/team/secret/{rest}")),
            ("FAKE.test.LOCALHOST", format!("/v2/team/secret/{rest}")),
            ("fake.test.localhost:5000", format!("/v2/team/secret/{rest}?n=1&last=")),
            ("cache.example", format!("/v2/{own}/team/secret/{rest}")),
            ("cache.example", format!("/{own}/v2/team/secret/{rest}")),
            ("cache.example", format!("/v2/team/secret/{rest}?ns={own}")),
            ("cache.example", format!("/v2/team/secret/{rest}?ns=FAKE.TEST")),
            ("cache.example", format!("/v2/team/secret/{rest}?ns={own}&ns=other.test")),
            (HOST, format!("/v2/team/secret/{rest}?ns={own}")),
            (HOST, format!("/v2/Team/Secret/{rest}")),
            (HOST, format!("/v2/team/SECRET/{rest}")),
            (HOST, format!("/v2/team%2Fsecret/{rest}")),
            (HOST, format!("/v2/team%2fsecret/{rest}")),
            (HOST, format!("/v2/team/%73ecret/{rest}")),
            (HOST, format!("/v2/team/secre%74/{rest}")),
            (HOST, format!("/v2/team/%2e/secret/{rest}")),
            (HOST, format!("/v2/team/./secret/{rest}")),
            (HOST, format!("/v2/team/app/../secret/{rest}")),
            (HOST, format!("/v2/team//secret/{rest}")),
            (HOST, format!("//v2/team/secret/{rest}")),
            (HOST, format!("/v2//team/secret/{rest}")),
            (HOST, format!("/v2/team/secret//{rest}")),
            (HOST, format!("/v2/team/secret/{rest}/")),
            (HOST, format!("/v2/team/secret/{rest}%00")),
            (HOST, format!("http://{HOST}/v2/team/secret/{rest}")),
        ] {
            for method in ["GET", "HEAD"] {
                let answer = ask(&program, method, host, &target, "").await;
                assert!((400..500).contains(&answer.status), "{method} {host} {target} {}", answer.status);
                assert!(!answer.text().contains("hidden"), "{method} {host} {target}");
                assert_eq!(answer.header("docker-content-digest"), None, "{method} {host} {target}");
            }
        }
    }
    let asked: Vec<String> =
        fake.requests().iter().skip(asked_before).map(|request| format!("{request:?}")).collect();
    assert!(!asked.iter().any(|request| request.to_lowercase().contains("secret")), "{asked:?}");
    let catalog = ask(&program, "GET", HOST, "/v2/_catalog", "").await;
    assert!(!catalog.text().contains("secret"), "{}", catalog.text());
}
