use super::*;

fn answer(line: &str, body: &str) -> Answer {
    Answer { line: line.to_owned(), body: body.to_owned() }
}

#[test]
fn f41_the_answer_decides_how_the_command_ends() {
    let report = |line: &str, body: &str| report(answer(line, body), "127.0.0.1:5001");
    assert_eq!(report("HTTP/1.1 200 OK", "nothing changed\n"), Ok("nothing changed\n".to_owned()));
    assert_eq!(
        report("HTTP/1.1 422 Unprocessable Entity", "wharf.toml:3: no\nrefused\n"),
        Err("wharf.toml:3: no\nrefused".to_owned())
    );
    for line in ["HTTP/1.1 401 Unauthorized", "HTTP/1.1 403 Forbidden"] {
        assert!(report(line, "a token is required\n").unwrap_err().contains("SIGHUP"));
    }
    for line in ["", "SSH-2.0", "HTTP/1.1 404 Not Found"] {
        assert!(report(line, "").unwrap_err().contains("--url"), "{line}");
    }
}

#[test]
fn f41_without_an_admin_listener_the_signal_is_named() {
    let config = Config::parse("wharf.toml", "[admin]\nlisten = \"off\"\n", &|_| None).unwrap();
    let reason = request(&config, None).unwrap_err();
    assert!(reason.contains("SIGHUP"), "{reason}");
}
