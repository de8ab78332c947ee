//! Options that training and evaluating share.

use aigate_tabular::{evaluate::Positive, metrics::Costs};
use clap::{Args, ValueEnum};

/// What a decision is, and what a wrong one costs.
#[derive(Debug, Args)]
pub(super) struct Decision {
    /// What a positive decision costs that should have been negative; with --cost-false-negative it chooses the threshold.
    #[arg(long, value_name = "COST", requires = "cost_false_negative")]
    cost_false_positive: Option<f64>,
    /// What a negative decision costs that should have been positive.
    #[arg(long, value_name = "COST", requires = "cost_false_positive")]
    cost_false_negative: Option<f64>,
    /// A column whose groups are measured each by itself, with adverse-impact ratios. Repeat it for more.
    #[arg(long, value_name = "COLUMN")]
    pub(super) sensitive: Vec<String>,
    /// What a positive decision is for the person it is about.
    #[arg(long, value_enum, default_value_t = Meaning::Adverse)]
    positive_is: Meaning,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Meaning {
    /// Bad, like a credit refused.
    Adverse,
    /// Good, like an invitation.
    Favourable,
}

impl Decision {
    /// Whether costs choose the threshold.
    pub(super) fn chooses(&self) -> bool {
        self.cost_false_positive.is_some() && self.cost_false_negative.is_some()
    }

    /// What wrong decisions cost, if both costs are given.
    ///
    /// # Errors
    /// A cost that is negative or no number, or no cost at all.
    pub(super) fn costs(&self) -> Result<Option<Costs>, String> {
        let (Some(false_positive), Some(false_negative)) =
            (self.cost_false_positive, self.cost_false_negative)
        else {
            return Ok(None);
        };
        let valid = |cost: f64| cost.is_finite() && cost >= 0.0;
        if !valid(false_positive) || !valid(false_negative) || false_positive + false_negative == 0.0 {
            return Err(format!(
                "costs of {false_positive} and {false_negative}: they must be numbers of zero or more, and not both zero"
            ));
        }
        Ok(Some(Costs { false_positive, false_negative }))
    }

    pub(super) fn positive(&self) -> Positive {
        match self.positive_is {
            Meaning::Adverse => Positive::Adverse,
            Meaning::Favourable => Positive::Favourable,
        }
    }
}
