use std::time::{Instant, SystemTime};

use budget::Memory;
use futures_util::future::join_all;
use inventory::Inventory;
use oci::Algorithm;
use policy::freshness::{StaleLimit, TagRule, Upstream404};
use storage::MemoryStore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::offline::{OfflineSwitch, OfflineSwitches};
use crate::settings::Settings;
use crate::tags::pulled::HeldBackWord;

fn words() -> Arc<TagWords> {
    let rule = TagRule {
        ttl: Duration::ZERO,
        stale_if_error: StaleLimit::Forever,
        on_upstream_404: Upstream404::NotFound,
        offline: false,
    };
    let store = Arc::new(MemoryStore::new());
    let metrics = telemetry::Metrics::new(&["memory.test".to_owned()]).registry("memory.test");
    let inventory = Inventory::new("memory.test", store.clone(), metrics.clone(), Box::new(SystemTime::now));
    Arc::new(TagWords::new(Arc::new(Shared {
        name: "memory.test".into(),
        settings: Settings::new(rule),
        metrics,
        tasks: TaskTracker::new(),
        cancel: CancellationToken::new(),
        blobs: store.clone(),
        offline: OfflineSwitch::unused("memory.test", store.clone(), &OfflineSwitches::default()),
        records: store,
        inventory,
        memory: Memory::default(),
        bandwidths: Arc::default(),
        last_failure: Arc::default(),
    })))
}

fn key() -> Key {
    ("library/app".parse().expect("a name"), "1".parse().expect("a tag"))
}

fn manifest(text: &str) -> Named {
    let media_type = "application/vnd.oci.image.manifest.v1+json".parse().expect("a media type");
    Named { digest: Digest::of(Algorithm::Sha256, text.as_bytes()), media_type, size: text.len() as u64 }
}

/// Requests that were sent one second after the other.
fn asked() -> [AskedAt; 3] {
    let (moment, time) = (Instant::now(), SystemTime::UNIX_EPOCH);
    [0, 1, 2].map(|seconds| {
        let after = Duration::from_secs(seconds);
        AskedAt { moment: moment + after, time: time + after }
    })
}

async fn tell(words: &Arc<TagWords>, asked_at: AskedAt, named: Option<&str>) {
    let (repository, tag) = key();
    match named {
        Some(text) => words.confirm(&repository, &tag, asked_at, &manifest(text)).await,
        None => words.forget(&repository, &tag, asked_at).await,
    }
}

