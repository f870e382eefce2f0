use std::os::unix::fs::MetadataExt;

use certificates::authority::{Authority, PemPair};
use tempfile::TempDir;

use super::*;

const NOW: u64 = 1_800_000_000;

fn pem(name: &str) -> PemPair {
    let made = Authority::make("test", &["example".to_owned()], NOW).unwrap();
    Authority::open(&made, NOW).unwrap().sign(&[name.to_owned()], NOW).unwrap()
}

fn opened() -> (TempDir, AuthorityState) {
    let directory = tempfile::tempdir().unwrap();
    let state = State::open(&directory.path().join("acme")).unwrap();
    let authority = Url::parse("https://ca.example:14000/dir").unwrap();
    let of = state.of(&authority).unwrap();
    (directory, of)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn two_processes_cannot_use_one_directory() {
    let directory = tempfile::tempdir().unwrap();
    let first = State::open(directory.path()).unwrap();
    assert!(matches!(State::open(directory.path()), Err(StateError::InUse(_))));
    drop(first);
    State::open(directory.path()).unwrap();
}

#[test]
fn keys_are_private_and_a_certificate_survives_as_one_file() {
    let (directory, state) = opened();
    let pair = pem("a.example");
    let stored = state.store(&pair.certificate, &pair.key, &[]).unwrap();
    assert_eq!(stored.path, directory.path().join("acme/ca.example-14000-dir/a.example.pem"));
    assert_eq!(mode(&stored.path), 0o600);
    for parent in stored.path.ancestors().skip(1).take(2) {
        assert_eq!(mode(parent), 0o700);
    }
    let loaded = state.certificates();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].certificate, stored.certificate);
    // One that goes on is not overwritten, one that is obsolete is.
    let beside = state.store(&pair.certificate, &pair.key, &[]).unwrap();
    assert!(beside.path.ends_with("a.example-2.pem"));
    let instead = state.store(&pair.certificate, &pair.key, std::slice::from_ref(&stored.path)).unwrap();
    assert_eq!(instead.path, stored.path);
    state.remove(&beside.path);
    assert_eq!(state.certificates().len(), 1);
    let wild = pem("*.a.example");
    let wild = state.store(&wild.certificate, &wild.key, &[]).unwrap();
    assert!(wild.path.ends_with("wildcard.a.example.pem"), "{wild:?}");
}

#[test]
fn a_damaged_file_is_set_aside() {
    let (_directory, state) = opened();
    let (one, other) = (pem("a.example"), pem("b.example"));
    let stored = state.store(&one.certificate, &one.key, &[]).unwrap();
    for damaged in [
        String::new(),
        "no pem".to_owned(),
        one.certificate.clone(),
        format!("{}{}", other.key, one.certificate),
        fs::read_to_string(&stored.path).unwrap()[..400].to_owned(),
    ] {
        fs::write(&stored.path, damaged).unwrap();
        assert!(state.certificates().is_empty());
        assert!(!stored.path.exists() && fs::exists(format!("{}.damaged", stored.path.display())).unwrap());
    }
    state.store_account(b"{").unwrap();
    assert_eq!(mode(&state.account_path()), 0o600);
    assert_eq!(state.account(|_| None::<()>), None);
    assert!(!state.account_path().exists());
    assert_eq!(state.account(|_| Some(())), None, "there is none any more");
    assert!(state.store("no chain", &one.key, &[]).is_err());
}

#[test]
fn of_the_damaged_files_the_latest_stay() {
    let (_directory, state) = opened();
    let pair = pem("a.example");
    let path = state.store(&pair.certificate, &pair.key, &[]).unwrap().path;
    let damaged = |number: usize| path.with_file_name(format!("{number}.pem.{DAMAGED}"));
    for number in 0..DAMAGED_COUNT_MAX + 4 {
        fs::write(path.with_file_name(format!("{number}.pem")), "no pem").unwrap();
        assert_eq!(state.certificates().len(), 1);
        assert!(damaged(number).exists(), "{number}");
    }
    let found = (0..DAMAGED_COUNT_MAX + 4).filter(|number| damaged(*number).exists()).count();
    assert_eq!(found, DAMAGED_COUNT_MAX);
}

#[test]
fn of_too_many_certificates_those_that_end_last_are_used() {
    let (_directory, state) = opened();
    let authority = Authority::make("test", &["example".to_owned()], NOW).unwrap();
    let authority = Authority::open(&authority, NOW).unwrap();
    for number in 0..CERTIFICATE_COUNT_MAX + 3 {
        let name = format!("n{number:03}.example");
        // The first ones end first.
        let pair = authority.sign(&[name], NOW + number as u64 * 60).unwrap();
        state.store(&pair.certificate, &pair.key, &[]).unwrap();
    }
    let used = state.certificates();
    assert_eq!(used.len(), CERTIFICATE_COUNT_MAX);
    let names: Vec<&String> = used.iter().flat_map(|it| it.certificate.dns_names()).collect();
    assert!(
        !names.iter().any(|name| ["n000.example", "n001.example", "n002.example"].contains(&name.as_str()))
    );
}

#[test]
fn the_note_of_records_has_a_bound_and_no_nonsense() {
    let (_directory, state) = opened();
    assert_eq!(state.records(), []);
    let record =
        |number: usize| NotedRecord { name: format!("_acme-challenge.n{number}."), value: "v".to_owned() };
    for number in 0..205 {
        state.note_record(&record(number)).unwrap();
    }
    assert_eq!(state.records(), (5..205).map(record).collect::<Vec<_>>(), "the oldest are forgotten");
    state.forget_record(&record(100));
    assert_eq!(state.records().len(), 199);
    fs::write(state.directory.join("records"), "nonsense\n\n_acme-challenge.n1. v\n").unwrap();
    assert_eq!(state.records(), [record(1)]);
    state.note_record(&record(2)).unwrap();
    assert_eq!(mode(&state.directory.join("records")), 0o600);
}

#[test]
fn a_write_that_a_crash_cut_off_leaves_the_old_file() {
    let (_directory, state) = opened();
    let pair = pem("a.example");
    let stored = state.store(&pair.certificate, &pair.key, &[]).unwrap();
    let unfinished = PathBuf::from(format!("{}.unfinished", stored.path.display()));
    fs::write(&unfinished, "-----BEGIN").unwrap();
    assert_eq!(state.certificates().len(), 1);
    assert!(!unfinished.exists());
}

#[test]
fn each_authority_has_a_directory_of_its_own() {
    for (url, name) in [
        ("https://acme-v02.api.letsencrypt.org/directory", "acme-v02.api.letsencrypt.org-directory"),
        ("https://ca.example:9000/acme/acme/directory/", "ca.example-9000-acme-acme-directory"),
        ("https://[::1]:14000/dir", "---1--14000-dir"),
    ] {
        assert_eq!(directory_name(&Url::parse(url).unwrap()), name);
    }
}
