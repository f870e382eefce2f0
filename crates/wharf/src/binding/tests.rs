use super::*;

#[test]
fn each_failure_says_which_key_and_what_to_do() {
    let config = Config::parse("wharf.toml", "[server]\nlisten = \"0.0.0.0:80\"\n", &|_| None).unwrap();
    for (address, errno, expected) in [
        ("127.0.0.1:5001", 98, "sport = :5001` as root names it), or change listen of [admin]"),
        (
            "0.0.0.0:80",
            13,
            "need the capability CAP_NET_BIND_SERVICE; grant it, or change listen of [server]",
        ),
        (
            "0.0.0.0:80",
            99,
            "no such address; correct listen of [server], or use 0.0.0.0 for all of its addresses",
        ),
        ("[::]:80", 97, "if this machine has no IPv6, change listen of [server] to an IPv4 address"),
    ] {
        let error = BindError {
            address: address.parse::<SocketAddr>().unwrap().into(),
            source: io::Error::from_raw_os_error(errno),
        };
        let text = describe(&error, &config);
        let start = format!("cannot listen on {address}: ");
        assert!(text.starts_with(&start) && text.ends_with(expected), "{text}");
    }
}
