use super::{Descriptor, DescriptorError, RawDescriptor};
use crate::digest::DigestError;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[track_caller]
fn check(json: &str, wanted: Result<(&str, impl Into<Option<u64>>), DescriptorError>) {
    let raw: RawDescriptor = serde_json::from_str(&json.replace("DIGEST", DIGEST)).unwrap();
    let found = Descriptor::try_from(raw);
    if let Ok(descriptor) = &found {
        assert_eq!(descriptor.digest.to_string(), DIGEST);
    }
    let found = found.as_ref().map(|it| (it.media_type.as_str(), it.size)).map_err(|error| *error);
    let wanted = wanted.map(|(media_type, size)| (media_type, size.into()));
    assert_eq!(found, wanted, "{json}");
}

#[test]
fn the_three_properties_that_matter_are_read() {
    check(r#"{"mediaType":"a/b","digest":"DIGEST","size":7}"#, Ok(("a/b", 7)));
    check(r#"{"size":0,"digest":"DIGEST","mediaType":"a/b"}"#, Ok(("a/b", 0)));
    check(
        r#"{"mediaType":"a/b","digest":"DIGEST","size":7,"urls":["https://x"],"annotations":{"a":"b"},"data":"e30="}"#,
        Ok(("a/b", 7)),
    );
    check(
        r#"{"mediaType":"a/b","digest":"DIGEST","size":9223372036854775807}"#,
        Ok(("a/b", i64::MAX as u64)),
    );
}

#[test]
fn a_media_type_may_be_missing() {
    for json in [
        r#"{"digest":"DIGEST","size":7}"#,
        r#"{"mediaType":null,"digest":"DIGEST","size":7}"#,
        r#"{"mediaType":"","digest":"DIGEST","size":7}"#,
    ] {
        check(json, Ok(("application/octet-stream", 7)));
    }
}

#[test]
fn k10_a_size_or_a_media_type_that_makes_no_sense_is_none() {
    for size in ["", r#","size":null"#, r#","size":"7""#, r#","size":-1"#, r#","size":1e3"#, r#","size":[7]"#]
    {
        check(&format!(r#"{{"digest":"DIGEST"{size}}}"#), Ok(("application/octet-stream", None)));
    }
    for media_type in ["7", "{}", r#""ab""#] {
        check(
            &format!(r#"{{"mediaType":{media_type},"digest":"DIGEST","size":7}}"#),
            Ok(("application/octet-stream", 7)),
        );
    }
}

#[test]
fn the_error_says_what_is_wrong() {
    for (digest, error) in
        [("sha256:0", DigestError::Hex), ("../../etc", DigestError::Form), ("md5:00", DigestError::Algorithm)]
    {
        let json = format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":7}}"#);
        check(&json, Err::<(_, u64), _>(DescriptorError::Digest(error)));
    }
}
