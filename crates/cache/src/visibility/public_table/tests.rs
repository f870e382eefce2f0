use super::*;

fn table(names: &[&str]) -> Table {
    let mut table = Table { address: "https://a.test/".to_owned(), repositories: LruMap::new(8) };
    for name in names {
        let asked_at = UNIX_EPOCH + Duration::from_secs(1_764_489_600);
        let public = Public { asked_at, fresh_until: Instant::now() };
        table.repositories.get_or_insert_with(&name.parse().unwrap(), || public);
    }
    table
}

#[test]
fn a_note_comes_back_and_no_part_of_one_is_believed() {
    for names in [&[][..], &["library/alpine"], &["a", "team/app", "b/c"]] {
        let bytes = table(names).to_bytes();
        let mut read_back = read(&bytes, "https://a.test/").unwrap();
        read_back.sort();
        let mut expected: Vec<Repository> = names.iter().map(|name| name.parse().unwrap()).collect();
        expected.sort();
        assert_eq!(read_back.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), expected);
        assert!(read_back.iter().all(|(_, at)| *at == UNIX_EPOCH + Duration::from_secs(1_764_489_600)));
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end], "https://a.test/"), None, "{end}");
        }
    }
}

#[test]
fn s14_a_note_about_another_upstream_opens_nothing() {
    let bytes = table(&["team/app"]).to_bytes();
    for other in ["https://b.test/", "https://a.test", "https://a.test/x", ""] {
        assert_eq!(read(&bytes, other), None, "{other}");
    }
}
