use url::Url;

use super::{QUERY_BYTES_MAX, next_query};

fn next(values: &[&str]) -> Option<String> {
    let page = Url::parse("https://ghcr.io/v2/a/b/tags/list?n=2").unwrap();
    next_query(values.iter().copied(), &page)
}

#[test]
fn the_next_page_in_the_forms_that_registries_write() {
    let cases = [
        (r#"</v2/a/b/tags/list?last=v2&n=2>; rel="next""#, Some("last=v2&n=2")),
        (r#"<https://ghcr.io/v2/a/b/tags/list?n=2&last=v2>; rel=next"#, Some("n=2&last=v2")),
        (r#"<?n=2&last=v2>;rel="prev next""#, Some("n=2&last=v2")),
        (r#"</v2/a/b/tags/list?last=a%2Fb&n=2>; title="x"; REL="Next""#, Some("last=a%2Fb&n=2")),
        (r#"</first?last=a>; rel="first", </next?last=b>; rel="next""#, Some("last=b")),
        (r#"</r?artifactType=a%2Fb&last=x&page=7>; rel="next""#, Some("artifactType=a%2Fb&last=x&page=7")),
        (r#"</v2/a/b/tags/list?next_page=abc%3D%3D&n=50>; rel="next""#, Some("next_page=abc%3D%3D&n=50")),
        (r#"<https://elsewhere.example/steal?last=v2&token=secret>; rel="next""#, Some("last=v2")),
        (r#"</v2/a/b/tags/list?last=v2>; rel="prev""#, None),
        (r#"</v2/a/b/tags/list?last=v2>"#, None),
        (r#"</v2/a/b/tags/list>; rel="next""#, None),
        (r#"</v2/a/b/tags/list?token=x>; rel="next""#, None),
        (r#"/v2/a/b/tags/list?last=v2; rel="next""#, None),
        ("", None),
    ];
    for (value, expected) in cases {
        assert_eq!(next(&[value]).as_deref(), expected, "{value}");
    }
    assert_eq!(next(&["</a?last=1>; rel=prev", "</b?last=2>; rel=next"]).as_deref(), Some("last=2"));
}

#[test]
fn s29_a_link_cannot_carry_a_line_break_or_grow_without_bound() {
    assert_eq!(next(&["</a?last=x\r\nset-cookie:a=b>; rel=next"]).as_deref(), Some("last=xset-cookie:a=b"));
    let long = "x".repeat(QUERY_BYTES_MAX);
    assert_eq!(next(&[&format!("</a?last={long}>; rel=next")]), None);
}

#[test]
fn a_link_that_no_client_could_follow_to_another_page_is_left_out() {
    let long = format!("</a?last={}>; rel=next", "x".repeat(1025));
    let links = [
        "</a?last=>; rel=next",
        "</a?next_page=&n=2>; rel=next",
        "</a?last=%zz>; rel=next",
        "</a?last=a&n=many>; rel=next",
        "</a?last=a%20b>; rel=next",
        &long,
    ];
    for link in links {
        assert_eq!(next(&[link]), None, "{link}");
    }
}
