//! One registry with two addresses, in the whole program.

use std::sync::Arc;

use testkit::client::{self, Response};
use testkit::{Auth, Behaviour, Door, Endpoint, FakeRegistry, Fault, Gate, Image, Kind, RequestRecord, Rule};

use crate::program::{Program, configuration, run};

const SIZE: u64 = 2_000_000;
const CUT: u64 = 700_000;

async fn pair() -> [FakeRegistry; 2] {
    let behaviour = Behaviour { auth: Auth::Anonymous, ..Behaviour::default() };
    [FakeRegistry::start_with(behaviour.clone()).await, FakeRegistry::start_with(behaviour).await]
}

fn text(pair: &[FakeRegistry; 2]) -> String {
    let trusted: Vec<String> = pair.iter().map(|registry| registry.host_of(Endpoint::Cdn)).collect();
    let urls = pair.each_ref().map(|registry| registry.url());
    configuration(&format!(
        "[[registry]]\nname = \"fake.test\"\nupstream = {urls:?}\ntrusted_hosts = {trusted:?}\n"
    ))
}

fn at_cdn(request: &RequestRecord) -> bool {
    request.kind == Kind::GetBlob && request.endpoint == Endpoint::Cdn
}

#[tokio::test(flavor = "multi_thread")]
async fn f05_a_blob_goes_on_at_the_next_address_and_no_byte_is_fetched_twice() {
    let pair = pair().await;
    let content: Vec<u8> = (0..SIZE).map(|at| u8::try_from(at % 249).unwrap()).collect();
    let digest = pair[0].put_blob(content.clone());
    pair[1].put_blob(content.clone());
    pair[0].script(Rule::new(Kind::GetBlob, Fault::CutAt(CUT)).at(Endpoint::Cdn));
    let program = Program::start(&text(&pair));
    let target = format!("/v2/team/app/blobs/{digest}");
    let got = client::get(program.address, "fake.test.localhost", &target, &[]).await.unwrap();
    assert_eq!(got.status, 200);
    assert!(got.body == content, "{} bytes", got.body.len());
    let requests = pair[1].requests();
    let ranges: Vec<_> = requests.iter().filter(|it| at_cdn(it)).map(|it| it.range.clone()).collect();
    assert_eq!(ranges, [Some(format!("bytes={CUT}-"))]);
    assert_eq!(pair[0].requests().iter().filter(|it| at_cdn(it)).count(), 1);
    let fetched = format!("wharf_fetched_bytes_total{{registry=\"fake.test\"}} {SIZE}\n");
    assert!(program.metrics().await.contains(&fetched));
}

#[tokio::test(flavor = "multi_thread")]
async fn f01_the_health_of_each_address_is_shown_and_tags_stay() {
    let pair = pair().await;
    pair[0].put_image("team/app", "1", &Image::small("new"));
    pair[1].put_image("team/app", "1", &Image::small("old"));
    pair[1].put_image("team/app", "2", &Image::small("other"));
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let program = Program::start_in(Arc::clone(&directory), &text(&pair), &[]);
    let tag = async |tag: &str| {
        let target = format!("/v2/team/app/manifests/{tag}");
        client::get(program.address, "fake.test.localhost", &target, &[]).await.unwrap()
    };
    let new = tag("1").await;
    pair[0].set_door(Endpoint::Registry, Door::Refuse).await;
    for _ in 0..2 {
        let held = tag("1").await;
        assert_eq!((held.status, &held.body), (200, &new.body), "the lagging address moves no tag");
        assert_eq!(tag("2").await.status, 200, "and gives what is not stored");
        let absent = tag("3").await;
        assert_eq!(absent.status, 502, "its no makes nothing absent: {}", absent.text());
    }
    let metrics = program.metrics().await;
    for (address, is_up) in [(1, 0), (2, 1)] {
        let sample =
            format!("wharf_upstream_address_up{{registry=\"fake.test\",address=\"{address}\"}} {is_up}\n");
        assert!(metrics.contains(&sample), "{metrics}");
    }
    let registries = client::get(program.admin, "localhost", "/api/registries", &[]).await.unwrap();
    let text = registries.text();
    assert!(text.contains("\"resting\"") && text.contains("nothing listens on port"), "{text}");
    let (code, table, _) = run(directory.path(), &["check", "--online"]);
    assert_eq!(code, Some(0), "one address is enough: {table}");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("fake.test at ")).collect();
    assert!(rows.len() == 2 && rows[0].contains("FAILED") && rows[1].contains(" ok "), "{table}");
}

