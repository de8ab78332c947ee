//! Limits and budgets: reserve before a call, settle after it, exactly. In this process, without waiting and without I/O.
//!
//! A call [`reserve`]s what it may consume at every [`Limit`] it stands under, all or nothing. When it has ended, its
//! [`Reservation`] is settled with what it did consume. A limit is one of three gauges: a [`Bucket`] (so much a second), [`Places`]
//! (so many at once), a [`Budget`] (so much money a day or month). A limit that several keys share can be [`Fair`].
//!
//! Buckets, places and budgets are plain data that are told the time; `limit.rs` puts them behind a lock, `reservation.rs` reads the
//! clock, tokio's, which tests pause.

mod bucket;
mod budget;
mod fair;
mod limit;
mod places;
mod rate;
mod reservation;
mod standing;
mod sync;
mod unit;
mod wall;
mod window;

pub use bucket::Bucket;
pub use budget::{Budget, BudgetState};
pub use fair::Fair;
pub use limit::{Kind, Limit, OnChange, Reason};
pub use places::Places;
pub use rate::Rate;
pub use reservation::{Claim, Denied, Reservation, reserve};
pub use standing::Standing;
pub use unit::{Unit, amount_of};
pub use wall::Wall;
pub use window::{Period, Window};
