use std::{error::Error as _, future::pending, time::Duration};

use aigate_contract::{Target, Trail};
use futures_util::future::{join_all, poll_immediate};
use tokio::time::sleep;

use super::*;
use crate::testing::{Counter, fingerprint};

/// A call that takes a second; counts when it begins, and when it ends or is given up.
fn call(
    begun: &Counter,
    over: &Counter,
    answer: Result<u32>,
) -> impl FnOnce() -> BoxFuture<'static, Result<u32>> + Send + 'static {
    struct Over(Counter);
    impl Drop for Over {
        fn drop(&mut self) {
            self.0.add();
        }
    }
    let (begun, over) = (begun.clone(), Over(over.clone()));
    move || {
        begun.add();
        async move {
            let _over = over;
            sleep(Duration::from_secs(1)).await;
            answer
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_equal_calls_cost_one() {
    let (flights, begun) = (Flights::new(10), Counter::default());
    let joined: Vec<_> =
        (0..100).map(|n| flights.join(fingerprint(1), call(&begun, &begun, Ok(n)))).collect();
    let leaders = joined.iter().filter(|(role, _)| *role == Role::Leader).count();
    let answers = join_all(joined.into_iter().map(|(_, waiter)| tokio::spawn(waiter))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().unwrap() == 0));
    // One began and ended; the other calls were dropped, which counts too.
    assert_eq!((leaders, begun.get(), flights.slots.len()), (1, 101, 0));
}

#[tokio::test(start_paused = true)]
async fn different_calls_and_later_ones_are_made() {
    let (flights, begun, over) = (Flights::new(10), Counter::default(), Counter::default());
    let (_, one) = flights.join(fingerprint(1), call(&begun, &over, Ok(1)));
    let (role, two) = flights.join(fingerprint(2), call(&begun, &over, Ok(2)));
    assert_eq!(role, Role::Leader);
    assert_eq!((one.await.unwrap(), two.await.unwrap()), (1, 2));
    let (role, three) = flights.join(fingerprint(1), call(&begun, &over, Ok(3)));
    assert_eq!((role, three.await.unwrap(), begun.get()), (Role::Leader, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn the_leader_may_leave_and_the_followers_get_the_answer() {
    let (flights, begun, over) = (Flights::new(10), Counter::default(), Counter::default());
    let (_, mut leader) = flights.join(fingerprint(1), call(&begun, &over, Ok(1)));
    assert!(poll_immediate(&mut leader).await.is_none());
    let (role, follower) =
        flights.join(fingerprint(1), call(&Counter::default(), &Counter::default(), Ok(2)));
    let follower = tokio::spawn(follower);
    tokio::task::yield_now().await;
    drop(leader);
    assert_eq!((role, follower.await.unwrap().unwrap()), (Role::Follower, 1));
    assert_eq!((begun.get(), over.get()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn when_all_have_left_the_call_is_given_up_and_the_next_is_a_new_one() {
    let (flights, begun, over) = (Flights::new(10), Counter::default(), Counter::default());
    let (_, mut leader) = flights.join(fingerprint(1), call(&begun, &over, Ok(1)));
    let (_, mut follower) = flights.join(fingerprint(1), || pending().boxed());
    assert!(poll_immediate(&mut leader).await.is_none());
    assert!(poll_immediate(&mut follower).await.is_none());
    drop(leader);
    assert_eq!((over.get(), flights.slots.len()), (0, 1));
    drop(follower);
    assert_eq!((over.get(), flights.slots.len()), (1, 0));
    let (role, next) = flights.join(fingerprint(1), call(&begun, &over, Ok(2)));
    assert_eq!((role, next.await.unwrap(), begun.get()), (Role::Leader, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn an_error_is_every_waiter_s_own_and_equal_in_all_that_can_be_asked() {
    let target = Arc::new(Target::new("p", "m"));
    let trail = Trail::new("r", None);
    trail.record(&target, Duration::from_secs(3), None);
    let error = Error::new(ErrorKind::Throttled, "slow down")
        .with_param("messages")
        .with_code("rate")
        .with_status(429)
        .with_retry_after(Duration::from_secs(7))
        .with_target(&target)
        .with_attempts(trail.attempts())
        .with_source(std::io::Error::other("the cause"));
    let flights = Flights::new(10);
    let (_, one) = flights.join(fingerprint(1), call(&Counter::default(), &Counter::default(), Err(error)));
    let (_, two) = flights.join(fingerprint(1), || pending().boxed());
    for error in [one.await.unwrap_err(), two.await.unwrap_err()] {
        assert_eq!((error.kind(), error.message()), (ErrorKind::Throttled, "slow down"));
        assert_eq!((error.param(), error.code()), (Some("messages"), Some("rate")));
        assert_eq!((error.status(), error.retry_after()), (Some(429), Some(Duration::from_secs(7))));
        assert_eq!(error.target(), Some(&target));
        assert_eq!(error.attempts()[0].elapsed, Duration::from_secs(3));
        assert_eq!(error.source().unwrap().to_string(), "the cause");
    }
    assert_eq!(flights.slots.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_is_an_error_and_the_next_is_made() {
    let flights = Flights::new(10);
    let panics: fn() -> BoxFuture<'static, Result<u32>> = || panic!("on purpose");
    let (_, one) = flights.join(fingerprint(1), panics);
    let (_, two) = flights.join(fingerprint(1), || pending().boxed());
    assert_eq!(one.await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(two.await.unwrap_err().kind(), ErrorKind::Internal);
    let (role, next) = flights.join(fingerprint(1), || async { Ok(1) }.boxed());
    assert_eq!((role, next.await.unwrap()), (Role::Leader, 1));
}

#[tokio::test(start_paused = true)]
async fn when_all_slots_are_taken_calls_are_made_each_by_itself() {
    let (flights, begun, over) = (Flights::new(1), Counter::default(), Counter::default());
    let (_, first) = flights.join(fingerprint(1), call(&begun, &over, Ok(1)));
    let (role, second) = flights.join(fingerprint(2), call(&begun, &over, Ok(2)));
    let (other, third) = flights.join(fingerprint(2), call(&begun, &over, Ok(3)));
    assert_eq!((role, other, flights.slots.len()), (Role::Leader, Role::Leader, 1));
    assert_eq!((second.await.unwrap(), third.await.unwrap(), first.await.unwrap()), (2, 3, 1));
    assert_eq!(begun.get(), 3);
}

/// Leavers, joiners and the work's end race on several threads: nobody hangs, and no slot is left behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_of_joiners_and_leavers_leaves_no_slot_behind() {
    let flights = Arc::new(Flights::new(10));
    let tasks = (0..2000_u32).map(|n| {
        let flights = Arc::clone(&flights);
        tokio::spawn(async move {
            let work = async move {
                tokio::task::yield_now().await;
                Ok(n)
            };
            let (_, mut waiter) = flights.join(fingerprint((n % 3) as u8), move || work.boxed());
            if n % 5 == 0 {
                let _ = poll_immediate(&mut waiter).await;
                return;
            }
            waiter.await.unwrap();
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    assert_eq!(flights.slots.len(), 0);
}
