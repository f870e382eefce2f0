//! Keys in a section that does not have them, and limits that do not go together.

use super::*;

#[test]
fn a_key_of_another_section_gets_the_name_of_that_section() {
    let there_is_no = "there is no such key; ";
    let cases = [
        (
            "[defaults]\nfree_min = \"5%\"\n",
            "wharf.toml:2: defaults.free_min",
            "free_min belongs to [storage]",
        ),
        (
            "[[registry]]\nname = \"a.example\"\nfree_min = \"5%\"\n",
            "wharf.toml:3: registry[a.example].free_min",
            "free_min belongs to [storage]",
        ),
        (
            "[server]\ntag_ttl = \"5m\"\n",
            "wharf.toml:2: server.tag_ttl",
            "tag_ttl belongs to [[registry]] or [defaults]",
        ),
        ("[storage]\naliases = []\n", "wharf.toml:2: storage.aliases", "aliases belongs to [[registry]]"),
        (
            "[log]\nlisten = \"127.0.0.1:1\"\n",
            "wharf.toml:2: log.listen",
            "listen belongs to [server], [server.tls] or [admin]",
        ),
        ("domain = \"cache.example\"\n", "wharf.toml:1: domain", "domain belongs to [server]"),
    ];
    for (text, place, advice) in cases {
        check_refused(text, &[&format!("{place}: {there_is_no}{advice}")]);
    }
}

#[test]
fn a_registry_s_max_size_above_that_of_all_stores_causes_a_warning() {
    let warning = "is more than max_size of [storage], which holds for all registries together; lower it, or \
                   raise that one";
    let warnings = |all: &str, own: &str| -> Vec<String> {
        let registry = format!("[[registry]]\nname = \"a.example\"\nmax_size = \"{own}\"\n");
        parse(&format!("[storage]\nmax_size = \"{all}\"\n{registry}")).warnings.lines().collect()
    };
    let expected = [format!("wharf.toml:5: registry[a.example].max_size: {warning}")];
    for (all, own) in [("10GB", "11GB"), ("1GiB", "1.1GiB"), ("50%", "51%")] {
        assert_eq!(warnings(all, own), expected, "{own} of {all}");
    }
    for (all, own) in
        [("10GB", "10GB"), ("50%", "50%"), ("50%", "900TB"), ("1MB", "99%"), ("off", "1TB"), ("1GB", "off")]
    {
        assert!(warnings(all, own).is_empty(), "{own} of {all}");
    }
    check_warned(
        "[storage]\nmax_size = \"1GB\"\n[defaults]\nmax_size = \"2GB\"\n\
         [[registry]]\nname = \"a.example\"\n[[registry]]\nname = \"b.example\"\n",
        &[&format!("wharf.toml:4: defaults.max_size: {warning}")],
    );
    check_warned(
        "[[registry]]\nname = \"a.example\"\nmax_size = \"95%\"\n",
        &[&format!("wharf.toml:3: registry[a.example].max_size: {warning}")],
    );
}
