use proptest::prelude::*;

use super::{Repository, RepositoryError};

#[test]
fn the_error_says_what_is_wrong() {
    for (text, wanted) in [
        (String::new(), RepositoryError::Length),
        ("a".repeat(256), RepositoryError::Length),
        ("a//b".to_owned(), RepositoryError::Component),
        ("Alpine".to_owned(), RepositoryError::UpperCase),
        ("library/Alpine//".to_owned(), RepositoryError::Component),
    ] {
        assert_eq!(text.parse::<Repository>(), Err(wanted), "{text}");
    }
}

#[test]
fn newcomer_an_upper_case_name_is_told_so() {
    let said = "Library/Alpine".parse::<Repository>().unwrap_err().to_string();
    assert_eq!(said, "repository names are lower-case");
    let said = "a..b".parse::<Repository>().unwrap_err().to_string();
    assert!(said.contains("separated by"), "{said}");
}

#[test]
fn a_name_without_a_slash_has_a_single_component() {
    for (text, wanted) in [("alpine", true), ("library/alpine", false), ("a.b-c__d", true), ("a/b/c", false)]
    {
        let repository: Repository = text.parse().unwrap();
        assert_eq!(repository.is_single_component(), wanted, "{text}");
        assert_eq!(repository.as_str(), text);
        assert_eq!(format!("{repository:?}"), text);
    }
}

/// A name made after the grammar.
fn a_name() -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", 1..6)
        .prop_map(|components| components.join("/"))
}

proptest! {
    #[test]
    fn every_name_of_the_grammar_is_read(name in a_name()) {
        prop_assert_eq!(name.parse::<Repository>().unwrap().to_string(), name);
    }

    #[test]
    fn a_character_outside_the_alphabet_is_refused_wherever_it_stands(
        name in a_name(),
        place in any::<proptest::sample::Index>(),
        foreign in "[^a-z0-9/._-]",
    ) {
        let mut text = name.clone();
        text.insert_str(place.index(name.len() + 1), &foreign);
        prop_assert!(text.parse::<Repository>().is_err());
    }

    #[test]
    fn what_is_read_can_stand_in_a_path_of_a_file(text in "[a-z./_%\\\\-]{0,12}") {
        if let Ok(repository) = text.parse::<Repository>() {
            let components: Vec<&str> = repository.as_str().split('/').collect();
            let starts_well = |it: &&str| it.starts_with(|first: char| first.is_ascii_alphanumeric());
            prop_assert!(components.iter().all(starts_well));
            prop_assert!(!text.contains(['%', '\\']));
        }
    }
}
