use policy::capacity::plan;

use super::*;

const DEFAULTS: Wanted = Wanted { connections: None, per_client: None, answers: None };

fn said(limit: Option<usize>, wanted: &Wanted) -> Notice {
    describe(limit, wanted, &plan(limit, wanted, 7).unwrap())
}

#[test]
fn a_default_installation_gets_a_line_about_its_limits_and_no_warning() {
    for (limit, serving) in [
        (None, "unlimited: serving at most 10000 connections (5000 of one client) and 8192 requests at once"),
        (
            Some(1 << 20),
            "1048576: serving at most 10000 connections (5000 of one client) and 8192 requests at once",
        ),
    ] {
        let text = format!("open-file limit is {serving}");
        assert_eq!(said(limit, &DEFAULTS), Notice { text, is_warning: false, is_all: true });
    }
    for (limit, serving) in [
        (4096, "1493 connections (747 of one client) and 1223 requests"),
        (1024, "192 connections (96 of one client) and 157 requests"),
    ] {
        let text = format!(
            "open-file limit is {limit}: serving at most {serving} at once. For more, raise it to 25872 \
             (LimitNOFILE=, --ulimit nofile)"
        );
        assert_eq!(said(Some(limit), &DEFAULTS), Notice { text, is_warning: false, is_all: false });
    }
}

#[test]
fn less_than_was_asked_for_is_a_warning() {
    let wanted = Wanted { connections: Some(10_000), answers: Some(8192), ..DEFAULTS };
    let expected = "open-file limit is 8192: serving at most 3226 connections (1613 of one client) and 2643 \
                    requests at once, less than connection_count_max = 10000, answer_count_max = 8192. For \
                    more, raise it to 25872 (LimitNOFILE=, --ulimit nofile)";
    let notice = said(Some(8192), &wanted);
    assert_eq!((notice.text.as_str(), notice.is_warning), (expected, true));
    // Everything asked for fits: the default that shrank was not asked for.
    let notice = said(Some(8192), &Wanted { answers: Some(1000), ..DEFAULTS });
    assert!(!notice.is_warning && !notice.is_all, "{notice:?}");
}

#[test]
fn f43_a_refusal_says_what_to_raise() {
    for limit in [0, 64, 512, 1023] {
        let refused = refuse(&plan(Some(limit), &DEFAULTS, 7).unwrap_err());
        let expected = format!(
            "open-file limit is {limit}, which is too few for a server; raise it to 1024 at least, better to \
             25872 (LimitNOFILE=, --ulimit nofile)"
        );
        assert_eq!(refused, expected);
    }
}
