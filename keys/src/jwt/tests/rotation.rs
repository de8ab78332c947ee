//! Public keys that are fetched, change, and are out of reach.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::testing::{Server, pass};

fn bank(server: &Server, changes: Value) -> Arc<Issuer> {
    let mut config = config(changes);
    config.jwks_url = Some(server.url());
    Issuer::build("bank", &config, None).unwrap()
}

fn token(signer: &Signer, subject: &str) -> String {
    signer.sign(&claims(json!({ "sub": subject, "exp": at(86_400) })))
}

#[tokio::test]
async fn keys_are_fetched_when_first_needed_and_again_when_they_are_old() {
    let signer = Signer::ed("a");
    let server = Server::start(&[&signer]).await;
    let bank = bank(&server, json!({ "refresh": "5m" }));
    assert_eq!(server.asked(), 0);
    for subject in ["alice", "bob"] {
        admit(&bank, &token(&signer, subject)).await.unwrap();
    }
    assert_eq!(server.asked(), 1);
    pass(299).await;
    admit(&bank, &token(&signer, "carol")).await.unwrap();
    assert_eq!(server.asked(), 1);
    pass(2).await;
    admit(&bank, &token(&signer, "dave")).await.unwrap();
    bank.jwks.idle().await;
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn nobody_waits_for_new_keys_where_old_ones_serve() {
    let (old, new) = (Signer::ed("old"), Signer::ed("new"));
    let server = Server::start(&[&old]).await;
    let bank = bank(&server, json!({}));
    admit(&bank, &token(&old, "alice")).await.unwrap();
    server.publish("/keys", jwks(&[&new]));
    pass(601).await;
    let held = server.hold.lock().await;
    for subject in ["bob", "carol"] {
        let token = token(&old, subject);
        let admitting = tokio::time::timeout(Duration::from_secs(3), admit(&bank, &token));
        assert!(admitting.await.expect("it waits for the fetch").is_ok());
    }
    drop(held);
    bank.jwks.idle().await;
    assert_eq!(server.asked(), 2);
    assert!(admit(&bank, &token(&new, "alice")).await.is_ok());
    assert_eq!(admit(&bank, &token(&old, "dave")).await, Err(TokenFault::Key.into()));
}

#[tokio::test]
async fn a_hundred_callers_share_one_fetch() {
    let signer = Signer::ed("a");
    let server = Server::start(&[&signer]).await;
    let bank = bank(&server, json!({}));
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..100 {
        let (bank, token) = (Arc::clone(&bank), token(&signer, &number.to_string()));
        calls.spawn(async move { admit(&bank, &token).await });
    }
    let admitted = calls.join_all().await;
    assert!(admitted.iter().all(Result::is_ok));
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_by_its_name_and_an_old_one_is_forgotten() {
    let (old, new) = (Signer::ed("old"), Signer::ec("new"));
    let server = Server::start(&[&old]).await;
    let bank = bank(&server, json!({}));
    let early = token(&old, "early");
    admit(&bank, &early).await.unwrap();
    server.publish("/keys", jwks(&[&new]));
    admit(&bank, &token(&new, "alice")).await.unwrap();
    assert_eq!(server.asked(), 2);
    // Also a token that was verified before, and with its key's own name once more.
    for token in [early, token(&old, "late")] {
        assert_eq!(admit(&bank, &token).await, Err(TokenFault::Key.into()));
    }
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_causes_one_fetch_in_half_a_minute() {
    let (signer, stranger) = (Signer::ed("a"), Signer::ed("b"));
    let server = Server::start(&[&signer]).await;
    let bank = bank(&server, json!({}));
    admit(&bank, &token(&signer, "alice")).await.unwrap();
    for expected in [2, 3] {
        for number in 0..50 {
            let refused = admit(&bank, &token(&stranger, &number.to_string())).await.unwrap_err();
            assert_eq!(refused, TokenFault::Key.into());
        }
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..50 {
            let (bank, token) = (Arc::clone(&bank), token(&stranger, &number.to_string()));
            calls.spawn(async move { admit(&bank, &token).await });
        }
        assert!(calls.join_all().await.iter().all(Result::is_err));
        assert_eq!(server.asked(), expected);
        pass(30).await;
    }
}

#[tokio::test]
async fn while_keys_were_never_to_be_had_callers_are_told_to_come_back() {
    let signer = Signer::ed("a");
    let server = Server::start(&[&signer]).await;
    let bank = bank(&server, json!({}));
    server.set_down(true);
    for _ in 0..10 {
        let refused = admit(&bank, &token(&signer, "alice")).await.unwrap_err();
        assert_eq!(refused, Refused::Unavailable { issuer: "bank".into() });
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(5)));
    }
    assert_eq!(server.asked(), 1, "no flood of fetches");
    server.set_down(false);
    pass(5).await;
    assert!(admit(&bank, &token(&signer, "alice")).await.is_ok());
}

#[tokio::test]
async fn old_keys_serve_for_a_day_while_no_new_ones_are_to_be_had() {
    let (signer, stranger) = (Signer::ed("a"), Signer::ed("b"));
    let server = Server::start(&[&signer]).await;
    let bank = bank(&server, json!({}));
    admit(&bank, &token(&signer, "alice")).await.unwrap();
    server.set_down(true);
    pass(601).await;
    for number in 0..20 {
        assert!(admit(&bank, &token(&signer, &number.to_string())).await.is_ok());
    }
    bank.jwks.idle().await;
    assert_eq!(server.asked(), 2, "the next try is not at once");
    pass(30).await;
    assert!(admit(&bank, &token(&signer, "bob")).await.is_ok());
    bank.jwks.idle().await;
    assert_eq!(server.asked(), 3);
    // Perhaps it is a new key's: nobody knows.
    let unknown = admit(&bank, &token(&stranger, "carol")).await;
    assert_eq!(unknown, Err(Refused::Unavailable { issuer: "bank".into() }));
    pass(24 * 3600).await;
    let later = admit(&bank, &token(&signer, "bob")).await;
    assert_eq!(
        later,
        Err(Refused::Unavailable { issuer: "bank".into() }),
        "also a token that was verified before"
    );
    server.set_down(false);
    pass(5).await;
    assert!(admit(&bank, &token(&signer, "bob")).await.is_ok());
    let unknown = admit(&bank, &token(&stranger, "carol")).await;
    assert_eq!(unknown, Err(TokenFault::Key.into()), "now it is known that it is nobody's");
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_stop_the_fetch() {
    let signer = Signer::ed("a");
    let server = Server::start(&[&signer]).await;
    let bank = bank(&server, json!({}));
    let held = server.hold.lock().await;
    let leaving = tokio::spawn({
        let (bank, token) = (Arc::clone(&bank), token(&signer, "alice"));
        async move { admit(&bank, &token).await }
    });
    while server.asked() == 0 {
        tokio::task::yield_now().await;
    }
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    drop(held);
    assert!(admit(&bank, &token(&signer, "bob")).await.is_ok());
    assert_eq!(server.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_given_up() {
    let signer = Signer::ed("a");
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(json!({}));
    config.jwks_url = Some(format!("http://{}/keys", silent.local_addr().unwrap()));
    let begun = Instant::now();
    let hangs = Issuer::build("bank", &config, None).unwrap();
    assert!(matches!(admit(&hangs, &token(&signer, "alice")).await, Err(Refused::Unavailable { .. })));
    assert!(begun.elapsed() <= Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_answer_that_is_no_key_set_or_too_large_is_not_taken() {
    let signer = Signer::ed("a");
    let server = Server::start(&[&signer]).await;
    let spaces = " ".repeat(1024 * 1024);
    for body in ["<html>".to_owned(), r#"{"keys": []}"#.to_owned(), format!("{}{spaces}", jwks(&[&signer]))] {
        server.publish("/keys", body);
        let refused = admit(&bank(&server, json!({})), &token(&signer, "alice")).await;
        assert!(matches!(refused, Err(Refused::Unavailable { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn without_a_url_the_issuer_says_itself_where_its_keys_are() {
    let signer = Signer::ed("a");
    let server = Server::start(&[&signer]).await;
    let issuer = format!("{}/realm/", server.base);
    let describe = |of: &str| json!({ "issuer": of, "jwks_uri": server.url(), "more": 1 }).to_string();
    server.publish("/realm/.well-known/openid-configuration", describe(&issuer));
    let config = config(json!({ "issuer": issuer }));
    let token = signer.sign(&claims(json!({ "iss": issuer })));
    let bank = || Issuer::build("bank", &config, None).unwrap();
    assert!(admit(&bank(), &token).await.is_ok());
    assert_eq!(server.asked(), 2);
    server.publish("/realm/.well-known/openid-configuration", describe("https://evil.example"));
    assert!(matches!(admit(&bank(), &token).await, Err(Refused::Unavailable { .. })));
}

#[tokio::test]
async fn a_file_is_read_again_when_a_token_names_an_unknown_key_and_at_a_reload() {
    let (old, new, newest) = (Signer::ed("old"), Signer::ed("new"), Signer::ed("newest"));
    let (_folder, path) = file(&[&old]);
    let config = config(json!({ "jwks_file": path.to_str().unwrap() }));
    let bank = Issuer::build("bank", &config, None).unwrap();
    assert!(admit(&bank, &token(&old, "alice")).await.is_ok());
    std::fs::write(&path, jwks(&[&old, &new])).unwrap();
    assert!(admit(&bank, &token(&new, "alice")).await.is_ok());
    std::fs::write(&path, jwks(&[&newest])).unwrap();
    let reloaded = Issuer::build("bank", &config, Some(&bank)).unwrap();
    assert!(
        admit(&bank, &token(&old, "bob")).await.is_ok(),
        "who is in force has its own keys: the reload may fail"
    );
    assert!(admit(&reloaded, &token(&newest, "alice")).await.is_ok());
    assert_eq!(admit(&reloaded, &token(&old, "alice")).await, Err(TokenFault::Key.into()));
    std::fs::write(&path, "{}").unwrap();
    assert_eq!(Issuer::build("bank", &config, Some(&reloaded)).unwrap_err()[0].path, "jwks_file");
    assert!(admit(&reloaded, &token(&newest, "bob")).await.is_ok(), "the last good keys stay");
}

#[tokio::test]
async fn a_reload_keeps_the_keys_of_the_same_place_and_takes_the_new_rights_at_once() {
    let signer = Signer::ed("a");
    let server = Server::start(&[&signer]).await;
    let before = bank(&server, json!({}));
    let token = token(&signer, "alice");
    assert!(admit(&before, &token).await.unwrap().rights.allows("any", "chat").is_ok());
    server.set_down(true);
    let mut changed = config(json!({ "models": ["credit-*"] }));
    changed.jwks_url = Some(server.url());
    let after = Issuer::build("bank", &changed, Some(&before)).unwrap();
    assert!(admit(&after, &token).await.unwrap().rights.allows("any", "chat").is_err());
    assert_eq!(server.asked(), 1);
    changed.jwks_url = Some(format!("{}/elsewhere", server.base));
    let moved = Issuer::build("bank", &changed, Some(&after)).unwrap();
    assert!(matches!(admit(&moved, &token).await, Err(Refused::Unavailable { .. })), "other keys, not these");
}