#[tokio::test]
async fn an_older_word_never_overwrites_a_newer_one_in_whatever_order_they_arrive() {
    let said = [Some("one"), None, Some("three")];
    for last in 1..=3 {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let (words, asked) = (words(), asked());
            for number in order.into_iter().filter(|number| *number < last) {
                tell(&words, asked[number], said[number]).await;
            }
            let (repository, tag) = key();
            let expected = said[last - 1].map(|text| manifest(text).digest);
            let held = words.record(&repository, &tag).await.map(|record| record.digest);
            assert_eq!(held, expected, "{order:?} of {last}");
            let on_disk = words.shared.records.tag(&repository, &tag).await.expect("the store works");
            assert_eq!(on_disk.map(|record| record.digest), expected, "{order:?} of {last}, on disk");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_newest_of_many_words_at_once_is_what_is_known() {
    for _ in 0..50 {
        let (words, now) = (words(), Instant::now());
        let told = join_all((0..16_u32).map(|number| {
            let words = words.clone();
            tokio::spawn(async move {
                let after = Duration::from_secs(u64::from(number));
                let asked_at = AskedAt { moment: now + after, time: SystemTime::UNIX_EPOCH + after };
                tell(&words, asked_at, Some(&number.to_string())).await;
            })
        }));
        told.await.into_iter().for_each(|told| told.expect("no word panics"));
        let (repository, tag) = key();
        let record = words.shared.records.tag(&repository, &tag).await.expect("the store works");
        assert_eq!(record.expect("a tag").digest, manifest("15").digest);
    }
}

#[tokio::test]
async fn a_promise_is_kept_once_and_is_no_newer_than_its_question() {
    let (words, asked) = (words(), asked());
    let (repository, tag) = key();
    let one = manifest("one");
    words.promise(&repository, &one.digest, &tag, asked[0]);
    assert_eq!(words.promised(&repository, &one.digest), Some(tag.clone()));
    tell(&words, asked[1], Some("two")).await;
    words.keep_promise(&repository, &one).await;
    assert_eq!(words.promised(&repository, &one.digest), None);
    let record = words.record(&repository, &tag).await.expect("a tag");
    assert_eq!(record.digest, manifest("two").digest);
}

/// Between a caller's check and its write, another may have written a newer word.
#[tokio::test]
async fn a_word_that_waited_for_its_turn_looks_again() {
    let (words, asked) = (words(), asked());
    let (repository, tag) = key();
    tell(&words, asked[1], Some("two")).await;
    words.write(key(), asked[0], Some(manifest("one"))).await;
    let record = words.record(&repository, &tag).await.expect("a tag");
    assert_eq!(record.digest, manifest("two").digest);
}

fn imported(seconds: u64) -> TagRecord {
    let Named { digest, media_type, size } = manifest("imported");
    TagRecord { digest, media_type, size, checked_at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) }
}

async fn import(words: &Arc<TagWords>, seconds: u64, replace: Replace) -> ImportedTag {
    let (repository, tag) = key();
    words.import(&repository, &tag, &imported(seconds), replace).await.expect("the store works")
}

#[tokio::test]
async fn an_imported_tag_gives_way_to_a_newer_word_even_if_that_is_in_memory_only() {
    let [_, asked_at, next] = asked();
    let (repository, tag) = key();
    for named in [Some("known"), None] {
        let words = words();
        tell(&words, asked_at, named).await;
        let known = named.map(|text| manifest(text).digest);
        assert_eq!(import(&words, 1, Replace::Older).await, ImportedTag::Kept(known.clone()));
        let kept = words.record(&repository, &tag).await.map(|record| record.digest);
        assert_eq!(kept, known);
        assert_eq!(import(&words, 2, Replace::Older).await, ImportedTag::Stored);
        assert_eq!(import(&words, 3, Replace::Older).await, ImportedTag::Same, "the same word again");
        let record = words.record(&repository, &tag).await.expect("a record");
        assert_eq!((record.digest, record.checked_at), (manifest("imported").digest, imported(2).checked_at));
        // The upstream's next word counts.
        tell(&words, next, Some("later")).await;
        assert_eq!(words.record(&repository, &tag).await.unwrap().digest, manifest("later").digest);
    }
    let words = words();
    assert_eq!(import(&words, 0, Replace::Older).await, ImportedTag::Stored);
}

#[tokio::test]
async fn an_operator_replaces_a_newer_word_by_the_archives() {
    let [_, asked_at, next] = asked();
    let (repository, tag) = key();
    for named in [Some("known"), None] {
        let words = words();
        tell(&words, asked_at, named).await;
        assert_eq!(import(&words, 0, Replace::All).await, ImportedTag::Stored);
        let record = words.record(&repository, &tag).await.expect("a record");
        assert_eq!((record.digest, record.checked_at), (manifest("imported").digest, imported(0).checked_at));
        tell(&words, next, Some("later")).await;
        assert_eq!(words.record(&repository, &tag).await.unwrap().digest, manifest("later").digest);
    }
}

/// The word stays in memory, and has no effect without the record.
#[tokio::test]
async fn an_image_that_was_purged_gets_its_tag_back_from_an_archive() {
    let [_, asked_at, _] = asked();
    let (repository, tag) = key();
    for named in ["imported", "known"] {
        let words = words();
        tell(&words, asked_at, Some(named)).await;
        words.shared.records.remove_tag(&repository, &tag).await.expect("the store works");
        assert_eq!(import(&words, 0, Replace::Older).await, ImportedTag::Stored);
        let record = words.record(&repository, &tag).await.expect("a record");
        assert_eq!((record.digest, record.checked_at), (manifest("imported").digest, imported(0).checked_at));
    }
}

/// The disk has an older record, because it failed when the newest word came.
#[tokio::test]
async fn an_import_counts_a_word_that_the_disk_did_not_take() {
    let [_, asked_at, _] = asked();
    let (repository, tag) = key();
    for (named, expected) in
        [("imported", ImportedTag::Stored), ("known", ImportedTag::Kept(Some(manifest("known").digest)))]
    {
        let words = words();
        tell(&words, asked_at, Some(named)).await;
        let old = TagRecord { digest: manifest("old").digest, ..imported(0) };
        words.shared.records.put_tag(&repository, &tag, &old).await.expect("the store works");
        assert_eq!(import(&words, 1, Replace::Older).await, expected);
    }
}

fn held_back(words: &Arc<TagWords>, asked_at: AskedAt) -> HeldBackWord {
    HeldBackWord::new(words, key(), asked_at, manifest("held back"), manifest("was").digest)
}

#[tokio::test]
async fn a_word_that_is_held_back_gives_way_to_a_newer_one_even_if_that_is_forgotten() {
    let [first, second, third] = asked();
    let (repository, tag) = key();
    // Each other word that comes meanwhile, and whether the one that was held back is recorded in the end.
    for (asked_at, named, is_recorded) in [
        (first, Some("older"), true),
        (first, None, true),
        (second, Some("held back"), true),
        (third, Some("newer"), false),
        (third, None, false),
    ] {
        let words = words();
        let word = held_back(&words, second);
        tell(&words, asked_at, named).await;
        words.newest.take(&key());
        word.confirm().await;
        let expected = if is_recorded { Some("held back") } else { named };
        let record = words.record(&repository, &tag).await;
        assert_eq!(record.map(|it| it.digest), expected.map(|text| manifest(text).digest), "{named:?}");
        assert!(words.held_back().is_empty());
    }
}

#[tokio::test]
async fn a_word_that_is_held_back_gives_way_to_a_later_archive_and_to_an_operator() {
    let [_, asked_at, _] = asked();
    let (repository, tag) = key();
    for (seconds, replace, expected) in
        [(0, Replace::Older, "held back"), (2, Replace::Older, "imported"), (0, Replace::All, "imported")]
    {
        let words = words();
        let word = held_back(&words, asked_at);
        assert_eq!(import(&words, seconds, replace).await, ImportedTag::Stored);
        word.confirm().await;
        assert_eq!(words.record(&repository, &tag).await.unwrap().digest, manifest(expected).digest);
    }
}

#[tokio::test]
async fn a_word_that_is_dropped_leaves_the_tag_as_it_is_and_nothing_behind() {
    let (words, [first, second, _]) = (words(), asked());
    let (repository, tag) = key();
    tell(&words, first, Some("was")).await;
    let (one, other) = (held_back(&words, second), held_back(&words, second));
    drop(one);
    assert!(!words.held_back().is_empty());
    drop(other);
    assert!(words.held_back().is_empty());
    assert_eq!(words.record(&repository, &tag).await.unwrap().digest, manifest("was").digest);
}
