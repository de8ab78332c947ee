use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    Pattern,
    moment::format_time,
    secret::{self, hash},
};

fn key(name: &str, secrets: &[&str]) -> Key {
    Key {
        name: name.into(),
        hashes: secrets.iter().map(|text| hash(text)).collect(),
        rights: Rights::default(),
        expires: None,
        revoked: false,
        labels: Vec::new(),
    }
}

fn ring(keys: Vec<Key>) -> Ring {
    Ring::build(keys).unwrap()
}

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

#[test]
fn a_key_opens_with_its_secret_only() {
    let ring = ring(vec![key("one", &["s1"]), key("two", &["s2"])]);
    assert_eq!(&*ring.admit(&hash("s1"), NOW).unwrap().caller.name, "one");
    assert_eq!(&*ring.admit(&hash("s2"), NOW).unwrap().caller.name, "two");
    for wrong in ["", "s", "s11", "S1", "one", &secret::format_hash(&hash("s1"))] {
        assert_eq!(ring.admit(&hash(wrong), NOW), Err(Refused::WrongKey), "{wrong}");
    }
}

#[test]
fn while_a_secret_is_replaced_both_open() {
    let ring = ring(vec![key("one", &["old", "new"])]);
    assert_eq!(ring.admit(&hash("old"), NOW), ring.admit(&hash("new"), NOW));
    assert!(ring.admit(&hash("new"), NOW).is_ok());
}

#[test]
fn a_key_is_good_until_it_expires_and_the_refusal_says_when_that_was() {
    let since = NOW + Duration::from_secs(86_400);
    let ring = ring(vec![Key { expires: Some(since), ..key("one", &["s1"]) }]);
    assert!(ring.admit(&hash("s1"), since - Duration::from_nanos(1)).is_ok());
    let refused = ring.admit(&hash("s1"), since).unwrap_err();
    assert_eq!(refused, Refused::Expired { since });
    assert!(refused.message().contains(&format_time(since)), "{}", refused.message());
    assert!(refused.message().contains("operator"), "{}", refused.message());
}

#[test]
fn a_revoked_key_stays_out_even_if_it_has_also_expired() {
    let ring = ring(vec![Key { revoked: true, expires: Some(NOW), ..key("one", &["s1", "s2"]) }]);
    assert_eq!(ring.admit(&hash("s1"), NOW), Err(Refused::Revoked));
    assert_eq!(ring.admit(&hash("s2"), NOW), Err(Refused::Revoked));
}

#[test]
fn labels_come_sorted_and_rights_as_they_were_given() {
    let labels = vec![("team".into(), "risk".into()), ("project".into(), "atlas".into())];
    let rights = Rights { models: vec![Pattern::new("credit-*").unwrap()], tasks: vec!["predict".into()] };
    let ring = ring(vec![Key { labels, rights: rights.clone(), ..key("one", &["s1"]) }]);
    let admitted = ring.admit(&hash("s1"), NOW).unwrap();
    assert_eq!(admitted.caller.labels, [("project".into(), "atlas".into()), ("team".into(), "risk".into())]);
    assert_eq!(admitted.caller.label("team").map(|value| &**value), Some("risk"));
    assert_eq!(*admitted.rights, rights);
}

#[test]
fn keys_whose_hashes_begin_alike_are_told_apart() {
    let mut twins: Vec<Key> = (0_u8..5).map(|number| key(&format!("k{number}"), &[])).collect();
    let real = hash("s");
    for (key, last) in twins.iter_mut().zip(0_u8..) {
        let mut hash = real;
        hash[31] ^= last;
        key.hashes = vec![hash];
    }
    assert_eq!(&*ring(twins.clone()).admit(&hash("s"), NOW).unwrap().caller.name, "k0");
    twins.remove(0);
    assert_eq!(ring(twins).admit(&hash("s"), NOW), Err(Refused::WrongKey));
}

#[test]
fn a_ring_that_cannot_be_right_is_refused_with_the_place() {
    let at = |keys: Vec<Key>| Ring::build(keys).unwrap_err().remove(0).path;
    assert_eq!(at(vec![key("none", &[])]), "none.hash");
    assert_eq!(at(vec![key("three", &["a", "b", "c"])]), "three.hash");
    assert_eq!(at(vec![key("a:b", &["a"])]), "a:b");
    assert_eq!(at(vec![key("same", &["a"]), key("same", &["b"])]), "same");
    let shared = Ring::build(vec![key("one", &["a", "b"]), key("two", &["b"])]).unwrap_err();
    assert_eq!(shared.len(), 1);
    assert!(shared[0].path.ends_with(".hash") && shared[0].message.contains("one key"), "{shared:?}");
    assert_eq!(at(vec![key("twice", &["a", "a"])]), "twice.hash");
}

#[test]
fn equal_texts_and_rights_are_held_once() {
    let labelled = |name: &str, secret| Key {
        labels: vec![(Arc::from("team".to_owned()), Arc::from("risk".to_owned()))],
        ..key(name, &[secret])
    };
    let ring = ring(vec![labelled("one", "s1"), labelled("two", "s2")]);
    let (one, two) = (ring.admit(&hash("s1"), NOW).unwrap(), ring.admit(&hash("s2"), NOW).unwrap());
    assert!(Arc::ptr_eq(&one.rights, &two.rights));
    assert!(Arc::ptr_eq(&one.caller.labels[0].0, &two.caller.labels[0].0));
    assert!(Arc::ptr_eq(&one.caller.labels[0].1, &two.caller.labels[0].1));
}

#[test]
fn nothing_secret_shows_in_debug_or_messages() {
    let key = key("one", &["the-secret"]);
    let digits = secret::hexadecimal(&key.hashes[0]);
    let shown = format!("{key:?} {:?}", ring(vec![key.clone()]));
    let refused = ring(vec![Key { revoked: true, ..key }]).admit(&hash("the-secret"), NOW).unwrap_err();
    let wrong = ring(Vec::new()).admit(&hash("the-secret"), NOW).unwrap_err();
    for text in [shown, refused.message(), format!("{refused:?}"), wrong.message(), format!("{wrong:?}")] {
        assert!(!text.contains("the-secret") && !text.contains(&digits[..8]), "{text}");
        // A hash printed as a list of numbers.
        assert!(!text.contains(&format!("{}, {}", hash("the-secret")[0], hash("the-secret")[1])), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_but_a_secret_is_a_wrong_key(text in ".{0,80}") {
        let ring = ring(vec![key("one", &["aig_secret-one"]), key("two", &["aig_secret-two", "aig_secret-new"])]);
        prop_assert_eq!(ring.admit(&hash(&text), NOW), Err(Refused::WrongKey));
    }
}
