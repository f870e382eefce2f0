use super::*;

const TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
           |-- 127.0.0.1
              /32 host LOCAL
     +-- 192.168.1.0/24 2 0 2
        |-- 192.168.1.0
           /24 link UNICAST
        |-- 192.168.1.10
           /32 host LOCAL
        |-- 192.168.1.255
           /32 link BROADCAST
     |-- 169.254.7.7
        /32 host LOCAL
Local:
        |-- 192.168.1.10
           /32 host LOCAL
        |-- 10.1.0.1
           /32 host LOCAL
";

#[test]
fn local_addresses_are_those_that_others_may_reach() {
    assert_eq!(local_addresses(TRIE), [Ipv4Addr::new(192, 168, 1, 10), Ipv4Addr::new(10, 1, 0, 1)]);
    assert!(local_addresses("").is_empty());
}

#[test]
fn an_own_address_is_none_that_only_this_machine_knows() {
    assert!(own_address().is_none_or(is_reachable));
}
