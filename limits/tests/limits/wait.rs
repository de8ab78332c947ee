//! `retry_after` is exact.

use std::{sync::Arc, time::Duration};

use aigate_limits::{Claim, Limit, Rate, Unit, reserve};
use proptest::prelude::*;
use tokio::time::advance;

use super::interleavings::paused;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn waiting_exactly_as_long_as_told_admits_and_a_nanosecond_less_does_not(
        amount in 1u64..5_000,
        period in prop_oneof![Just(1u64), Just(3), Just(60), Just(3_600)],
        burst in 1u64..5_000,
        steps in proptest::collection::vec((1u64..6_000, 0u64..9_000, 0u64..3_000_000_000), 1..20),
    ) {
        paused(async {
            let rate = Rate::new(amount, Duration::from_secs(period), Some(burst)).unwrap();
            let limit = Arc::new(Limit::rate("tokens", Unit::Tokens, rate, false));
            let who = Arc::from("a");
            for (wanted, consumed, pause) in steps {
                let claims = [Claim { limit: Arc::clone(&limit), amount: wanted }];
                if let Err(denied) = reserve(claims.to_vec(), &who) {
                    let wait = denied.retry_after.unwrap();
                    advance(wait - Duration::from_nanos(1)).await;
                    let denied = reserve(claims.to_vec(), &who).expect_err("a nanosecond too early");
                    assert_eq!(denied.retry_after, Some(Duration::from_nanos(1)));
                    advance(Duration::from_nanos(1)).await;
                    reserve(claims.to_vec(), &who).expect("exactly then").settle(|_, _| consumed);
                }
                advance(Duration::from_nanos(pause)).await;
                // As long as the bucket says until it is full, and not a nanosecond less.
                let reset = limit.standing().reset;
                if let Some(before) = reset.checked_sub(Duration::from_nanos(1)) {
                    advance(before).await;
                    assert_eq!(limit.standing().reset, Duration::from_nanos(1));
                    advance(Duration::from_nanos(1)).await;
                }
                assert_eq!((limit.standing().remaining, limit.standing().reset), (burst, Duration::ZERO));
                reserve(claims.to_vec(), &who).expect("full").settle(|_, _| consumed);
            }
        });
    }
}
