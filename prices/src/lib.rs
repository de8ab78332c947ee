//! What the clouds charge: a dated catalogue of prices, and the exact cost of what a call consumed.
//!
//! [`Catalogue::shipped`] reads the rows built into the program, [`Catalogue::find`] the row for one model at one place, and
//! [`Price::cost`] turns a call's usage into money. A deployment of the operator's overrides all of it with a
//! [`PriceConfig`]. What is not known has no cost, and the error says why; it is never zero.

mod amount;
mod catalogue;
mod config;
mod name;
mod nearest;
mod price;
mod rates;
mod row;
mod sane;

pub use amount::Amount;
pub use catalogue::{Catalogue, Place};
pub use config::{PriceConfig, TierConfig};
pub use price::Price;
