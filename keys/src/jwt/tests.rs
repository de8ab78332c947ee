mod rotation;

use std::{path::PathBuf, time::UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    secret::hash,
    testing::{ISSUER, Signer, at, claims, config, jwks},
};

/// An issuer whose keys are in a file, for tests that are not about fetching.
struct Fixture {
    issuer: Arc<Issuer>,
    _folder: TempDir,
}

fn file(signers: &[&Signer]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, jwks(signers)).unwrap();
    (folder, path)
}

fn fixture(signers: &[&Signer], mut changes: Value) -> Fixture {
    let (folder, path) = file(signers);
    changes["jwks_file"] = path.to_str().unwrap().into();
    Fixture { issuer: Issuer::build("bank", &config(changes), None).unwrap(), _folder: folder }
}

async fn admit(issuer: &Issuer, token: &str) -> Result<Admitted, Refused> {
    issuer.admit(token, hash(token), SystemTime::now()).await
}

impl Fixture {
    async fn admit(&self, token: &str) -> Result<Admitted, Refused> {
        admit(&self.issuer, token).await
    }

    async fn fault(&self, token: &str) -> TokenFault {
        match self.admit(token).await {
            Err(Refused::Token(fault)) => fault,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn tokens_signed_with_rsa_ecdsa_and_ed25519_are_let_in() {
    let signers = [Signer::rsa("r"), Signer::ec("e"), Signer::ed("d")];
    let bank = fixture(&signers.each_ref(), json!({}));
    for signer in &signers {
        let admitted = bank.admit(&signer.sign(&claims(json!({})))).await.unwrap();
        assert_eq!(&*admitted.caller.name, "bank:alice");
        assert_eq!(*admitted.rights, crate::Rights::default());
    }
}

#[tokio::test]
async fn a_token_that_is_not_for_us_or_not_good_now_is_refused_with_the_right_word() {
    let signer = Signer::ed("d");
    let bank = fixture(&[&signer], json!({}));
    let seconds = |offset| UNIX_EPOCH + std::time::Duration::from_secs(at(offset).unsigned_abs());
    for (changes, fault, word) in [
        (
            json!({ "exp": 1000 }),
            TokenFault::Expired { since: UNIX_EPOCH + std::time::Duration::from_secs(1000) },
            "expired at 1970-01-01T00:16:40Z",
        ),
        (json!({ "nbf": at(5000) }), TokenFault::NotYet { from: seconds(5000) }, "not valid before"),
        (json!({ "aud": "other" }), TokenFault::Audience, "aud"),
        (json!({ "aud": ["other", 7] }), TokenFault::Audience, "aud"),
        (json!({ "aud": null }), TokenFault::Audience, "aud"),
        (json!({ "iss": "https://id.bank.example/" }), TokenFault::Issuer, "iss"),
        (json!({ "iss": [ISSUER] }), TokenFault::Issuer, "iss"),
        (json!({ "exp": null }), TokenFault::Claim("exp".into()), "`exp`"),
        (json!({ "exp": "tomorrow" }), TokenFault::Claim("exp".into()), "`exp`"),
        (json!({ "nbf": "now" }), TokenFault::Claim("nbf".into()), "`nbf`"),
        (json!({ "sub": null }), TokenFault::Claim("sub".into()), "`sub`"),
        (json!({ "sub": "" }), TokenFault::Claim("sub".into()), "`sub`"),
    ] {
        let token = signer.sign(&claims(changes.clone()));
        assert_eq!(bank.fault(&token).await, fault, "{changes}");
        let refused = Refused::Token(fault);
        assert!(refused.message().contains(word), "{}", refused.message());
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    }
    let listed = signer.sign(&claims(json!({ "aud": ["other", "aigate"], "nbf": at(-5) })));
    assert!(bank.admit(&listed).await.is_ok());
}

#[tokio::test]
async fn a_clock_that_is_a_little_off_is_forgiven_and_no_more() {
    let signer = Signer::ed("d");
    let bank = fixture(&[&signer], json!({ "leeway": "60s" }));
    for (changes, good) in [
        (json!({ "exp": at(-50) }), true),
        (json!({ "exp": at(-70) }), false),
        (json!({ "nbf": at(50) }), true),
        (json!({ "nbf": at(70) }), false),
    ] {
        assert_eq!(bank.admit(&signer.sign(&claims(changes.clone()))).await.is_ok(), good, "{changes}");
    }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let signer = Signer::rsa("r");
    let bank = fixture(&[&signer], json!({}));
    let good = signer.sign(&claims(json!({})));
    let signature = good.rsplit_once('.').unwrap().1;
    for alg in ["none", "None", "NONE", "", "RS257"] {
        let head = part(&json!({ "alg": alg, "kid": "r" }));
        for signature in ["", signature] {
            let token = format!("{head}.{}.{signature}", part(&claims(json!({}))));
            assert_eq!(bank.fault(&token).await, TokenFault::Algorithm, "{alg}");
        }
    }
    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    assert_eq!(bank.fault(&unsigned).await, TokenFault::Signature);
}

#[tokio::test]
async fn a_public_key_is_never_taken_for_a_shared_secret() {
    let signer = Signer::rsa("r");
    let bank = fixture(&[&signer], json!({ "algorithms": ["RS256", "ES256", "EdDSA", "PS256"] }));
    let modulus = URL_SAFE_NO_PAD.decode(signer.jwk()["n"].as_str().unwrap()).unwrap();
    for secret in [modulus, signer.jwk().to_string().into_bytes(), Vec::new()] {
        for how in [jsonwebtoken::Algorithm::HS256, jsonwebtoken::Algorithm::HS512] {
            let header = jsonwebtoken::Header { kid: Some("r".to_owned()), ..jsonwebtoken::Header::new(how) };
            let key = jsonwebtoken::EncodingKey::from_secret(&secret);
            let forged = jsonwebtoken::encode(&header, &claims(json!({})), &key).unwrap();
            assert_eq!(bank.fault(&forged).await, TokenFault::Algorithm);
        }
    }
}

#[tokio::test]
async fn an_algorithm_that_was_not_chosen_or_does_not_fit_the_key_is_refused() {
    let (rsa, ec) = (Signer::rsa("r"), Signer::ec("e"));
    let only_ec = fixture(&[&rsa, &ec], json!({ "algorithms": ["ES256"] }));
    assert_eq!(only_ec.fault(&rsa.sign(&claims(json!({})))).await, TokenFault::Algorithm);
    assert!(only_ec.admit(&ec.sign(&claims(json!({})))).await.is_ok());

    let bank = fixture(&[&rsa, &ec], json!({}));
    let misnamed = ec.named("r");
    assert_eq!(bank.fault(&misnamed.sign(&claims(json!({})))).await, TokenFault::Algorithm);
}

#[tokio::test]
async fn a_token_signed_by_somebody_else_or_changed_after_signing_is_refused() {
    let (signer, thief) = (Signer::ed("d"), Signer::ed("d"));
    let bank = fixture(&[&signer], json!({}));
    assert_eq!(bank.fault(&thief.sign(&claims(json!({})))).await, TokenFault::Signature);

    let good = signer.sign(&claims(json!({})));
    let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();
    parts[1] = part(&claims(json!({ "sub": "root" })));
    assert_eq!(bank.fault(&parts.join(".")).await, TokenFault::Signature);
    // What is wrong with the claims is told only to those who hold a signed token.
    parts[1] = part(&claims(json!({ "exp": 1 })));
    assert_eq!(bank.fault(&parts.join(".")).await, TokenFault::Signature);
}

#[tokio::test]
async fn a_token_with_an_extension_that_must_be_understood_is_refused() {
    let signer = Signer::ed("d");
    let bank = fixture(&[&signer], json!({}));
    let head = part(&json!({ "alg": "EdDSA", "kid": "d", "crit": ["b64"], "b64": false }));
    let token = format!("{head}.{}.AAAA", part(&claims(json!({}))));
    assert_eq!(bank.fault(&token).await, TokenFault::Malformed);
}

#[tokio::test]
async fn a_token_is_verified_once_and_not_taken_after_its_time() {
    let signer = Signer::ed("d");
    let bank = fixture(&[&signer], json!({}));
    let token = signer.sign(&claims(json!({ "exp": at(600) })));
    let first = bank.admit(&token).await.unwrap();
    assert!(Arc::ptr_eq(&first.caller, &bank.admit(&token).await.unwrap().caller), "not read again");
    let later = SystemTime::now() + std::time::Duration::from_secs(631);
    let refused = bank.issuer.admit(&token, hash(&token), later).await.unwrap_err();
    assert!(matches!(refused, Refused::Token(TokenFault::Expired { .. })), "{refused:?}");
}

#[tokio::test]
async fn claims_become_rights_and_labels() {
    let signer = Signer::ed("d");
    let bank = fixture(
        &[&signer],
        json!({
            "subject_claim": "client_id", "models_claim": "https://bank.example/models", "tasks_claim": "/access/tasks",
            "models": ["public"], "tasks": ["embed"],
            "labels": { "team": "team", "project": "https://bank.example/project", "cost": "cost", "gone": "gone", "list": "l" },
        }),
    );
    let token = signer.sign(&claims(json!({
        "client_id": 42, "https://bank.example/models": "credit-* gpt", "access": { "tasks": ["chat", "singing", 7] },
        "team": "risk team\n", "https://bank.example/project": "atlas", "cost": 7, "l": ["x"],
    })));
    let Admitted { caller, rights } = bank.admit(&token).await.unwrap();
    assert_eq!(&*caller.name, "bank:42");
    let labels: Vec<(&str, &str)> = caller.labels.iter().map(|(label, value)| (&**label, &**value)).collect();
    assert_eq!(labels, [("cost", "7"), ("project", "atlas"), ("team", "risk team%0A")]);
    for (model, task, good) in [
        ("credit-1", "chat", true),
        ("gpt", "embed", true),
        ("public", "chat", true),
        ("other", "chat", false),
        ("gpt", "predict", false),
    ] {
        assert_eq!(rights.allows(model, task).is_ok(), good, "{model} {task}");
    }
}

#[tokio::test]
async fn a_claim_that_grants_nothing_never_grants_everything() {
    let signer = Signer::ed("d");
    let bank = fixture(&[&signer], json!({ "models_claim": "models" }));
    for changes in
        [json!({}), json!({ "models": [] }), json!({ "models": " " }), json!({ "models": { "a": 1 } })]
    {
        let token = signer.sign(&claims(changes.clone()));
        assert_eq!(
            bank.fault(&token).await,
            TokenFault::GrantsNothing { claim: "models".into() },
            "{changes}"
        );
        assert_eq!(bank.admit(&token).await.unwrap_err().status(), StatusCode::FORBIDDEN);
    }
    let tasks = fixture(&[&signer], json!({ "tasks_claim": "roles" }));
    let token = signer.sign(&claims(json!({ "roles": ["admin"] })));
    assert_eq!(tasks.fault(&token).await, TokenFault::GrantsNothing { claim: "roles".into() });
    let with_static = fixture(&[&signer], json!({ "models_claim": "models", "models": ["public"] }));
    let rights = with_static.admit(&signer.sign(&claims(json!({})))).await.unwrap().rights;
    assert!(rights.allows("public", "chat").is_ok() && rights.allows("other", "chat").is_err());
}

#[tokio::test]
async fn a_required_claim_must_hold_its_word() {
    let signer = Signer::ed("d");
    let bank = fixture(&[&signer], json!({ "required": { "scope": "aigate" } }));
    for good in [json!({ "scope": "openid aigate" }), json!({ "scope": ["aigate", "x"] })] {
        assert!(bank.admit(&signer.sign(&claims(good.clone()))).await.is_ok(), "{good}");
    }
    for bad in [
        json!({}),
        json!({ "scope": "aigate-admin" }),
        json!({ "scope": ["aigate x"] }),
        json!({ "scope": true }),
    ] {
        let token = signer.sign(&claims(bad.clone()));
        let refused = bank.admit(&token).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{bad}");
        assert!(
            refused.message().contains("`scope`") && refused.message().contains("`aigate`"),
            "{}",
            refused.message()
        );
    }
}

#[tokio::test]
async fn nothing_of_a_token_shows_in_debug_or_messages() {
    let (signer, thief) = (Signer::ed("d"), Signer::ed("d"));
    let bank = fixture(&[&signer], json!({}));
    let forged = thief.sign(&claims(json!({ "sub": "mallory" })));
    let refused = bank.admit(&forged).await.unwrap_err();
    for text in [refused.message(), format!("{refused:?}"), format!("{:?}", bank.issuer)] {
        for part in forged.split('.').chain(["mallory"]) {
            assert!(!text.contains(part), "{text}");
        }
    }
}

#[test]
fn a_config_that_cannot_be_right_is_refused_with_the_place() {
    let (_folder, path) = file(&[&Signer::ed("d")]);
    let path = path.to_str().unwrap();
    for (changes, place) in [
        (json!({ "jwks_file": path, "jwks_url": "https://id.bank.example/keys" }), "jwks_file"),
        (json!({ "jwks_url": "http://id.bank.example/keys" }), "jwks_url"),
        (json!({ "jwks_file": "/nowhere/keys.json" }), "jwks_file"),
        (json!({ "issuer": "bank" }), "issuer"),
        (json!({ "jwks_file": path, "issuer": "" }), "issuer"),
        (json!({ "jwks_file": path, "audience": [] }), "audience"),
        (json!({ "jwks_file": path, "audience": "" }), "audience"),
        (json!({ "jwks_file": path, "algorithms": [] }), "algorithms"),
        (json!({ "jwks_file": path, "leeway": "1h" }), "leeway"),
        (json!({ "jwks_file": path, "refresh": "1s" }), "refresh"),
        (json!({ "jwks_file": path, "subject_claim": "" }), "subject_claim"),
        (json!({ "jwks_file": path, "models": ["ok", ""] }), "models[1]"),
        (json!({ "jwks_file": path, "tasks": ["singing"] }), "tasks[0]"),
        (json!({ "jwks_file": path, "labels": { "team": "" } }), "labels.team"),
        (json!({ "jwks_file": path, "labels": { "": "a" } }), "labels"),
        (json!({ "jwks_file": path, "labels": { "cost-centre": "a" } }), "labels"),
        (json!({ "jwks_file": path, "labels": { "2nd": "a" } }), "labels"),
        (json!({ "jwks_file": path, "labels": { "x".repeat(65): "a" } }), "labels"),
        (json!({ "jwks_file": path, "required": { "scope": "a b" } }), "required.scope"),
        (json!({ "jwks_file": path, "ca_file": "/nowhere/ca.pem" }), "ca_file"),
        (json!({ "jwks_file": path, "proxy": "not a proxy" }), "proxy"),
    ] {
        let faults = Issuer::build("bank", &config(changes.clone()), None).unwrap_err();
        let places: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(places, [place], "{changes}");
    }
    assert_eq!(Issuer::build("a:b", &config(json!({ "jwks_file": path })), None).unwrap_err()[0].path, "");
    assert!(Issuer::build("bank", &config(json!({})), None).is_ok(), "nothing is fetched");
}

#[test]
fn shared_secrets_cannot_be_chosen() {
    for word in ["HS256", "none", "hs512"] {
        let text = json!({ "issuer": ISSUER, "audience": "a", "algorithms": [word] });
        let why = serde_json::from_value::<JwtConfig>(text).unwrap_err().to_string();
        assert!(why.contains("unknown variant") && why.contains("RS256"), "{why}");
    }
    let wrong = json!({ "issuer": ISSUER, "audience": 7 });
    assert!(
        serde_json::from_value::<JwtConfig>(wrong)
            .unwrap_err()
            .to_string()
            .contains("a text or a list of texts")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_token_with_any_one_letter_changed_is_refused(place in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_.-]") {
        let signer = Signer::ed("d");
        let bank = fixture(&[&signer], json!({}));
        let good = signer.sign(&claims(json!({})));
        let at = place.index(good.len());
        let changed = format!("{}{letter}{}", &good[..at], &good[at + 1..]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        prop_assert_eq!(runtime.block_on(bank.admit(&changed)).is_ok(), changed == good);
    }
}