async fn get(program: &Program, target: &str) -> Response {
    client::get(program.address, "fake.test.localhost", target, &[]).await.unwrap()
}

fn blob(digest: &str) -> String {
    format!("/v2/team/app/blobs/{digest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn f08_bytes_that_are_wrong_at_the_first_address_come_from_the_next_one() {
    let pair = pair().await;
    let [small, large] = [1000_u64, SIZE].map(|size| {
        let content: Vec<u8> = (0..size).map(|at| u8::try_from(at % 247).unwrap()).collect();
        pair[0].put_blob(content.clone());
        (pair[1].put_blob(content.clone()), content)
    });
    let image = Image::small("same");
    pair.iter().for_each(|registry| registry.put_image("team/app", "1", &image));
    let pause = Gate::new();
    let wrong = |digest: &str, fault| Rule::new(Kind::GetBlob, fault).at(Endpoint::Cdn).reference(digest);
    pair[0].script(wrong(&small.0, Fault::FlipBit(500)));
    pair[0].script(wrong(&large.0, Fault::FlipBit(500)).and(Fault::PauseAt(CUT, pause.clone())));
    let no_manifest = Fault::Body("{}".into());
    pair[0].script(Rule::new(Kind::GetManifest, no_manifest).reference(image.digest()));
    let program = Program::start(&text(&pair));
    // No client has a byte of these, so its request itself goes on.
    let got = get(&program, &blob(&small.0)).await;
    assert!(got.status == 200 && got.body == small.1, "{}", program.log());
    let got = get(&program, "/v2/team/app/manifests/1").await;
    assert_eq!((got.status, got.body), (200, image.manifest.bytes()), "{}", program.log());
    // The client has bytes of this one, so its body breaks off, and its next request gets the right ones.
    let mut reader = client::Connection::open(program.address).await.unwrap();
    reader.request("GET", "fake.test.localhost", &blob(&large.0), &[]).await.unwrap();
    assert_eq!(reader.read_head("GET").await.unwrap().status, 200);
    pause.release();
    let (_, end) = reader.read_rest().await;
    assert!(end.is_err(), "a wrong body ended cleanly");
    let got = get(&program, &blob(&large.0)).await;
    assert!(got.status == 200 && got.complete && got.body == large.1, "{}", program.log());
    for digest in [&small.0, &large.0] {
        let gets = pair.each_ref().map(|it| {
            it.log().count_where(|request| at_cdn(request) && request.reference.as_ref() == Some(digest))
        });
        assert_eq!(gets, [1, 1], "each address sent it once");
    }
    let log = program.log();
    let host = pair[0].host_of(Endpoint::Registry);
    assert!(log.lines().any(|line| line.contains("sent wrong bytes") && line.contains(&host)), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f08_an_empty_answer_of_the_first_address_is_not_taken_for_the_content() {
    let pair = pair().await;
    let content: Vec<u8> = (0..SIZE).map(|at| u8::try_from(at % 241).unwrap()).collect();
    let digest = pair[0].put_blob(content.clone());
    pair[1].put_blob(content.clone());
    let image = Image::small("same");
    pair.iter().for_each(|registry| registry.put_image("team/app", "1", &image));
    pair[0].script(Rule::new(Kind::GetBlob, Fault::Body("".into())).at(Endpoint::Cdn).reference(&digest));
    pair[0].script(Rule::new(Kind::GetManifest, Fault::Body("".into())).reference(image.digest()));
    let program = Program::start(&text(&pair));
    let got = get(&program, &blob(&digest)).await;
    assert!(got.status == 200 && got.complete && got.body == content, "{}", program.log());
    let got = get(&program, &format!("/v2/team/app/manifests/{}", image.digest())).await;
    assert_eq!((got.status, got.body), (200, image.manifest.bytes()), "{}", program.log());
}
