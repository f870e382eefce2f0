use super::*;

const KEYS: [&str; 6] = ["username", "password", "password_file", "proxy", "upstream", "tag_ttl"];

#[test]
fn a_slip_of_the_finger_finds_its_word() {
    for (word, meant) in [
        ("usrname", "username"),
        ("passwrod", "password"),
        ("password-file", "password_file"),
        ("Upstream", "upstream"),
        ("tag_tll", "tag_ttl"),
        ("user", "username"),
        ("upstream_url", "upstream"),
    ] {
        assert_eq!(nearest(word, KEYS), Some(meant), "{word}");
    }
}

#[test]
fn a_word_unlike_all_others_finds_none() {
    for word in ["", "x", "colour", "u", "pr"] {
        assert_eq!(nearest(word, KEYS), None, "{word}");
    }
}

#[test]
fn a_slip_is_one_letter_or_two_that_were_swapped() {
    for (word, expected) in [
        ("dockr.io", true),
        ("dockerr.io", true),
        ("docker.oi", true),
        ("dokcer.io", true),
        ("docker.ip", true),
        ("docker.io", false),
        ("dcoker.oi", false),
        ("docker.com", false),
        ("d0cker.ip", false),
        ("", false),
    ] {
        assert_eq!(is_slip(word, "docker.io"), expected, "{word}");
    }
}
