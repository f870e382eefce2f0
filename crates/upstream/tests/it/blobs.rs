//! Blobs, whole and in parts, and bodies that end otherwise than they were announced.

use std::time::Duration;

use oci::ByteRange;
use testkit::{Auth, Behaviour, Endpoint, Fault, Gate, Kind, RangeLie, Rule};
use upstream::{BlobRange, ErrorKind};

use crate::rig::{Rig, bytes, read};

const SIZE: usize = 10_000;

fn plain() -> Behaviour {
    Behaviour { auth: Auth::Anonymous, redirects: false, ..Behaviour::default() }
}

async fn rig(behaviour: Behaviour) -> (Rig, String) {
    let rig = Rig::start(behaviour).await;
    let digest = rig.registry.put_blob(bytes(SIZE));
    (rig, digest)
}

fn span(start: u64, end: u64) -> BlobRange {
    BlobRange::Span(ByteRange { start, end })
}

#[tokio::test]
async fn every_range_is_given_where_it_was_asked() {
    for redirects in [false, true] {
        let (rig, digest) = rig(Behaviour { redirects, ..plain() }).await;
        let all = bytes(SIZE);
        let cases = [
            (BlobRange::Whole, 0, SIZE),
            (BlobRange::From(0), 0, SIZE),
            (BlobRange::From(1), 1, SIZE),
            (BlobRange::From(9_999), 9_999, SIZE),
            (span(0, 1), 0, 1),
            (span(500, 1500), 500, 1500),
            (span(9_000, 10_000), 9_000, SIZE),
            (span(9_000, 20_000), 9_000, SIZE),
        ];
        for (range, start, end) in cases {
            let stream = rig.blob(&digest, range).await.unwrap();
            let told = (stream.start, stream.end, stream.size);
            assert_eq!(told, (start as u64, Some(end as u64), Some(SIZE as u64)), "{range:?}");
            let (got, error) = read(stream).await;
            assert!(error.is_none() && got == all[start..end], "{range:?}: {error:?}");
        }
        assert_eq!(rig.registry.log().count(Kind::HeadBlob), 0, "a GET needs no HEAD");
    }
}

#[tokio::test]
async fn an_empty_blob_has_no_byte_and_a_size() {
    let rig = Rig::start(plain()).await;
    let digest = rig.registry.put_blob(Vec::new());
    for range in [BlobRange::Whole, BlobRange::From(0)] {
        let stream = rig.blob(&digest, range).await.unwrap();
        assert_eq!((stream.start, stream.size), (0, Some(0)));
        assert_eq!(read(stream).await.0, b"");
    }
}

#[tokio::test]
async fn f15_a_range_that_is_ignored_starts_at_zero() {
    let (rig, digest) = rig(plain()).await;
    rig.registry.script(Rule::new(Kind::GetBlob, Fault::RangeIgnored));
    for range in [BlobRange::From(4_000), span(4_000, 5_000)] {
        let stream = rig.blob(&digest, range).await.unwrap();
        assert_eq!((stream.start, stream.end, stream.size), (0, Some(SIZE as u64), Some(SIZE as u64)));
        assert_eq!(read(stream).await.0, bytes(SIZE));
    }
}

#[tokio::test]
async fn f15_a_range_that_was_not_asked_for_is_refused_and_marked() {
    let lies =
        [RangeLie::NotSatisfiable, RangeLie::Shifted(-1), RangeLie::Shifted(7), RangeLie::NoContentRange];
    for lie in lies {
        let (rig, digest) = rig(plain()).await;
        rig.registry.script(Rule::new(Kind::GetBlob, Fault::Range(lie)).ranged());
        for range in [BlobRange::From(4_000), span(4_000, 5_000)] {
            let error = rig.blob(&digest, range).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{lie:?}");
            assert!(error.is_range_refused(), "{lie:?}");
        }
        assert_eq!(rig.registry.log().count(Kind::GetBlob), 2, "{lie:?} is not asked again");
        let (got, error) = read(rig.blob(&digest, BlobRange::Whole).await.unwrap()).await;
        assert!(error.is_none() && got == bytes(SIZE), "starting again must work after {lie:?}");
    }
}

