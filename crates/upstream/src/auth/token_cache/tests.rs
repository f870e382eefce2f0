use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::header::HeaderValue;
use url::Url;

use super::{
    AGE_MIN, ALLOWANCE_TTL, CachedToken, EXPIRY_MARGIN, TOKEN_COUNT_MAX, Token, TokenCache, TokenKey,
};
use crate::auth::login::LoginId;
use crate::error::{Error, ErrorKind};

fn key(scope: &str) -> TokenKey {
    TokenKey {
        host: Url::parse("https://registry.example").unwrap().origin(),
        realm: Url::parse("https://auth.example/token").unwrap(),
        service: None,
        scope: scope.to_owned(),
        login: None,
    }
}

async fn token(number: u32, lifetime: Duration) -> Result<Token, Error> {
    Ok(Token { header: HeaderValue::from(number), lifetime, with_login: false })
}

/// Counts how often it is awaited.
async fn counted(count: &Cell<u32>, lifetime: Duration) -> Result<Token, Error> {
    count.set(count.get() + 1);
    token(count.get(), lifetime).await
}

async fn get(cache: &TokenCache, fetch: impl Future<Output = Result<Token, Error>>) -> HeaderValue {
    held(cache, fetch).await.header.clone()
}

async fn held(cache: &TokenCache, fetch: impl Future<Output = Result<Token, Error>>) -> Arc<CachedToken> {
    cache.get(&key("a"), fetch).await.unwrap().0
}

#[tokio::test(start_paused = true)]
async fn f11_one_refresh_for_all_who_wait() {
    let (cache, count) = (TokenCache::default(), Cell::new(0));
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        counted(&count, Duration::from_secs(300)).await
    };
    let key = key("a");
    let got = join_all((0..50).map(|_| cache.get(&key, slow()))).await;
    assert_eq!(count.get(), 1);
    let first = |got: Result<(Arc<CachedToken>, bool), Error>| got.unwrap();
    assert!(
        got.into_iter().map(first).all(|(held, is_fresh)| held.header == HeaderValue::from(1) && is_fresh)
    );
    let (refused, _) = cache.get(&key, slow()).await.unwrap();
    let renew = || async {
        cache.give_up(&key, &refused).await;
        cache.get(&key, slow()).await
    };
    let got = join_all((0..50).map(|_| renew())).await;
    assert_eq!(count.get(), 2, "fifty refusals of one token are one refresh");
    assert!(
        got.into_iter().map(first).all(|(held, is_fresh)| held.header == HeaderValue::from(2) && is_fresh)
    );
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
    let got = join_all((0..50).map(|_| cache.get(&key, failing()))).await;
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
    keys.push(TokenKey { host: Url::parse("https://other.example").unwrap().origin(), ..key("a") });
    keys.push(TokenKey { login: Some(LoginId { account: 0, generation: 1 }), ..key("a") });
    for (number, key) in (0..).zip(&keys) {
        cache.get(key, token(number, Duration::from_secs(300))).await.unwrap();
    }
    for (number, key) in (0..).zip(&keys) {
        let (held, _) = cache.get(key, token(99, Duration::ZERO)).await.unwrap();
        assert_eq!(held.header, HeaderValue::from(number));
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_tokens_is_bounded() {
    let cache = TokenCache::default();
    for number in 0..3 * TOKEN_COUNT_MAX {
        cache.get(&key(&number.to_string()), token(1, Duration::from_secs(300))).await.unwrap();
    }
    let count = cache.slots.lock().len();
    assert!(count <= TOKEN_COUNT_MAX, "{count} tokens");
}

#[tokio::test(start_paused = true)]
async fn k2_a_token_that_worked_may_die_and_a_new_one_may_not() {
    let cache = TokenCache::default();
    let lifetime = Duration::from_secs(3600);
    let first = held(&cache, token(1, lifetime)).await;
    assert!(!first.may_be_dead() && !first.may_allow_too_little(), "it is new, and was refused at once");
    first.note_success();
    assert!(first.may_be_dead() && first.may_allow_too_little());
    let second = TokenCache::default();
    let second = held(&second, token(1, lifetime)).await;
    tokio::time::advance(AGE_MIN).await;
    assert!(second.may_be_dead() && !second.may_allow_too_little());
    tokio::time::advance(ALLOWANCE_TTL - AGE_MIN).await;
    assert!(second.may_allow_too_little());
}

#[tokio::test(start_paused = true)]
async fn t23_a_token_that_allows_too_little_is_renewed_once_a_minute_and_no_oftener() {
    let cache = TokenCache::default();
    let lifetime = Duration::from_secs(3600);
    let first = held(&cache, token(1, lifetime)).await;
    first.note_success();
    cache.give_up(&key("a"), &first).await;
    let second = held(&cache, token(2, lifetime)).await;
    second.note_success();
    assert!(!second.may_allow_too_little(), "the one before it was given up a moment ago");
    assert!(second.may_be_dead());
    tokio::time::advance(ALLOWANCE_TTL).await;
    assert!(second.may_allow_too_little());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_come_meanwhile_is_not_given_up() {
    let cache = TokenCache::default();
    let lifetime = Duration::from_secs(300);
    let first = held(&cache, token(1, lifetime)).await;
    cache.give_up(&key("a"), &first).await;
    let second = held(&cache, token(2, lifetime)).await;
    cache.give_up(&key("a"), &first).await;
    assert!(Arc::ptr_eq(&held(&cache, token(3, lifetime)).await, &second));
}
