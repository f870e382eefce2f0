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
        assert_eq!(fit(&mut fitted, limit), None);
        assert_eq!(bounds(&fitted), bounds(&settings()));
    }
}

#[test]
fn f43_a_low_limit_leaves_descriptors_for_files_and_upstreams() {
    for (limit, connections, clients, answers) in
        [(24_190, 9997, 4999, 8190), (4096, 1493, 747, 1223), (1024, 192, 96, 157), (64, 1, 1, 1)]
    {
        let mut fitted = settings();
        let told = fit(&mut fitted, Some(limit)).unwrap();
        assert_eq!(bounds(&fitted), (connections, clients, answers), "{limit}");
        assert!(told.contains(&format!("may open {limit} files")) && told.contains("to 25872"), "{told}");
        let (connections, _, answers) = bounds(&fitted);
        assert!(
            connections + (answers * 11).div_ceil(8) + OWN_COUNT + kept_open(Some(limit)) <= limit
                || limit < OWN_COUNT,
            "{limit}"
        );
    }
}

#[test]
fn a_client_that_may_have_all_may_have_all_that_fit() {
    let mut fitted = settings();
    fitted.client_connection_count_max = fitted.connection_count_max;
    fit(&mut fitted, Some(4096));
    assert_eq!(bounds(&fitted), (1493, 1493, 1223));
}
