use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{
    Key, Rights,
    testing::{Signer, claims, config, jwks},
};

const SECRET: &str = "aig_4dNoSuchSecretAnywhere";

fn ring() -> Ring {
    let key = Key {
        name: "app".into(),
        hashes: vec![hash(SECRET), hash("a.b.c")],
        rights: Rights::default(),
        expires: None,
        revoked: false,
        labels: Vec::new(),
    };
    Ring::build(vec![key]).unwrap()
}

fn issuer(name: &str, signer: &Signer) -> (TempDir, Arc<Issuer>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, jwks(&[signer])).unwrap();
    let config = config(json!({ "jwks_file": path.to_str().unwrap() }));
    (folder, Issuer::build(name, &config, None).unwrap())
}

async fn name(gate: &Gate, secret: &str) -> Result<String, Refused> {
    gate.admit(Some(secret)).await.map(|admitted| admitted.unwrap().caller.name.to_string())
}

#[tokio::test]
async fn a_gate_without_keys_and_issuers_is_open() {
    let gate = Gate::default();
    assert!(gate.is_open());
    assert_eq!(gate.admit(None).await, Ok(None));
    assert_eq!(gate.admit(Some("anything")).await, Ok(None));
}

#[tokio::test]
async fn a_gate_is_not_open_because_its_ring_is_empty() {
    let gate = Gate::new(Some(Ring::build(Vec::new()).unwrap()), Vec::new()).unwrap();
    assert!(!gate.is_open());
    assert_eq!(gate.admit(None).await, Err(Refused::NoKey));
    assert_eq!(gate.admit(Some(SECRET)).await, Err(Refused::WrongKey));
}

#[tokio::test]
async fn keys_and_tokens_open_side_by_side() {
    let signer = Signer::ed("a");
    let (_folder, bank) = issuer("bank", &signer);
    let gate = Gate::new(Some(ring()), vec![bank]).unwrap();
    assert!(!gate.is_open());
    assert_eq!(name(&gate, SECRET).await.unwrap(), "app");
    assert_eq!(name(&gate, "a.b.c").await.unwrap(), "app", "looks like a token, and is a key");
    assert_eq!(name(&gate, &signer.sign(&claims(json!({})))).await.unwrap(), "bank:alice");
    for nothing in [None, Some("")] {
        assert_eq!(gate.admit(nothing).await, Err(Refused::NoKey));
    }
    let stranger = signer.sign(&claims(json!({ "iss": "https://id.other.example" })));
    assert_eq!(name(&gate, &stranger).await, Err(TokenFault::Issuer.into()));
    assert_eq!(name(&gate, "aig_other").await, Err(Refused::WrongKey));
    let long = signer.sign(&claims(json!({ "more": "x".repeat(16 * 1024) })));
    for long in [long, "x".repeat(16 * 1024 + 1)] {
        assert_eq!(name(&gate, &long).await, Err(Refused::TooLarge));
    }
}

#[tokio::test]
async fn without_issuers_a_token_is_a_wrong_key_and_without_keys_a_key_is() {
    let signer = Signer::ed("a");
    let token = signer.sign(&claims(json!({})));
    let keys_only = Gate::new(Some(ring()), Vec::new()).unwrap();
    assert_eq!(name(&keys_only, &token).await, Err(Refused::WrongKey));
    let (_folder, bank) = issuer("bank", &signer);
    let tokens_only = Gate::new(None, vec![bank]).unwrap();
    assert_eq!(name(&tokens_only, SECRET).await, Err(Refused::WrongKey));
    assert!(name(&tokens_only, &token).await.is_ok());
}

#[test]
fn a_key_is_looked_up_without_waiting() {
    let (_folder, bank) = issuer("bank", &Signer::ed("a"));
    let gate = Gate::new(Some(ring()), vec![bank]).unwrap();
    let mut admitting = std::pin::pin!(gate.admit(Some(SECRET)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(admitting.as_mut().poll(&mut context).is_ready());
}

#[test]
fn one_issuer_under_two_names_is_refused() {
    let signer = Signer::ed("a");
    let ((_one, one), (_two, two)) = (issuer("one", &signer), issuer("two", &signer));
    let faults = Gate::new(None, vec![Arc::clone(&one), two]).unwrap_err();
    assert_eq!(faults[0].path, "two.issuer");
    assert!(faults[0].message.contains("`one`"), "{}", faults[0].message);
    let gate = Gate::new(None, vec![one]).unwrap();
    assert!(gate.issuer("one").is_some() && gate.issuer("two").is_none());
}

proptest! {
    #[test]
    fn no_text_whatever_opens_or_panics(text in "(?s).{0,60}|[A-Za-z0-9_-]{0,20}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,20}") {
        let signer = Signer::ed("a");
        let (_folder, bank) = issuer("bank", &signer);
        let gate = Gate::new(Some(ring()), vec![bank]).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        prop_assume!(text != "a.b.c");
        let refused = runtime.block_on(gate.admit(Some(&text))).unwrap_err();
        prop_assert!(!refused.message().is_empty());
    }

    #[test]
    fn no_header_or_claims_whatever_open_or_panic(head in "\\PC{0,40}", more in "\\PC{0,40}") {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let (_folder, bank) = issuer("bank", &Signer::ed("a"));
        let gate = Gate::new(None, vec![bank]).unwrap();
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let claims = claims(json!({ more.as_str(): more }));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for head in [head.clone(), json!({ "alg": "EdDSA", "kid": head }).to_string(), json!({ "alg": head }).to_string()] {
            let token = format!("{}.{}.{}", part(&head), part(&claims.to_string()), part(&more));
            prop_assert!(runtime.block_on(gate.admit(Some(&token))).is_err());
        }
    }
}