/// A 200 that has a part in it and says so, as some caches in between send it.
#[tokio::test]
async fn k16_a_200_with_a_range_is_read_as_what_it_says() {
    let answer = |range: &str, from: usize, to: usize| Fault::StatusWith {
        code: 200,
        headers: vec![("content-range".to_owned(), range.to_owned())],
        body: bytes(SIZE)[from..to].to_vec().into(),
    };
    let (rig, digest) = rig(plain()).await;
    rig.registry.script(Rule::new(Kind::GetBlob, answer("bytes 4000-9999/10000", 4_000, SIZE)).ranged());
    let stream = rig.blob(&digest, BlobRange::From(4_000)).await.unwrap();
    assert_eq!((stream.start, stream.end, stream.size), (4_000, Some(10_000), Some(10_000)));
    assert_eq!(read(stream).await.0, bytes(SIZE)[4_000..]);
    rig.registry.script(Rule::new(Kind::GetBlob, answer("bytes 4000-4999/10000", 4_000, 5_000)).ranged());
    let stream = rig.blob(&digest, span(4_000, 5_000)).await.unwrap();
    assert_eq!((stream.start, stream.end, stream.size), (4_000, Some(5_000), Some(10_000)));
    assert_eq!(read(stream).await.0, bytes(SIZE)[4_000..5_000]);
    // The whole, under a label of the whole or of what was asked for.
    for label in ["bytes 0-9999/10000", "bytes 0-9999/*"] {
        rig.registry.script(Rule::new(Kind::GetBlob, answer(label, 0, SIZE)).ranged());
        let got = rig.blob(&digest, BlobRange::From(4_000)).await;
        match got {
            Ok(stream) => {
                assert_eq!((stream.start, stream.end), (0, Some(10_000)), "{label}");
                assert_eq!(read(stream).await.0, bytes(SIZE), "{label}");
            }
            Err(error) => assert!(error.is_range_refused(), "{label}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn k16_a_part_that_contradicts_itself_is_refused_so_that_the_whole_is_asked_for() {
    let headers = |range: &str| vec![("content-range".to_owned(), range.to_owned())];
    let with = |code, range: &str, body: Vec<u8>| Fault::StatusWith {
        code,
        headers: headers(range),
        body: body.into(),
    };
    for fault in [
        with(200, "bytes 4000-9999/10000", bytes(SIZE)),
        with(200, "bytes 0-5999/10000", bytes(SIZE)[..6_000].to_vec()),
        with(206, "bytes 0-5999/10000", bytes(SIZE)[..6_000].to_vec()),
        with(206, "nonsense", bytes(SIZE)[4_000..].to_vec()),
        with(206, "bytes */10000", bytes(SIZE)[4_000..].to_vec()),
    ] {
        let (rig, digest) = rig(plain()).await;
        rig.registry.script(Rule::new(Kind::GetBlob, fault.clone()).ranged());
        let error = rig.blob(&digest, BlobRange::From(4_000)).await.unwrap_err();
        assert!(error.is_range_refused() && error.kind() == ErrorKind::Invalid, "{fault:?}: {error:?}");
        assert_eq!(read(rig.blob(&digest, BlobRange::Whole).await.unwrap()).await.0, bytes(SIZE));
    }
}

/// No digest judges a part before it leaves, so its head must not speak against it.
#[tokio::test]
async fn k16_a_part_that_its_own_head_betrays_is_refused() {
    let heads = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-type", "multipart/byteranges; boundary=x"),
        ("content-encoding", "gzip"),
    ];
    for (name, value) in heads {
        let (rig, digest) = rig(plain()).await;
        rig.registry.script(Rule::new(Kind::GetBlob, Fault::Header(name, value.to_owned())).ranged());
        for range in [BlobRange::From(4_000), BlobRange::Span(ByteRange { start: 100, end: 200 })] {
            let refused = rig.blob(&digest, range).await.unwrap_err();
            assert!(refused.is_range_refused(), "{value} {range:?}: {refused}");
        }
        assert_eq!(read(rig.blob(&digest, BlobRange::Whole).await.unwrap()).await.0, bytes(SIZE), "{value}");
    }
}

#[tokio::test]
async fn k16_a_part_that_nobody_asked_for_is_read_as_what_it_says() {
    let (rig, digest) = rig(plain()).await;
    let answer = |range: &str, to: usize| Fault::StatusWith {
        code: 206,
        headers: vec![("content-range".to_owned(), range.to_owned())],
        body: bytes(SIZE)[..to].to_vec().into(),
    };
    rig.registry.script(Rule::new(Kind::GetBlob, answer("bytes 0-5999/10000", 6_000)));
    let stream = rig.blob(&digest, BlobRange::Whole).await.unwrap();
    assert_eq!((stream.start, stream.end, stream.size), (0, Some(6_000), Some(10_000)));
    rig.registry.script(Rule::new(Kind::GetBlob, answer("bytes 0-9999/10000", SIZE)));
    let stream = rig.blob(&digest, BlobRange::Whole).await.unwrap();
    assert_eq!((stream.start, stream.end, stream.size), (0, Some(10_000), Some(10_000)));
}

#[tokio::test]
async fn f15_a_part_past_the_end_is_refused() {
    let (rig, digest) = rig(plain()).await;
    let error = rig.blob(&digest, BlobRange::From(SIZE as u64)).await.unwrap_err();
    assert!(error.is_range_refused() && error.status() == Some(416), "{error:?}");
}

#[tokio::test]
async fn f05_a_cut_body_is_an_error_at_the_byte_where_it_was_cut() {
    let (rig, digest) = rig(plain()).await;
    for at in [0, 1, 4_096, 9_999] {
        for fault in [Fault::CutAt(at), Fault::ResetAt(at)] {
            rig.registry.script(Rule::new(Kind::GetBlob, fault).once());
            let stream = rig.blob(&digest, BlobRange::Whole).await.unwrap();
            let (got, error) = read(stream).await;
            assert_eq!(error.unwrap().kind(), ErrorKind::Interrupted, "at {at}");
            assert!(got.len() as u64 <= at && got == bytes(SIZE)[..got.len()], "at {at}");
        }
    }
}

#[tokio::test]
async fn f06_a_body_of_unknown_length_ends_where_it_ends_unless_it_visibly_breaks() {
    let (rig, digest) = rig(plain()).await;
    let get = async |faults: [Fault; 2]| {
        let [first, second] = faults;
        rig.registry.script(Rule::new(Kind::GetBlob, first).and(second).once());
        let stream = rig.blob(&digest, BlobRange::Whole).await.unwrap();
        assert_eq!((stream.end, stream.size), (None, None));
        read(stream).await
    };
    let (got, error) = get([Fault::Chunked, Fault::CutAt(100)]).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Interrupted);
    assert!(got.len() <= 100);
    let (got, error) = get([Fault::CloseDelimited, Fault::CutAt(100)]).await;
    assert!(error.is_none(), "nothing tells this from an end: {error:?}");
    assert_eq!(got, bytes(100));
    let (got, error) = get([Fault::Chunked, Fault::CloseAfter]).await;
    assert!(error.is_none() && got == bytes(SIZE), "{error:?}");
}

#[tokio::test]
async fn f07_a_part_of_another_length_than_announced_is_an_error() {
    let (rig, digest) = rig(plain()).await;
    let script = |range: &str| {
        let fault = Fault::Header("content-range", range.to_owned());
        rig.registry.script(Rule::new(Kind::GetBlob, fault).and(Fault::Chunked).ranged().once());
    };
    script("bytes 4000-9998/10000");
    let (got, error) = read(rig.blob(&digest, BlobRange::From(4_000)).await.unwrap()).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Invalid, "longer than announced");
    assert!(got.len() <= 5_999);
    script("bytes 4000-10000/10001");
    let (got, error) = read(rig.blob(&digest, BlobRange::From(4_000)).await.unwrap()).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Interrupted, "shorter than announced");
    assert_eq!(got.len(), 6_000);
}

