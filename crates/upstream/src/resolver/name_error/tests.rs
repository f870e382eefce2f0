use super::*;

fn error(kind: NameErrorKind, asked: &[&str]) -> NameError {
    let asked = asked.iter().map(|server| (*server).to_owned()).collect();
    NameError { name: "registry.example".to_owned(), asked, kind }
}

#[test]
fn it_is_told_which_name_and_who_was_asked() {
    for (kind, asked, expected) in [
        (
            NameErrorKind::Absent,
            &["10.0.0.53"][..],
            "does not resolve (asked 10.0.0.53); check the name and /etc/resolv.conf",
        ),
        (
            NameErrorKind::Silent,
            &["10.0.0.53", "10.0.0.54"],
            "does not resolve: no DNS server answers (asked 10.0.0.53, 10.0.0.54); check /etc/resolv.conf and the network",
        ),
        (
            NameErrorKind::Refused("Server Failure".to_owned()),
            &[],
            "does not resolve: the DNS server 127.0.0.1 says \"Server Failure\"; check it, and /etc/resolv.conf",
        ),
    ] {
        let error = error(kind, asked);
        assert_eq!(error.in_words("registry.example"), expected);
        let of_a_proxy = format!("cannot be reached: registry.example {expected}");
        assert_eq!(error.in_words("another.example"), of_a_proxy);
        assert_eq!(error.to_string(), of_a_proxy);
        let for_client = error.for_client("registry.example");
        assert!(
            for_client.starts_with("does not resolve") && for_client.contains("; check "),
            "{for_client}"
        );
        assert!(!for_client.contains("10.0.0.5") && !for_client.contains('/'), "{for_client}");
        let of_a_proxy = format!("cannot be reached: registry.example {for_client}");
        assert_eq!(error.for_client("another.example"), of_a_proxy);
    }
}

#[test]
fn the_servers_are_those_of_the_file() {
    let text = "# nameserver 1.1.1.1\nsearch lan\nnameserver 10.0.0.53\n  nameserver\tfd00::53 \nnameserver a\nnameserver b\n";
    assert_eq!(name_servers(text), ["10.0.0.53", "fd00::53", "a"]);
}
