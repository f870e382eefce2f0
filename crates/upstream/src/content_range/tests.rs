use super::ContentRange;

#[test]
fn f15_only_ranges_that_make_sense_are_read() {
    let cases = [
        ("bytes 0-0/1", Some((0, 1, Some(1)))),
        ("bytes 5-9/10", Some((5, 10, Some(10)))),
        (" bytes 5-9/* ", Some((5, 10, None))),
        ("bytes 5-9/9", None),
        ("bytes 9-5/10", None),
        ("bytes 5-/10", None),
        ("bytes -5/10", None),
        ("bytes */10", None),
        ("bytes 0-18446744073709551615/*", None),
        ("bytes 0-18446744073709551616/*", None),
        ("bytes +0-1/2", None),
        ("bytes=0-1/2", None),
        ("items 0-1/2", None),
        ("bytes 0-1", None),
        ("", None),
    ];
    for (value, expected) in cases {
        let read = ContentRange::parse(value).map(|read| (read.range.start, read.range.end, read.size));
        assert_eq!(read, expected, "{value:?}");
    }
}
