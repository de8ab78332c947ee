//! A set of tokens that may be picked.

use llguidance::toktrie::SimpleVob;

/// Which tokens of a vocabulary may be picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask(SimpleVob);

impl Mask {
    pub(super) fn of(tokens: SimpleVob) -> Mask {
        Mask(tokens)
    }

    /// Whether this token may be picked.
    pub fn allows(&self, token: u32) -> bool {
        (token as usize) < self.0.len() && self.0.is_allowed(token)
    }

    /// The allowed tokens, in rising order.
    pub fn tokens(&self) -> impl Iterator<Item = u32> {
        self.0.iter()
    }

    /// Sets the logits of all other tokens to minus infinity. Fails unless there is one logit for each token.
    pub fn apply(&self, logits: &mut [f32]) -> Result<(), String> {
        if logits.len() != self.0.len() {
            return Err(format!("{} logits for a constraint over {} tokens", logits.len(), self.0.len()));
        }
        for (word, logits) in self.0.as_slice().iter().zip(logits.chunks_mut(32)) {
            match *word {
                u32::MAX => {}
                0 => logits.fill(f32::NEG_INFINITY),
                word => {
                    for (bit, logit) in logits.iter_mut().enumerate() {
                        if word >> bit & 1 == 0 {
                            *logit = f32::NEG_INFINITY;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
