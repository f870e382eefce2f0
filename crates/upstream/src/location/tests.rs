use super::*;

#[test]
fn s03_a_dot_behind_the_registrys_name_is_the_registry_and_no_other_host() {
    let registry = Url::parse("https://registry.example.com/v2/").unwrap();
    for (other, is_same) in [
        ("https://registry.example.com./x", true),
        ("https://registry.example.com:443/x", true),
        ("https://REGISTRY.example.com./x", true),
        ("https://registry.example.com../x", false),
        ("https://registry.example.com.:8443/x", false),
        ("http://registry.example.com./x", false),
        ("https://registry.example.com.evil.example.org/x", false),
        ("https://1.2.3.4/x", false),
    ] {
        assert_eq!(is_same_origin(&registry, &Url::parse(other).unwrap()), is_same, "{other}");
    }
}
