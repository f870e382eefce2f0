use super::{NAME_COUNT_MAX, ProxyNames, SystemResolver};

#[tokio::test]
async fn t26_a_name_that_leads_inside_is_refused_before_the_proxy_sees_it() {
    let proxy_names = ProxyNames::new(SystemResolver::default());
    for _ in 0..2 {
        let error = proxy_names.check("localhost").await.unwrap_err().to_string();
        assert!(error.contains("a loopback address") && error.contains("trusted_hosts"), "{error}");
    }
}

#[tokio::test]
async fn t26_a_name_that_is_not_known_here_is_left_to_the_proxy() {
    let proxy_names = ProxyNames::new(SystemResolver::default());
    for _ in 0..2 {
        proxy_names.check("registry.invalid").await.unwrap();
    }
}

#[tokio::test]
async fn t26_what_is_remembered_is_bounded() {
    let proxy_names = ProxyNames::new(SystemResolver::default());
    for number in 0..NAME_COUNT_MAX + 10 {
        // What is no name needs no server to be none.
        proxy_names.check(&format!("a..{number}")).await.unwrap();
    }
    let seen = proxy_names.seen.lock();
    let kept =
        (0..NAME_COUNT_MAX + 10).filter(|number| seen.names.contains(&*format!("a..{number}"))).count();
    assert_eq!(kept, NAME_COUNT_MAX);
}
