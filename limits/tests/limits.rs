//! Limits as a gateway uses them, on paused time.

#![cfg(test)]

mod limits {
    mod fair;
    mod interleavings;
    mod reserve;
    mod wait;
}
