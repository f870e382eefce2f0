//! Bytes with another digest than the requested one.

use testkit::client;
use testkit::{BlobSource, FakeRegistry, Fault, Image, Kind, Program, Rule, TempStore, digest_of};

use crate::upstream::{WHARF, blob};

#[tokio::test(flavor = "multi_thread")]
async fn f08_one_flipped_bit_reaches_no_client_as_a_whole_and_nothing_is_stored() {
    for size in [100_000_u64, 5_000_000] {
        for position in [0, size / 2, size - 1] {
            let (upstream, store) = (FakeRegistry::start().await, TempStore::new());
            let digest = upstream.put_blob(BlobSource::Generated { seed: 7, len: size });
            upstream.script(Rule::new(Kind::GetBlob, Fault::FlipBit(position)).once());
            let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
            let answer = program.get("hub.test", &blob(&digest)).await;
            let is_whole = answer.is_ok_and(|answer| answer.status == 200 && answer.complete);
            assert!(!is_whole, "bit {position} of {size} bytes");
            let stored: Vec<_> =
                store.files().into_iter().filter(|path| path.to_string_lossy().contains("/blobs/")).collect();
            assert!(stored.is_empty(), "{stored:?}");
            let again = program.get("hub.test", &blob(&digest)).await.expect("an answer");
            assert_eq!((again.status, digest_of(&again.body)), (200, digest));
            assert_eq!(program.metric("wharf_verify_failures_total", "hub.test").await, 1.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f08_a_manifest_under_a_wrong_digest_is_refused() {
    let (upstream, store) = (FakeRegistry::start().await, TempStore::new());
    let wanted = digest_of(b"the manifest that was asked for");
    let other = testkit::Image::small("other");
    let media_type = other.manifest.media_type.clone();
    upstream.put_manifest_under("library/app", &wanted, &media_type, other.manifest.bytes());
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    let answer = program.get("hub.test", &format!("/v2/library/app/manifests/{wanted}")).await;
    assert_eq!(answer.expect("an answer").status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn f32_a_head_does_not_tell_the_length_of_a_file_that_was_cut_short() {
    let (upstream, store) = (FakeRegistry::start().await, TempStore::new());
    let digest = upstream.put_blob(BlobSource::Generated { seed: 32, len: 1_000_000 });
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    assert_eq!(program.get("hub.test", &blob(&digest)).await.expect("an answer").status, 200);
    program.settle().await;
    let hex = digest.trim_start_matches("sha256:");
    let stored = store.files().into_iter().find(|path| path.ends_with(hex)).expect("it is stored");
    let file = std::fs::OpenOptions::new().write(true).open(store.path().join(stored)).expect("a file");
    file.set_len(1000).expect("cut short");
    let host = "hub.test.localhost";
    let head = client::request("HEAD", program.address, host, &blob(&digest), &[]).await.expect("an answer");
    assert_eq!((head.status, head.header("content-length")), (200, Some("1000000")));
    let whole = program.get("hub.test", &blob(&digest)).await.expect("an answer");
    assert_eq!((whole.complete, digest_of(&whole.body)), (true, digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn f13_a_tag_that_moves_between_head_and_get_gives_one_image_and_then_the_other() {
    let (upstream, store) = (FakeRegistry::start().await, TempStore::new());
    let images = [Image::small("old"), Image::small("new")];
    for image in images.iter().rev() {
        upstream.put_image("library/app", "1", image);
    }
    let (repository, tag) = ("library/app".to_owned(), "1".to_owned());
    let swap = Fault::MoveTag { repository, tag, digest: images[1].digest().to_owned() };
    upstream.script(Rule::new(Kind::HeadManifest, swap).once());
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    for image in &images {
        let answer = program.get("hub.test", "/v2/library/app/manifests/1").await.expect("an answer");
        assert_eq!(answer.header("docker-content-digest"), Some(image.digest()));
        assert_eq!(answer.body, image.manifest.bytes());
    }
    for image in &images {
        let manifest = format!("/v2/library/app/manifests/{}", image.digest());
        for target in image.blobs().map(|content| blob(&content.digest)).chain([manifest]) {
            let answer = program.get("hub.test", &target).await.expect("an answer");
            assert_eq!((answer.status, answer.complete), (200, true), "{target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s34_names_that_nobody_has_leave_no_file_behind() {
    let (upstream, store) = (FakeRegistry::start().await, TempStore::new());
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    let files =
        || store.files().into_iter().filter(|path| path.to_string_lossy().contains("/partial/")).count();
    for marker in 0..20_u8 {
        let answer = program.get("hub.test", &blob(&digest_of(&[marker]))).await.expect("an answer");
        assert_eq!(answer.status, 404);
    }
    upstream.set_door(testkit::Endpoint::Registry, testkit::Door::Refuse).await;
    for marker in 100..110_u8 {
        let answer = program.get("hub.test", &blob(&digest_of(&[marker]))).await.expect("an answer");
        assert_eq!(answer.status, 502);
    }
    assert_eq!(files(), 0);
}
