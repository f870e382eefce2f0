//! The wall's clock is set while the program runs, by Debian's libfaketime.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::{Door, Endpoint, FakeRegistry, Image, Kind, Program, TempStore};

use crate::upstream::WHARF;

const TAG: &str = "/v2/library/app/manifests/1";

fn library() -> Option<PathBuf> {
    let places = std::fs::read_dir("/usr/lib").expect("/usr/lib").flatten();
    places.map(|place| place.path().join("faketime/libfaketime.so.1")).find(|library| library.exists())
}

/// The program in a script under whose clock the offset in the file `clock` is added to the true time. The
/// clocks that only go forward are left alone, as the kernel leaves them.
fn under(library: &Path, store: &TempStore) -> String {
    let script = store.path().join("wharf-under-another-clock");
    let (library, clock) = (library.display(), store.path().join("clock"));
    std::fs::write(&clock, "+0").expect("written");
    let clock = clock.display();
    let text = format!(
        "#!/bin/sh\nexport LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={clock}\n\
         export FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1\nexec {WHARF} \"$@\"\n"
    );
    std::fs::write(&script, text).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("executable");
    script.display().to_string()
}

/// The year in which the tag's record says that it was checked, and the digest that it names.
fn record(store: &TempStore) -> (i32, String) {
    let path = store.files().into_iter().find(|path| path.ends_with("_tags/1")).expect("a record");
    let text = std::fs::read(store.path().join(path)).expect("readable");
    let record: Value = serde_json::from_slice(&text).expect("JSON");
    let year = record["checked_at"].as_str().and_then(|time| time.get(..4)?.parse().ok());
    (year.expect("a year"), record["digest"].as_str().expect("a digest").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn f46_a_clock_that_jumps_costs_one_check_of_a_tag() {
    let Some(library) = library() else {
        assert!(std::env::var_os("WHARF_REQUIRE_CLIENTS").is_none(), "libfaketime is required");
        println!("skipped: there is no libfaketime");
        return;
    };
    for (jump, is_right) in [("+400d", i32::gt as fn(&i32, &i32) -> bool), ("-400d", i32::lt)] {
        let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
        let (before, after) = (Image::small("before"), Image::small("after"));
        upstream.put_image("library/app", "1", &before);
        let program = Program::start_with(
            &under(&library, &store),
            store.path(),
            &[("hub.test", &upstream)],
            "tag_ttl = \"1h\"",
        );
        let pull = async || program.get("hub.test", TAG).await.expect("an answer");
        let heads = || upstream.log().count(Kind::HeadManifest);
        let digest =
            |answer: &testkit::client::Response| answer.header("docker-content-digest").map(str::to_owned);
        assert_eq!(digest(&pull().await).as_deref(), Some(before.digest()));
        pull().await;
        assert_eq!(heads(), 1, "{jump}: fresh for an hour");
        let (year, _) = record(&store);

        std::fs::write(store.path().join("clock"), jump).expect("written");
        upstream.put_image("library/app", "1", &after);
        for _ in 0..3 {
            let answer = pull().await;
            assert_eq!(digest(&answer).as_deref(), Some(after.digest()), "{jump}");
            let age: u64 = answer.header("age").and_then(|age| age.parse().ok()).expect("an age");
            assert!(age < 3600, "{jump}: {age} s");
        }
        assert_eq!(heads(), 2, "{jump}: checked once, then fresh again");
        let (year_after, named) = record(&store);
        assert!(is_right(&year_after, &year), "{jump}: the clock was changed: {year} {year_after}");
        assert_eq!(named, after.digest(), "{jump}");

        std::fs::write(store.path().join("clock"), "+0").expect("written");
        upstream.set_door(Endpoint::Registry, Door::Refuse).await;
        let stale = pull().await;
        assert_eq!((stale.status, digest(&stale).as_deref()), (200, Some(after.digest())), "{jump} and back");
        assert!(stale.header("warning").is_some(), "{jump}");
    }
}
