use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, I64Deserializer, StrDeserializer};

use super::Secret;

const CANARY: &str = "canary-5b1f";

#[test]
fn debug_hides_the_value_at_any_depth() {
    let nested = Some(vec![("password", Secret::new(CANARY.to_owned()))]);
    for shown in [format!("{nested:?}"), format!("{nested:#?}"), format!("{:?}", Secret::from(CANARY))] {
        assert!(shown.contains("***"), "{shown}");
        assert!(!shown.contains(CANARY), "{shown}");
    }
}

#[test]
fn the_value_comes_out_unchanged_where_asked_for() {
    assert_eq!(Secret::new(CANARY.to_owned()).clone().expose(), CANARY);
}

#[test]
fn a_secret_is_read_like_its_value() {
    let deserializer: StrDeserializer<'_, Error> = CANARY.into_deserializer();
    assert_eq!(Secret::<String>::deserialize(deserializer).unwrap().expose(), CANARY);
}

#[test]
fn a_secret_of_the_wrong_type_is_not_quoted_in_the_error() {
    let deserializer: I64Deserializer<Error> = 715_517_i64.into_deserializer();
    let error = Secret::<String>::deserialize(deserializer).unwrap_err().to_string();
    assert_eq!(error, "the secret has the wrong type");
}
