use server::AdminSettings;

use super::*;

#[test]
fn each_failure_says_which_key_and_what_to_do() {
    let mut settings = Settings::new(vec!["0.0.0.0:80".parse().unwrap()]);
    settings.admin = Some(AdminSettings { listen: "127.0.0.1:5001".parse().unwrap(), token: None });
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
        let error =
            BindError { address: address.parse().unwrap(), source: io::Error::from_raw_os_error(errno) };
        let said = describe(&error, &settings);
        let begin = format!("cannot listen on {address}: ");
        assert!(said.starts_with(&begin) && said.ends_with(expected), "{said}");
    }
}
