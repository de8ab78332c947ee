//! What an attempt cost, and how we know.

use crate::Money;

/// What an attempt cost, and how we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Reckoned from the usage that the provider told.
    Reported(Money),
    /// Reckoned from what was sent and what had arrived, because the provider did not tell. Good for a budget, not for a bill.
    Estimated(Money),
    /// Not known, and why.
    Absent(String),
}

impl Cost {
    /// The amount, if there is one.
    pub fn money(&self) -> Option<Money> {
        match self {
            Self::Reported(money) | Self::Estimated(money) => Some(*money),
            Self::Absent(_) => None,
        }
    }

    /// `reported`, `estimated`, `absent`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Reported(_) => "reported",
            Self::Estimated(_) => "estimated",
            Self::Absent(_) => "absent",
        }
    }
}
