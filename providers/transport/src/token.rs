//! A cached credential: fetched once however many calls wait for it, refreshed early, dropped when it is refused.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aigate_contract::{Error, ErrorKind, Result};
use http::HeaderValue;
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, timeout},
};

/// A bearer token, ready to be sent.
#[derive(Clone, Debug)]
pub struct Token {
    /// The `Authorization` header's value, marked sensitive.
    pub header: HeaderValue,
    /// When it stops being valid.
    pub expires: Instant,
}

impl Token {
    /// `Bearer {secret}`.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when the secret cannot stand in a header.
    pub fn bearer(secret: &str, lifetime: Duration) -> Result<Self> {
        let mut header = HeaderValue::from_str(&format!("Bearer {secret}")).map_err(|_| {
            Error::new(ErrorKind::Denied, "the token server gave a token that cannot be sent")
        })?;
        header.set_sensitive(true);
        Ok(Self { header, expires: Instant::now() + lifetime })
    }
}

/// Holds one token.
#[derive(Debug, Default)]
pub struct TokenCache {
    current: Mutex<Option<Arc<Token>>>,
    /// Held by the one who fetches.
    fetching: AsyncMutex<()>,
    /// No early renewal before this moment.
    next_try: Mutex<Option<Instant>>,
}

/// A token is renewed this long before it expires.
const EARLY: Duration = Duration::from_secs(240);
/// A token that expires within this is not used any more.
const LAST_MOMENT: Duration = Duration::from_secs(5);
/// How long an early renewal may hold up the caller who tries it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after an early renewal the next one is tried.
const PAUSE: Duration = Duration::from_secs(10);

impl TokenCache {
    fn valid(&self, margin: Duration) -> Option<Arc<Token>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().filter(|token| token.expires > Instant::now() + margin).cloned()
    }

    /// The token; fetched with `fetch` when there is none or it is about to expire. Concurrent callers share one fetch.
    /// When an early renewal fails, the old token serves as long as it is valid.
    ///
    /// # Errors
    /// What `fetch` says.
    pub async fn get<F, Fut>(&self, fetch: F) -> Result<Arc<Token>>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<Token>> + Send,
    {
        if let Some(token) = self.valid(EARLY) {
            return Ok(token);
        }
        if let Some(token) = self.valid(LAST_MOMENT) {
            return Ok(self.renew_early(token, fetch).await);
        }
        let _turn = self.fetching.lock().await;
        if let Some(token) = self.valid(LAST_MOMENT) {
            return Ok(token);
        }
        Ok(self.keep(fetch().await?))
    }

    /// One caller tries, for a moment; the others go on with the old token. After a failure there is a pause.
    async fn renew_early<F, Fut>(&self, old: Arc<Token>, fetch: F) -> Arc<Token>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<Token>> + Send,
    {
        let Ok(_turn) = self.fetching.try_lock() else { return old };
        {
            let mut next_try = self.next_try.lock().unwrap_or_else(PoisonError::into_inner);
            if next_try.is_some_and(|moment| Instant::now() < moment) {
                return old;
            }
            *next_try = Some(Instant::now() + PAUSE);
        }
        match timeout(PATIENCE, fetch()).await {
            Ok(Ok(token)) => self.keep(token),
            Ok(Err(_)) | Err(_) => old,
        }
    }

    fn keep(&self, token: Token) -> Arc<Token> {
        let token = Arc::new(token);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&token));
        token
    }

    /// Forgets `token`, which the provider refused, unless another one has taken its place already.
    pub fn drop_refused(&self, token: &Arc<Token>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|held| Arc::ptr_eq(held, token)) {
            *current = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn take(cache: &TokenCache, fetches: &AtomicUsize, lifetime: u64) -> Arc<Token> {
        cache
            .get(|| async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let number = fetches.fetch_add(1, Ordering::SeqCst);
                Token::bearer(&format!("t{number}"), Duration::from_secs(lifetime))
            })
            .await
            .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_callers_share_one_fetch_and_the_token_is_renewed_early() {
        let (cache, fetches) = (TokenCache::default(), AtomicUsize::new(0));
        futures_util::future::join_all((0..100).map(|_| take(&cache, &fetches, 3600))).await;
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_secs(3600 - 230)).await;
        assert_eq!(take(&cache, &fetches, 3600).await.header, "Bearer t1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_dropped_once_and_its_successor_stays() {
        let (cache, fetches) = (TokenCache::default(), AtomicUsize::new(0));
        let first = take(&cache, &fetches, 3600).await;
        cache.drop_refused(&first);
        let second = take(&cache, &fetches, 3600).await;
        cache.drop_refused(&first);
        assert!(Arc::ptr_eq(&second, &take(&cache, &fetches, 3600).await));
        assert_eq!(fetches.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_token_serves_while_the_token_server_is_down() {
        let (cache, fetches) = (TokenCache::default(), AtomicUsize::new(0));
        take(&cache, &fetches, 3600).await;
        tokio::time::advance(Duration::from_secs(3500)).await;
        let token = cache.get(|| async { Err(Error::new(ErrorKind::Unavailable, "down")) }).await.unwrap();
        assert_eq!(token.header, "Bearer t0");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_server_that_hangs_holds_one_caller_up_for_a_moment_while_the_token_is_valid() {
        let (cache, fetches) = (TokenCache::default(), AtomicUsize::new(0));
        take(&cache, &fetches, 3600).await;
        tokio::time::advance(Duration::from_secs(3500)).await;
        let begun = Instant::now();
        let hang = || cache.get(std::future::pending::<Result<Token>>);
        let tokens = futures_util::future::join_all((0..50).map(|_| hang())).await;
        assert!(tokens.iter().all(|token| token.as_ref().unwrap().header == "Bearer t0"));
        assert_eq!(begun.elapsed(), PATIENCE);
        assert!(hang().await.is_ok());
        assert_eq!(begun.elapsed(), PATIENCE, "the next try is not at once");
    }
}
