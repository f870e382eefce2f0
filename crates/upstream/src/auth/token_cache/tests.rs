use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use http::header::HeaderValue;
use url::Url;

use super::{EXPIRY_MARGIN, TOKEN_COUNT_MAX, Token, TokenCache, TokenKey};
use crate::error::{Error, ErrorKind};

fn key(scope: &str) -> TokenKey {
    TokenKey {
        realm: Url::parse("https://auth.example/token").unwrap(),
        service: None,
        scope: scope.to_owned(),
    }
}

async fn token(number: u32, lifetime: Duration) -> Result<Token, Error> {
    Ok(Token { header: HeaderValue::from(number), lifetime })
}

/// Counts how often it is awaited.
async fn counted(count: &Cell<u32>, lifetime: Duration) -> Result<Token, Error> {
    count.set(count.get() + 1);
    token(count.get(), lifetime).await
}

async fn get(cache: &TokenCache, fetch: impl Future<Output = Result<Token, Error>>) -> HeaderValue {
    cache.get(&key("a"), None, fetch).await.unwrap().0
}

#[tokio::test(start_paused = true)]
async fn f11_one_refresh_for_all_who_wait() {
    let (cache, count) = (TokenCache::default(), Cell::new(0));
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        counted(&count, Duration::from_secs(300)).await
    };
    let key = key("a");
    let got = join_all((0..50).map(|_| cache.get(&key, None, slow()))).await;
    assert_eq!(count.get(), 1);
    assert!(got.into_iter().all(|got| got.unwrap() == (HeaderValue::from(1), true)));
    let refused = HeaderValue::from(1);
    let got = join_all((0..50).map(|_| cache.get(&key, Some(&refused), slow()))).await;
    assert_eq!(count.get(), 2, "fifty refusals of one token are one refresh");
    assert!(got.into_iter().all(|got| got.unwrap() == (HeaderValue::from(2), true)));
}

#[tokio::test(start_paused = true)]
async fn f11_a_failure_is_shared_by_those_who_waited_and_forgotten_after() {
    let (cache, count) = (TokenCache::default(), Cell::new(0));
    let failing = || async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        count.set(count.get() + 1);
        Err(Error::new(ErrorKind::Unreachable, "auth.example", "answered 503"))
    };
    let key = key("a");
    let got = join_all((0..50).map(|_| cache.get(&key, None, failing()))).await;
    assert!(got.into_iter().all(|got| got.unwrap_err().kind() == ErrorKind::Unreachable));
    assert_eq!(count.get(), 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(get(&cache, token(7, Duration::from_secs(60))).await, HeaderValue::from(7));
}

#[tokio::test(start_paused = true)]
async fn f11_a_token_is_used_until_shortly_before_it_expires() {
    for (lifetime, used_for) in [(300, 270), (60, 30), (40, 20), (4, 2)] {
        let (cache, count) = (TokenCache::default(), Cell::new(0));
        let lifetime = Duration::from_secs(lifetime);
        get(&cache, counted(&count, lifetime)).await;
        tokio::time::advance(Duration::from_secs(used_for) - Duration::from_millis(1)).await;
        get(&cache, counted(&count, lifetime)).await;
        assert_eq!(count.get(), 1, "{lifetime:?}");
        tokio::time::advance(Duration::from_millis(1)).await;
        get(&cache, counted(&count, lifetime)).await;
        assert_eq!(count.get(), 2, "{lifetime:?}");
    }
    assert_eq!(EXPIRY_MARGIN, Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn s36_tokens_are_kept_apart_by_realm_service_and_scope() {
    let cache = TokenCache::default();
    let mut keys = vec![key("a"), key("b")];
    keys.push(TokenKey { service: Some("s".to_owned()), ..key("a") });
    keys.push(TokenKey { realm: Url::parse("https://other.example/token").unwrap(), ..key("a") });
    for (number, key) in (0..).zip(&keys) {
        cache.get(key, None, token(number, Duration::from_secs(300))).await.unwrap();
    }
    for (number, key) in (0..).zip(&keys) {
        let (header, _) = cache.get(key, None, token(99, Duration::ZERO)).await.unwrap();
        assert_eq!(header, HeaderValue::from(number));
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_tokens_is_bounded() {
    let cache = TokenCache::default();
    for number in 0..3 * TOKEN_COUNT_MAX {
        cache.get(&key(&number.to_string()), None, token(1, Duration::from_secs(300))).await.unwrap();
    }
    let count = cache.slots.lock().unwrap().len();
    assert!(count <= TOKEN_COUNT_MAX, "{count} tokens");
}
