//! One registry with two addresses, in the whole program.

use std::sync::Arc;

use testkit::{
    Auth, Behaviour, Door, Endpoint, FakeRegistry, Fault, Image, Kind, RequestRecord, Rule, client,
};

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