#[tokio::test]
async fn f07_two_lengths_for_one_part_are_refused() {
    let (rig, digest) = rig(plain()).await;
    let fault = Fault::Header("content-range", "bytes 4000-4999/10000".to_owned());
    rig.registry.script(Rule::new(Kind::GetBlob, fault).ranged());
    let error = rig.blob(&digest, BlobRange::From(4_000)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.is_range_refused(), "{error:?}");
}

#[tokio::test]
async fn f04_a_body_that_falls_silent_is_interrupted() {
    let rig = Rig::start_with(plain(), |settings| settings.idle_timeout = Duration::from_millis(200)).await;
    let digest = rig.registry.put_blob(bytes(SIZE));
    rig.registry.script(Rule::new(Kind::GetBlob, Fault::PauseAt(5_000, Gate::new())));
    let (got, error) = read(rig.blob(&digest, BlobRange::Whole).await.unwrap()).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Interrupted);
    assert_eq!(got, bytes(5_000));
}

#[tokio::test]
async fn f17_a_blob_is_given_as_it_came_whatever_encoding_it_is_called() {
    let (rig, digest) = rig(plain()).await;
    rig.registry.script(Rule::new(Kind::GetBlob, Fault::Header("content-encoding", "gzip".to_owned())));
    let (got, error) = read(rig.blob(&digest, BlobRange::Whole).await.unwrap()).await;
    assert!(error.is_none() && got == bytes(SIZE), "{error:?}");
}

