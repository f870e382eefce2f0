use super::*;

#[test]
fn a_pair_is_read_and_each_fault_names_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let files = PairFiles { certificate: path("cert.pem"), key: path("key.pem") };
    let gone = files.load().unwrap_err();
    assert!(gone.to_string().contains("cert.pem") && gone.concerns_chain(&files), "{gone}");
    let identity = rcgen::generate_simple_self_signed(vec!["one.example".to_owned()]).unwrap();
    fs::write(&files.certificate, identity.cert.pem()).unwrap();
    let gone = files.load().unwrap_err();
    assert!(gone.to_string().contains("key.pem") && !gone.concerns_chain(&files), "{gone}");
    fs::write(&files.key, "no key").unwrap();
    let wrong = files.load().unwrap_err();
    assert!(wrong.to_string().contains("holds no private key"), "{wrong}");
    fs::write(&files.key, identity.signing_key.serialize_pem()).unwrap();
    assert_eq!(files.load().unwrap().source(), files.certificate.display().to_string());
    fs::write(&files.certificate, vec![b'x'; FILE_BYTES_MAX as usize + 1]).unwrap();
    let large = files.load().unwrap_err();
    assert!(large.to_string().contains("larger than"), "{large}");
}

#[test]
fn a_pipe_in_place_of_a_certificate_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let files = PairFiles { certificate: path("cert.pem"), key: path("key.pem") };
    let identity = rcgen::generate_simple_self_signed(vec!["one.example".to_owned()]).unwrap();
    fs::write(&files.key, identity.signing_key.serialize_pem()).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&files.certificate).status();
    assert!(made.unwrap().success());
    // A reader would get the certificate.
    let (pipe, pem) = (files.certificate.clone(), identity.cert.pem());
    let writer = std::thread::spawn(move || fs::write(pipe, pem));
    let error = files.load().unwrap_err();
    assert!(error.to_string().contains("cert.pem") && error.to_string().contains("regular file"), "{error}");
    File::open(&files.certificate).unwrap().read_to_end(&mut Vec::new()).unwrap();
    writer.join().unwrap().unwrap();
}
