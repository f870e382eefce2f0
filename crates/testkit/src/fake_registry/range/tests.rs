use super::Asked::{self, Nothing, Span, Whole};

#[test]
fn ranges_are_parsed_by_the_specification() {
    let cases = [
        (None, Whole),
        (Some("bytes=0-"), Span { start: 0, end: 10 }),
        (Some("bytes=4-"), Span { start: 4, end: 10 }),
        (Some("bytes=4-4"), Span { start: 4, end: 5 }),
        (Some("bytes=4-99"), Span { start: 4, end: 10 }),
        (Some("bytes=-3"), Span { start: 7, end: 10 }),
        (Some("bytes=-99"), Span { start: 0, end: 10 }),
        (Some("bytes=-0"), Nothing),
        (Some("bytes=10-"), Nothing),
        (Some("bytes=9-3"), Whole),
        (Some("bytes=0-1,3-4"), Whole),
        (Some("bytes=-"), Whole),
        (Some("bytes=+1-"), Whole),
        (Some("items=0-1"), Whole),
    ];
    for (header, asked) in cases {
        assert_eq!(Asked::read(header, 10), asked, "{header:?}");
    }
    assert_eq!(Asked::read(Some("bytes=0-"), 0), Nothing);
}
