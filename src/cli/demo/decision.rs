//! Credit decisions while clouds break: the same applicant each time, so the same score, whoever answers.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// One decision and what became of it.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) deployment: String,
    pub(super) version: String,
    /// Answered by the model on this machine.
    pub(super) degraded: bool,
    pub(super) attempts: usize,
    pub(super) elapsed: Duration,
    /// The probability of a default, or what the error said.
    pub(super) score: Result<f64, String>,
}

/// Asks for a decision about the applicant in `request`.
pub(super) async fn decide(client: &reqwest::Client, url: &str, request: &Value) -> Decision {
    let begun = Instant::now();
    let request = client
        .post(format!("{url}/v2/models/credit-risk/infer"))
        .header("content-type", "application/json")
        .body(request.to_string());
    let mut decision = Decision {
        deployment: String::new(),
        version: String::new(),
        degraded: false,
        attempts: 0,
        elapsed: Duration::ZERO,
        score: Err(String::new()),
    };
    decision.score = match request.send().await {
        Err(error) => Err(error.to_string()),
        Ok(response) => {
            let header = |name: &str| {
                let value = response.headers().get(name).and_then(|value| value.to_str().ok());
                value.unwrap_or_default().to_owned()
            };
            decision.deployment = header("x-aigate-deployment");
            decision.version = header("x-aigate-model-version");
            decision.degraded = header("x-aigate-degraded") == "local";
            decision.attempts = header("x-aigate-attempts").parse().unwrap_or(0);
            response.text().await.map_err(|error| error.to_string()).and_then(|text| score(&text))
        }
    };
    decision.elapsed = begun.elapsed();
    decision
}

fn score(text: &str) -> Result<f64, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let score = value.pointer("/outputs/0/data/0").and_then(Value::as_f64);
    score.ok_or_else(|| value.pointer("/error").and_then(Value::as_str).unwrap_or(text).to_owned())
}
