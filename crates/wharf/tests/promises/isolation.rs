//! Two registries in one process share nothing.

use testkit::{Auth, Behaviour, Credential, Door, Endpoint, FakeRegistry, Kind, Program, TempStore, within};

use crate::upstream::{WHARF, blob};

#[tokio::test(flavor = "multi_thread")]
async fn s36_the_same_repository_and_digest_share_no_byte_no_token_and_no_table() {
    let behaviour =
        Behaviour { auth: Auth::Bearer { credentials: None, anonymous: true }, ..Behaviour::default() };
    let one = FakeRegistry::start_with(behaviour.clone()).await;
    let two = FakeRegistry::start_with(behaviour).await;
    let digest = one.put_blob(vec![7; 1_000_000]);
    assert_eq!(two.put_blob(vec![7; 1_000_000]), digest);
    let store = TempStore::new();
    let program = Program::start(WHARF, store.path(), &[("one.test", &one), ("two.test", &two)]);
    for registry in ["one.test", "two.test"] {
        let answer = program.get(registry, &blob(&digest)).await.expect("an answer");
        assert_eq!((answer.status, answer.complete), (200, true));
    }
    program.settle().await;
    for upstream in [&one, &two] {
        assert_eq!(upstream.log().count_at(Endpoint::Registry, Kind::GetBlob), 2, "challenged, then granted");
        assert_eq!(upstream.log().count(Kind::Token), 1);
        let to_cdn = upstream.log().count_where(|request| request.endpoint == Endpoint::Cdn);
        assert_eq!(to_cdn, 1);
    }
    let tokens = |upstream: &FakeRegistry| upstream.log().credentials(Endpoint::Registry);
    let shared: Vec<Credential> = tokens(&one).into_iter().filter(|it| tokens(&two).contains(it)).collect();
    assert!(shared.is_empty(), "{shared:?}");
    let copies =
        store.files().into_iter().filter(|path| path.ends_with(digest.trim_start_matches("sha256:")));
    assert_eq!(copies.count(), 2, "each registry keeps its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_tag_of_two_registries_never_mixes() {
    let (one, two) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let (image_one, image_two) = (testkit::Image::small("one"), testkit::Image::small("two"));
    one.put_image("library/app", "1", &image_one);
    two.put_image("library/app", "1", &image_two);
    let store = TempStore::new();
    let program = Program::start(WHARF, store.path(), &[("one.test", &one), ("two.test", &two)]);
    for _ in 0..2 {
        for (registry, image) in [("one.test", &image_one), ("two.test", &image_two)] {
            let answer = program.get(registry, "/v2/library/app/manifests/1").await.expect("an answer");
            assert_eq!(answer.header("docker-content-digest"), Some(image.digest()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f49_a_hung_registry_changes_nothing_for_another() {
    let (hung, well) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let digest = well.put_blob(vec![1; 300_000]);
    hung.set_door(Endpoint::Registry, Door::Mute).await;
    let store = TempStore::new();
    let program = Program::start(WHARF, store.path(), &[("hung.test", &hung), ("well.test", &well)]);
    let stuck = (0..200).map(async |index: u32| {
        program.get("hung.test", &format!("/v2/library/app/manifests/tag{index}")).await
    });
    let served = async {
        for _ in 0..50 {
            let answer = program.get("well.test", &blob(&digest)).await.expect("an answer");
            assert_eq!(answer.status, 200);
        }
    };
    let stuck = futures_util::future::join_all(stuck);
    tokio::pin!(stuck);
    let first = within("the healthy registry", async {
        tokio::select! {
            biased;
            () = served => "served",
            _ = &mut stuck => "stuck",
        }
    });
    assert_eq!(first.await, "served");
    for answer in within("the hung registry's answers", stuck).await {
        let status = answer.expect("an answer").status;
        assert!([502, 504].contains(&status), "{status}");
    }
}
