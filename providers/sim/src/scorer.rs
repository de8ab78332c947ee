//! The model behind the endpoints of the predict services: from the values of a row to a score.

use std::{fmt, sync::Arc};

use serde_json::Value;

/// One value of a row, and the name that it came with where its form has names. A field of CSV is a number if it looks like
/// one, `null` if it is empty, and a text otherwise, so truth values are texts there.
pub type Cell<'a> = (Option<&'a str>, &'a Value);

/// What a model says about one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The score; finite.
    pub score: f64,
    /// What is explained before any value is known.
    pub base: f64,
    /// One for each value of the row, in their order. With `base` they add up to what is explained: the score itself, or
    /// the raw score that it is made of.
    pub contributions: Vec<f64>,
}

/// A model: the values of one row, in the order in which they came, to its score. An error is what its container answers
/// with 400.
///
/// The default is a stand-in that knows nothing: it draws the contribution of each value from a hash of the value and
/// its place in the row, so that equal rows have equal scores in every form and at every cloud. Its scores are from 0 to
/// 1, its base is 0.5, and base and contributions add up to the score.
#[derive(Clone)]
pub struct Scorer(Arc<ScoreRow>);

type ScoreRow = dyn Fn(&[Cell<'_>]) -> Result<Score, String> + Send + Sync;

impl Scorer {
    /// A model that is this function.
    pub fn new(score: impl Fn(&[Cell<'_>]) -> Result<Score, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(score))
    }

    pub(crate) fn score(&self, row: &[Cell<'_>]) -> Result<Score, String> {
        (self.0)(row)
    }
}

impl Default for Scorer {
    fn default() -> Self {
        Self::new(|row| Ok(stand_in(row)))
    }
}

impl fmt::Debug for Scorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scorer").finish_non_exhaustive()
    }
}

fn stand_in(row: &[Cell<'_>]) -> Score {
    const BASE: f64 = 0.5;
    let share = 1.0 / row.len().max(1) as f64;
    let drawn = row.iter().enumerate().map(|(place, (_, value))| (draw(place, value) - BASE) * share);
    let contributions: Vec<f64> = drawn.collect();
    let score = (BASE + contributions.iter().sum::<f64>()).clamp(0.0, 1.0);
    Score { score, base: BASE, contributions }
}

/// A number from 0 to 1 for a value at a place. Numbers are equal however they are written; truth values are the texts
/// that CSV writes for them.
fn draw(place: usize, value: &Value) -> f64 {
    let text = match value {
        Value::Number(number) => {
            number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string())
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    // FNV-1a, then one step of SplitMix64.
    let bytes = place.to_le_bytes().into_iter().chain(text.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_stand_in_is_repeatable_and_adds_up() {
        let values = [json!(37), json!("rent"), json!(null), json!(true)];
        let row: Vec<Cell<'_>> = values.iter().map(|value| (None, value)).collect();
        let first = Scorer::default().score(&row).unwrap();
        assert_eq!(first, Scorer::default().score(&row).unwrap());
        assert!((0.0..=1.0).contains(&first.score), "{first:?}");
        let sum = first.base + first.contributions.iter().sum::<f64>();
        assert!((first.score - sum).abs() < 1e-12 && first.contributions.len() == 4);
        let (float, text) = (json!(37.0), json!("true"));
        let same = [(Some("age"), &float), row[1], row[2], (None, &text)];
        assert_eq!(Scorer::default().score(&same).unwrap(), first);
        let other = [row[1], row[0], row[2], row[3]];
        assert_ne!(Scorer::default().score(&other).unwrap().score, first.score);
    }
}
