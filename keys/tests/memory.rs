//! What a hundred thousand keys cost. A process of its own, so that nothing else takes memory meanwhile.
#![cfg(test)]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aigate_keys::{Key, Pattern, Rights, Ring, secret};

const KEYS: usize = 100_000;

/// A key as a config would give it: every text its own, two secrets, two labels, rights, an expiry.
fn key(number: usize) -> Key {
    Key {
        name: format!("application-{number:06}").into(),
        hashes: vec![secret::hash(&format!("old-{number}")), secret::hash(&format!("new-{number}"))],
        rights: Rights {
            models: vec![Pattern::new(&format!("credit-{}-*", number % 50)).unwrap()],
            tasks: vec!["chat".to_owned(), "predict".to_owned()],
        },
        expires: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)),
        revoked: false,
        labels: vec![
            (Arc::from("team".to_owned()), format!("team-{}", number % 300).into()),
            (Arc::from("project".to_owned()), format!("project-{}", number % 5000).into()),
        ],
    }
}

/// The memory of this process that is not shared with others, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[test]
fn a_hundred_thousand_keys_are_found_each_and_cost_well_under_100_mb() {
    let before = resident();
    let ring = Ring::build((0..KEYS).map(key).collect()).unwrap();
    // What building takes for a while is in this number as well.
    let cost = resident().saturating_sub(before);
    assert!(cost < 90 << 20, "{} MiB", cost >> 20);
    assert!(cost > 10 << 20, "{} MiB is too little to be true", cost >> 20);

    let now = SystemTime::now();
    for number in (0..KEYS).step_by(997) {
        for secret in [format!("old-{number}"), format!("new-{number}")] {
            let admitted = ring.admit(&secret::hash(&secret), now).unwrap();
            assert_eq!(*admitted.caller.name, *format!("application-{number:06}"));
            assert_eq!(
                admitted.caller.label("team").map(|team| &**team),
                Some(&*format!("team-{}", number % 300))
            );
            assert!(admitted.rights.allows(&format!("credit-{}-card", number % 50), "chat").is_ok());
        }
        assert!(ring.admit(&secret::hash(&format!("other-{number}")), now).is_err());
    }
    assert!(format!("{ring:?}").contains(&format!("keys: {KEYS}")), "{ring:?}");
}
