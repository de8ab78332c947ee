use super::*;
use crate::testing::fingerprint;

/// Joins a call that is never found alive; gives the claim to it.
fn claim(slots: &Slots<()>, number: u8) -> Option<Claim<()>> {
    slots.join(fingerprint(number), |()| None, |claim| ((), claim)).1
}

#[test]
fn a_claim_that_is_given_up_late_leaves_its_successor_s_slot_alone() {
    let slots = Slots::new(10);
    let (old, new) = (claim(&slots, 1), claim(&slots, 1));
    drop(old);
    assert_eq!(slots.len(), 1);
    drop(new);
    assert_eq!(slots.len(), 0);
}

#[test]
fn there_are_no_more_slots_than_said_and_a_dead_call_s_is_taken_over() {
    let slots = Slots::new(1);
    let one = claim(&slots, 1);
    assert!(claim(&slots, 2).is_none());
    assert!(claim(&slots, 1).is_some());
    drop(one);
    assert!(claim(&slots, 2).is_some());
}
