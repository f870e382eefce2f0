use proptest::prelude::*;

use super::{Query, QueryError};

fn values(query: &str) -> Vec<Result<String, QueryError>> {
    Query::new(Some(query)).values("ns").collect()
}

#[track_caller]
fn check(query: &str, wanted: &[&str]) {
    let wanted: Vec<_> = wanted.iter().map(|value| Ok((*value).to_owned())).collect();
    assert_eq!(values(query), wanted, "{query}");
}

#[test]
fn values_are_decoded_once() {
    check("ns=docker.io", &["docker.io"]);
    check("ns=registry.corp%3A8443", &["registry.corp:8443"]);
    check("ns=registry.corp%3a8443", &["registry.corp:8443"]);
    check("ns=a%2525", &["a%25"]);
    check("ns=%C3%A4", &["ä"]);
    check("ns=%00", &["\0"]);
    check("ns=a=b", &["a=b"]);
    check("ns=a;ns=b", &["a;ns=b"]);
    check("ns=application/spdx+json", &["application/spdx+json"]);
}

#[test]
fn keys_are_compared_as_written_and_empty_values_do_not_count() {
    check("", &[]);
    check("ns", &[]);
    check("ns=", &[]);
    check("NS=a&n=1&nss=2&%6Es=3", &[]);
    check("&&a=1&ns=x&&ns=&ns=y&", &["x", "y"]);
}

#[test]
fn a_bad_value_of_one_key_does_not_touch_another() {
    assert_eq!(values("ns=%"), [Err(QueryError::Encoding("ns"))]);
    assert_eq!(values("ns=%4"), [Err(QueryError::Encoding("ns"))]);
    assert_eq!(values("ns=%4g"), [Err(QueryError::Encoding("ns"))]);
    assert_eq!(values("ns=%+1"), [Err(QueryError::Encoding("ns"))]);
    assert_eq!(values("ns=%ff"), [Err(QueryError::Encoding("ns"))]);
    check("last=%&ns=a", &["a"]);
    assert_eq!(Query::new(Some("last=%&n=5")).value("n"), Ok(Some("5".to_owned())));
    assert_eq!(Query::new(None).value("n"), Ok(None));
}

proptest! {
    #[test]
    fn what_was_encoded_comes_back(value in ".{1,30}") {
        let encoded: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        check(&format!("a=1&ns={encoded}&b=2"), &[&value]);
    }

    #[test]
    fn no_text_makes_it_panic(query in ".{0,40}|[n=s&%0-9a-f]{0,20}") {
        prop_assert!(values(&query).len() <= query.matches("ns=").count());
    }
}
