//! What threads meet at. `tests/shuttle.rs` compiles `limit.rs` and `reservation.rs` once more over shuttle's, under the same name.

pub(crate) use std::sync::Mutex;
