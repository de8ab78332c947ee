//! Trips of breakers, and the cache's second level.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::*;
use crate::{Trip, answers::MAX_ANSWER};

async fn knows(shared: &Shared, holds: impl FnMut(&std::sync::Arc<[Trip]>) -> bool) -> Vec<Trip> {
    let mut trips = shared.trips();
    let known = timeout(Duration::from_secs(20), trips.wait_for(holds)).await.expect("the trips are known");
    known.unwrap().to_vec()
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_trip_is_known_to_all_replicas_those_that_come_later_too() {
    let server = Server::start();
    let (one, other) = (server.replica().await, server.replica().await);
    let start = Instant::now();
    one.trip("eu/gpt", Duration::from_secs(600));
    for replica in [&other, &one] {
        let known = knows(replica, |trips| trips.len() == 1).await;
        assert_eq!(&*known[0].deployment, "eu/gpt");
        let time = known[0].until - start;
        assert!(time > Duration::from_secs(599) && time < Duration::from_secs(620), "{time:?}");
    }
    other.trip("eu/gpt", Duration::from_secs(10));
    other.trip("us/gpt", Duration::from_secs(600));
    let known = knows(&one, |trips| trips.len() == 2).await;
    assert!(known[0].until - start > Duration::from_secs(599), "a shorter one changes nothing");
    let late = server.replica().await;
    assert_eq!(knows(&late, |trips| trips.len() == 2).await.len(), 2);
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_trip_is_known_within_a_second_when_its_message_is_lost() {
    let server = Server::start();
    let shared = server.replica().await;
    let far = u64::MAX / 4_000;
    server.command(&["HSET", "{t}:trips:all", "silent", &far.to_string()]).await;
    let start = Instant::now();
    knows(&shared, |trips| trips.len() == 1).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_trip_ends_and_there_are_at_most_a_thousand() {
    let server = Server::start();
    let shared = server.replica().await;
    shared.trip("brief", Duration::from_millis(300));
    knows(&shared, |trips| trips.len() == 1).await;
    knows(&shared, |trips| trips.is_empty()).await;
    for i in 0..1_001 {
        shared.trip(&format!("d{i}"), HOUR);
    }
    arrived(&shared).await;
    assert_eq!(knows(&shared, |trips| trips.len() == 1_000).await.len(), 1_000);
    assert!(shared.counts().script_errors >= 1);
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn an_answer_that_one_replica_put_another_gets_until_its_time_is_over() {
    let server = Server::start();
    let (one, other) = (server.replica().await, server.replica().await);
    let largest = Bytes::from(vec![7; MAX_ANSWER]);
    // The cache has a connection of its own.
    eventually("it can be got", async || {
        one.put(&[1; 32], largest.clone(), HOUR);
        other.get(&[1; 32]).await.is_ok_and(|answer| answer == Some(largest.clone()))
    })
    .await;
    assert_eq!(other.get(&[2; 32]).await.unwrap(), None);
    one.put(&[3; 32], "brief".into(), Duration::from_millis(50));
    one.put(&[4; 32], "long".into(), HOUR);
    eventually("they are put", async || other.get(&[4; 32]).await.unwrap().is_some()).await;
    sleep(Duration::from_millis(60)).await;
    assert_eq!(other.get(&[3; 32]).await.unwrap(), None);
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn an_answer_that_is_too_large_is_neither_put_nor_got() {
    let server = Server::start();
    let shared = server.replica().await;
    eventually("the cache is there", async || shared.get(&[1; 32]).await.is_ok()).await;
    let before = shared.counts().puts_dropped;
    shared.put(&[1; 32], Bytes::from(vec![7; MAX_ANSWER + 1]), HOUR);
    shared.put(&[1; 32], Bytes::new(), HOUR);
    shared.put(&[1; 32], "no time".into(), Duration::ZERO);
    assert_eq!(shared.counts().puts_dropped, before + 3);
    server.command(&["SET", &format!("{{t}}:answer:{}", "01".repeat(32)), &"x".repeat(MAX_ANSWER + 1)]).await;
    assert_eq!(shared.get(&[1; 32]).await.unwrap(), None);
}

#[tokio::test]
async fn answers_that_cannot_be_put_are_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("redis+unix://{}/nobody.sock", folder.path().display());
    let shared = Shared::new(settings(&url, PATIENT)).unwrap();
    for _ in 0..100 {
        shared.put(&[1; 32], Bytes::from(vec![7; MAX_ANSWER]), HOUR);
    }
    // 32 MiB fit into the queue; nobody takes them out, since this test never waits.
    assert_eq!(shared.counts().puts_dropped, 68);
    eventually("the rest is dropped as well", async || shared.counts().puts_dropped == 100).await;
}
