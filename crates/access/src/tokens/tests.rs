use super::*;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// `printf %s 0123456789abcdef0123456789abcdef | sha256sum`
const HASH: &str = "3eb1bd439947eb762998e566ccc2e099c791118b2f40579cc4f7da2b5061b7f9";

#[test]
fn a_token_is_found_by_itself_and_by_its_hash() {
    for text in [
        format!("ci:{TOKEN}\n"),
        format!("# tokens\r\nci:sha256:{HASH}\r\n"),
        format!("ci:sha256:{}", HASH.to_uppercase()),
    ] {
        let tokens = Tokens::parse(&text).unwrap();
        assert_eq!(tokens.name_of(TOKEN.as_bytes()).map(|name| &**name), Some("ci"), "{text}");
        for wrong in ["", &TOKEN[1..], HASH, "ci"] {
            assert_eq!(tokens.name_of(wrong.as_bytes()), None, "{wrong}");
        }
    }
}

#[test]
fn every_line_with_a_mistake_is_named_without_its_token() {
    let text = format!(
        "{TOKEN}\n:{TOKEN}\nci:short-secret\nci:{TOKEN}\ndeploy:{TOKEN}\nx:sha256:{}\ny:{TOKEN} {TOKEN}",
        &HASH[1..]
    );
    let errors = Tokens::parse(&text).unwrap_err();
    let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [1, 2, 3, 5, 6, 7]);
    for (error, expected) in
        errors.iter().zip(["colon", "name", "guessed", "same token", "64 digits", "blanks"])
    {
        let shown = error.to_string();
        assert!(shown.contains(expected), "{shown}");
        assert!(
            !shown.contains(TOKEN) && !shown.contains("short-secret") && !shown.contains(&HASH[1..]),
            "{shown}"
        );
    }
}
