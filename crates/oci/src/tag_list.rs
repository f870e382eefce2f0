//! Tag lists (distribution-spec, "Listing Tags").

use serde::Deserialize;

use crate::lenient::LenientValue;

#[derive(Deserialize)]
struct TagList {
    #[serde(default)]
    name: LenientValue,
    #[serde(default)]
    tags: LenientValue,
}

/// Tells whether the document is a tag list: an object with `tags`, or at least with the repository's `name`.
/// Some registries write `null` for an empty list, and others leave `tags` out.
pub fn is_tag_list(bytes: &[u8]) -> bool {
    // serde would accept a JSON array as the fields in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return false;
    }
    let Ok(TagList { name, tags }) = serde_json::from_slice(bytes) else { return false };
    match tags {
        LenientValue::List { .. } => true,
        LenientValue::Nothing => matches!(name, LenientValue::Text(_)),
        LenientValue::Text(_) | LenientValue::Number(_) | LenientValue::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_tag_list;

    #[test]
    fn a_list_has_tags_or_says_whose_it_is() {
        for text in [
            r#"{"name":"team/app","tags":["1","2"]}"#,
            r#"{"tags":[]}"#,
            r#"{"name":"team/app","tags":null}"#,
            r#"{"name":"team/app"}"#,
            r#"{"child":[],"manifest":{},"name":"a","tags":["1"]}"#,
        ] {
            assert!(is_tag_list(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "[]",
            r#"["a",["1"]]"#,
            "{}",
            r#"{"tags":null}"#,
            r#"{"tags":"1"}"#,
            r#"{"name":7}"#,
            r#"{"message":"Unauthorized"}"#,
            r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#,
            "<html></html>",
        ] {
            assert!(!is_tag_list(text.as_bytes()), "{text}");
        }
    }
}