#[tokio::test]
async fn f16_the_size_is_learnt_without_a_download() {
    for redirects in [false, true] {
        for head_blob in [true, false] {
            let (rig, digest) = rig(Behaviour { redirects, head_blob, ..plain() }).await;
            assert_eq!(rig.blob_size(&digest).await.unwrap(), Some(SIZE as u64));
            assert!(rig.registry.log().body_bytes(&digest) <= 1, "redirects {redirects}, HEAD {head_blob}");
        }
    }
}

#[tokio::test]
async fn f16_a_cdn_that_refuses_head_is_asked_by_get() {
    for status in [400, 401, 403, 404, 405, 410, 500, 501, 502] {
        let (rig, digest) = rig(Behaviour { redirects: true, ..plain() }).await;
        rig.registry.script(Rule::new(Kind::HeadBlob, Fault::Status(status)).at(Endpoint::Cdn));
        assert_eq!(rig.blob_size(&digest).await.unwrap(), Some(SIZE as u64), "{status}");
    }
}

#[tokio::test]
async fn f16_a_size_where_ranges_and_head_are_both_unknown() {
    let (rig, digest) = rig(Behaviour { head_blob: false, ..plain() }).await;
    rig.registry.script(Rule::new(Kind::GetBlob, Fault::RangeIgnored));
    assert_eq!(rig.blob_size(&digest).await.unwrap(), Some(SIZE as u64));
    let empty = rig.registry.put_blob(Vec::new());
    rig.registry.script(Rule::new(Kind::GetBlob, Fault::Range(RangeLie::NotSatisfiable)).reference(&empty));
    assert_eq!(rig.blob_size(&empty).await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_blob_that_is_not_there_is_not_found() {
    for redirects in [false, true] {
        let (rig, digest) = rig(Behaviour { redirects, ..plain() }).await;
        rig.registry.remove_blob(&digest);
        let error = rig.blob(&digest, BlobRange::Whole).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::NotFound, Some(404)));
        assert_eq!(rig.blob_size(&digest).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn f14_a_resumption_asks_the_registry_for_a_fresh_address() {
    let (rig, digest) = rig(Behaviour { redirects: true, ..plain() }).await;
    rig.registry.script(Rule::new(Kind::GetBlob, Fault::CutAt(4_000)).once());
    let (got, error) = read(rig.blob(&digest, BlobRange::Whole).await.unwrap()).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Interrupted);
    rig.registry.expire_signatures();
    let stream = rig.blob(&digest, BlobRange::From(got.len() as u64)).await.unwrap();
    assert_eq!(stream.start, got.len() as u64);
    assert_eq!([got, read(stream).await.0].concat(), bytes(SIZE));
    assert_eq!(rig.registry.log().count_at(Endpoint::Registry, Kind::GetBlob), 2);
}

#[tokio::test]
async fn f14_a_signature_that_went_stale_is_an_outage_and_asked_for_again() {
    let (rig, digest) = rig(Behaviour { redirects: true, ..plain() }).await;
    rig.registry.script(Rule::new(Kind::GetBlob, Fault::Status(403)).at(Endpoint::Cdn).once());
    assert_eq!(read(rig.blob(&digest, BlobRange::Whole).await.unwrap()).await.0, bytes(SIZE));
    rig.registry.script(Rule::new(Kind::GetBlob, Fault::Status(403)).at(Endpoint::Cdn));
    let error = rig.blob(&digest, BlobRange::Whole).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Unreachable, Some(403)));
    assert_eq!(error.host(), rig.registry.host_of(Endpoint::Cdn));
}
