use aigate_sim::{CloudKind, Fault};

use crate::harness::House;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_early_is_renewed_once_and_the_caller_never_notices() {
    let house = House::new("").await;
    let google = house.cloud(CloudKind::Google);
    assert!(house.answer("google", "one", false).await.is_ok());
    let before = google.stats().token_requests;
    google.set_fault_times(Fault::ExpiredToken, 1);
    let response = house.ask("google", "two", false).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-aigate-attempts"], "1", "renewal is not a failure");
    assert_eq!(google.stats().token_requests, before + 1);
    assert!(house.answer("google", "three", true).await.is_ok());
    assert_eq!(google.stats().token_requests, before + 1, "the new token is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_server_that_is_down_fails_over_like_any_other_fault() {
    let house = House::new("").await;
    house.cloud(CloudKind::Azure).set_fault(Some(Fault::Refused));
    house.cloud(CloudKind::Aws).set_fault(Some(Fault::Refused));
    house.cloud(CloudKind::Google).set_token_fault(Some(Fault::ServerError { status: 503 }));
    assert!(house.answer("all", "hi", false).await.unwrap().contains("openai"));
}
