use std::time::Duration;

use aigate_sim::{CloudKind, Fault};

use crate::harness::{House, KINDS, eventually, name};

/// Starts a call, waits until the cloud has it, and leaves.
async fn leave(house: &House, kind: CloudKind, stream: bool) {
    let cloud = house.cloud(kind);
    let seen = cloud.stats().seen;
    let call = house.ask(name(kind), "hello", stream);
    tokio::select! {
        response = call => panic!("{kind:?} answered {}", response.status()),
        () = eventually("the cloud sees the call", || cloud.stats().seen > seen && cloud.stats().in_flight > 0) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_before_the_answer_cancels_it_upstream() {
    for kind in KINDS {
        let house = House::new("").await;
        house.cloud(kind).set_fault(Some(Fault::Hang));
        leave(&house, kind, false).await;
        eventually("the whole call is given up", || {
            let stats = house.cloud(kind).stats();
            stats.in_flight == 0 && stats.abandoned_before_head == 1
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_before_the_first_chunk_cancels_it_upstream() {
    for kind in KINDS {
        let house = House::new("").await;
        house.cloud(kind).set_fault(Some(Fault::SlowFirstByte(Duration::from_secs(20))));
        leave(&house, kind, true).await;
        eventually("the stream is given up", || {
            let stats = house.cloud(kind).stats();
            stats.in_flight == 0 && stats.abandoned_before_first_chunk + stats.abandoned_before_head == 1
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_mid_stream_cancels_it_upstream() {
    for kind in KINDS {
        let house = House::new("").await;
        let words = "slowly ".to_owned() + &"word ".repeat(400);
        let mut response = house.ask(name(kind), &words, true).await;
        assert!(response.chunk().await.unwrap().is_some());
        drop(response);
        eventually("the stream is given up", || {
            let stats = house.cloud(kind).stats();
            stats.in_flight == 0 && stats.abandoned_mid_stream == 1
        })
        .await;
        let text = house.running.gateway.metrics_text().unwrap();
        assert!(text.contains(r#"outcome="abandoned""#), "{kind:?}");
    }
}
