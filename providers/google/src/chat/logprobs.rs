//! `logprobsResult` in OpenAI's form.
//!
//! <https://ai.google.dev/api/generate-content#LogprobsResult>

use serde::Deserialize;
use serde_json::{Value, json};

/// The log probabilities of a candidate's tokens.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LogprobsResult {
    chosen_candidates: Vec<Chosen>,
    top_candidates: Vec<Top>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Chosen {
    token: String,
    log_probability: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Top {
    candidates: Vec<Chosen>,
}

impl LogprobsResult {
    /// `logprobs` of a choice.
    pub(super) fn into_openai(self) -> Option<Value> {
        if self.chosen_candidates.is_empty() {
            return None;
        }
        let mut tops = self.top_candidates.into_iter();
        let content = self.chosen_candidates.into_iter().map(|chosen| {
            let top = tops.next().unwrap_or_default().candidates;
            let mut entry = chosen.into_openai();
            entry["top_logprobs"] = top.into_iter().map(Chosen::into_openai).collect();
            entry
        });
        Some(json!({"content": content.collect::<Vec<_>>(), "refusal": null}))
    }
}

impl Chosen {
    /// Google leaves a probability of 1 out: its logarithm is zero, JSON's default.
    fn into_openai(self) -> Value {
        json!({"token": self.token, "logprob": self.log_probability.unwrap_or(0.0), "bytes": null})
    }
}
