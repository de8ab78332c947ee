use aigate_contract::{Facts, chat::ChatReply};
use tokio::time::advance;

use super::*;
use crate::{
    Answer,
    testing::{fingerprint, origin},
};

const HOUR: Duration = Duration::from_secs(3600);

fn entry(bytes: usize) -> Arc<Entry> {
    let json = vec![b' '; bytes].into();
    Arc::new(Entry::new(Answer::Chat(ChatReply { json, facts: Facts::default() }), origin()))
}

#[tokio::test(start_paused = true)]
async fn each_entry_is_kept_for_its_own_time_to_the_moment() {
    let store = Store::new(1 << 20, 1 << 20);
    assert!(store.put(fingerprint(1), entry(1), Duration::from_secs(1)));
    assert!(store.put(fingerprint(2), entry(1), HOUR));
    advance(Duration::from_millis(999)).await;
    assert_eq!(store.get(&fingerprint(1)).unwrap().age(), Duration::from_millis(999));
    advance(Duration::from_millis(1)).await;
    assert!(store.get(&fingerprint(1)).is_none());
    assert!(store.get(&fingerprint(2)).is_some());
    assert!(store.get(&fingerprint(3)).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_newer_entry_takes_the_older_one_s_place_with_a_time_of_its_own() {
    let store = Store::new(1 << 20, 1 << 20);
    store.put(fingerprint(1), entry(1), Duration::from_secs(1));
    store.put(fingerprint(1), entry(100), HOUR);
    advance(Duration::from_secs(2)).await;
    assert_eq!(store.get(&fingerprint(1)).unwrap().size(), entry(100).size());
    assert_eq!(store.counts().entries, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_or_kept_for_no_time_is_not_kept() {
    let store = Store::new(1 << 20, entry(10).size());
    assert!(!store.put(fingerprint(1), entry(11), HOUR));
    assert!(!store.put(fingerprint(2), entry(1), Duration::ZERO));
    assert!(!store.put(fingerprint(3), entry(1), Duration::MAX));
    assert!(store.put(fingerprint(4), entry(10), HOUR));
    assert_eq!(store.counts(), Counts { entries: 1, bytes: entry(10).size() as u64, evicted: 0 });
}

#[tokio::test(start_paused = true)]
async fn the_store_stays_within_its_bytes_and_counts_what_it_evicts() {
    let max = 20 * entry(1000).size() as u64;
    let store = Store::new(max, 1 << 20);
    for number in 0..200 {
        store.put(fingerprint(number), entry(1000), HOUR);
        assert!(store.counts().bytes <= max);
    }
    let counts = store.counts();
    assert!((1..=20).contains(&counts.entries), "{counts:?}");
    assert_eq!(counts.evicted + counts.entries, 200);
}

#[tokio::test(start_paused = true)]
async fn other_bounds_keep_the_entries_that_have_room_and_their_times() {
    let store = Store::new(1 << 20, 1 << 20);
    store.put(fingerprint(1), entry(1), Duration::from_secs(10));
    store.put(fingerprint(2), entry(5000), HOUR);
    advance(Duration::from_secs(4)).await;
    let same = store.resized(1 << 20, 1 << 10);
    assert!(same.get(&fingerprint(1)).is_some() && same.get(&fingerprint(2)).is_some());
    assert!(!same.put(fingerprint(3), entry(5000), HOUR));
    store.put(fingerprint(4), entry(1), HOUR);
    assert!(same.get(&fingerprint(4)).is_some(), "the same bytes are the same store");
    let smaller = store.resized(1 << 19, 2000);
    assert_eq!(smaller.get(&fingerprint(1)).unwrap().age(), Duration::from_secs(4));
    assert!(smaller.get(&fingerprint(2)).is_none());
    advance(Duration::from_secs(6)).await;
    assert!(smaller.get(&fingerprint(1)).is_none());
    assert!(smaller.get(&fingerprint(4)).is_some());
}
