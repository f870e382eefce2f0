use super::*;

fn settings() -> Settings {
    Settings::new(vec!["127.0.0.1:5000".parse().unwrap()])
}

fn bounds(settings: &Settings) -> (usize, usize, usize) {
    (settings.connection_count_max, settings.client_connection_count_max, settings.answer_count_max)
}

#[test]
fn what_fits_stays_as_it_is() {
    for limit in [None, Some(usize::MAX), Some(24_196)] {
        let mut fitted = settings();
        assert_eq!(fit(&mut fitted, limit), Ok(None));
        assert_eq!(bounds(&fitted), bounds(&settings()));
    }
}

#[test]
fn f43_a_low_limit_leaves_descriptors_for_files_and_upstreams() {
    for (limit, connections, clients, answers, is_grave) in [
        (24_190, 9997, 4999, 8190, false),
        (8192, 3226, 1613, 2643, false),
        (4096, 1493, 747, 1223, true),
        (1024, 192, 96, 157, true),
    ] {
        let mut fitted = settings();
        let told = fit(&mut fitted, Some(limit)).unwrap().unwrap();
        assert_eq!(bounds(&fitted), (connections, clients, answers), "{limit}");
        assert_eq!(told.is_grave, is_grave, "{limit}");
        let begin = format!(
            "open-file limit is {limit}: serving at most {connections} connections and {answers} requests"
        );
        assert!(told.text.starts_with(&begin) && told.text.contains("raise it to 25872"), "{told:?}");
        let (connections, _, answers) = bounds(&fitted);
        assert!(
            connections + (answers * 11).div_ceil(8) + OWN_COUNT + kept_open(Some(limit)) <= limit,
            "{limit}"
        );
    }
}

#[test]
fn f43_a_server_for_a_handful_of_clients_does_not_start() {
    for limit in [0, 64, 512, 1023] {
        let refused = fit(&mut settings(), Some(limit)).unwrap_err().to_string();
        let expected = format!(
            "open-file limit is {limit}, which is too few for a server; raise it to 1024 at least, better to 25872 \
             (LimitNOFILE=, --ulimit nofile)"
        );
        assert_eq!(refused, expected);
    }
    let mut few = settings();
    (few.connection_count_max, few.client_connection_count_max, few.answer_count_max) = (20, 20, 20);
    assert_eq!(fit(&mut few, Some(700)), Ok(None), "who wants as few gets them");
}

#[test]
fn a_client_that_may_have_all_may_have_all_that_fit() {
    let mut fitted = settings();
    fitted.client_connection_count_max = fitted.connection_count_max;
    fit(&mut fitted, Some(4096)).unwrap();
    assert_eq!(bounds(&fitted), (1493, 1493, 1223));
}
