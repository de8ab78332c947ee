//! The tour: traffic goes on while one cloud after another breaks.

use std::time::Duration;

use aigate_sim::Fault;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{decision::decide, show::Show, stage::Stage};
use crate::cli::out::print;

/// Chat calls in each act.
const CALLS: usize = 8;
/// Credit decisions in each act.
const DECISIONS: usize = 3;

/// How the tour went.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) calls: usize,
    pub(super) answered: usize,
    pub(super) failed_over: usize,
    pub(super) refused_as_told: usize,
    /// Chat answers of the model on this machine.
    pub(super) own: usize,
    pub(super) decisions: usize,
    pub(super) decided: usize,
    /// Decisions by the model on this machine.
    pub(super) degraded: usize,
    /// Calls that did not go as the demo promises.
    pub(super) surprises: usize,
}

/// One act: what breaks, and whether calls can still be answered.
struct Act {
    title: &'static str,
    azure: Option<Fault>,
    aws: Option<Fault>,
    google: Option<Fault>,
    answers: bool,
}

fn acts() -> [Act; 6] {
    let down = Some(Fault::Refused);
    [
        Act { title: "every cloud is well", azure: None, aws: None, google: None, answers: true },
        Act {
            title: "Azure throttles: 429, come back in 2 s",
            azure: Some(Fault::Throttled { retry_after: Some(Duration::from_secs(2)) }),
            aws: None,
            google: None,
            answers: true,
        },
        Act {
            title: "Azure is gone, AWS takes calls and never answers",
            azure: down.clone(),
            aws: Some(Fault::Hang),
            google: None,
            answers: true,
        },
        Act {
            title: "Azure's answers are garbled, AWS has server errors",
            azure: Some(Fault::Malformed),
            aws: Some(Fault::ServerError { status: 503 }),
            google: None,
            answers: true,
        },
        Act {
            title: "every cloud is gone",
            azure: down.clone(),
            aws: down.clone(),
            google: down,
            answers: false,
        },
        Act { title: "they are back", azure: None, aws: None, google: None, answers: true },
    ]
}

/// Plays every act and counts.
pub(super) async fn tour(stage: &Stage, show: &Show) -> Result<Tally, String> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .map_err(|error| format!("cannot build a client: {error}"))?;
    let applicant = aigate_local::sample_request()?;
    let mut first_score = None;
    let mut tally = Tally::default();
    for act in acts() {
        print(&show.act(act.title))?;
        stage.azure.set_fault(act.azure);
        stage.aws.set_fault(act.aws);
        stage.google.set_fault(act.google);
        for _ in 0..CALLS {
            tally.calls += 1;
            let streamed = tally.calls % 2 == 0;
            let call = call(&client, &stage.url(), tally.calls, streamed).await;
            tally.own += usize::from(call.degraded && call.answer.is_ok());
            match (&call.answer, act.answers || stage.own.is_some()) {
                (Ok(_), true) => tally.answered += 1,
                (Err(_), false) => tally.refused_as_told += 1,
                _ => tally.surprises += 1,
            }
            if call.attempts > 1 && call.answer.is_ok() {
                tally.failed_over += 1;
            }
            print(&show.call(&call))?;
            sleep(Duration::from_millis(250)).await;
        }
        for _ in 0..DECISIONS {
            let decision = decide(&client, &stage.url(), &applicant).await;
            tally.decisions += 1;
            tally.degraded += usize::from(decision.degraded);
            tally.decided += usize::from(decision.score.is_ok());
            // The same applicant, the same model: who scores makes no difference.
            let same = |score: f64| (score - *first_score.get_or_insert(score)).abs() < 1e-9;
            tally.surprises += usize::from(!decision.score.clone().is_ok_and(same));
            print(&show.decision(&decision))?;
        }
    }
    Ok(tally)
}

/// One call and what became of it.
#[derive(Debug)]
pub(super) struct DemoCall {
    pub(super) number: usize,
    pub(super) streamed: bool,
    pub(super) deployment: String,
    pub(super) attempts: usize,
    /// Answered by the model on this machine.
    pub(super) degraded: bool,
    pub(super) elapsed: Duration,
    /// The text, or what the error said.
    pub(super) answer: Result<String, String>,
}

async fn call(client: &reqwest::Client, url: &str, number: usize, streamed: bool) -> DemoCall {
    let begun = Instant::now();
    let question = format!("call {number}");
    let body = json!({
        "model": "assistant",
        "stream": streamed,
        "max_tokens": 12,
        "messages": [{ "role": "user", "content": question }],
    });
    let request = client
        .post(format!("{url}/v1/chat/completions"))
        .header("content-type", "application/json")
        .body(body.to_string());
    let (mut deployment, mut attempts, mut degraded) = (String::new(), 0, false);
    let answer = match request.send().await {
        Err(error) => Err(error.to_string()),
        Ok(response) => {
            let header = |name: &str| {
                response
                    .headers()
                    .get(name)
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default()
                    .to_owned()
            };
            deployment = header("x-aigate-deployment");
            attempts = header("x-aigate-attempts").parse().unwrap_or(0);
            degraded = header("x-aigate-degraded") == "local";
            let failed = !response.status().is_success();
            let status = response.status();
            match response.text().await {
                Err(error) => Err(error.to_string()),
                Ok(text) if failed => Err(format!("{status}: {}", message(&text))),
                Ok(text) => read(&text, streamed, (!degraded).then_some(&question)),
            }
        }
    };
    DemoCall { number, streamed, deployment, attempts, degraded, elapsed: begun.elapsed(), answer }
}

fn message(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    value.pointer("/error/message").and_then(Value::as_str).unwrap_or(text).to_owned()
}

/// The whole text of an answer; an error when it does not repeat the question, as simulated clouds do.
fn read(text: &str, streamed: bool, question: Option<&String>) -> Result<String, String> {
    let answer = if streamed {
        let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
        if !text.trim_end().ends_with("data: [DONE]") {
            return Err("the stream did not end properly".to_owned());
        }
        events
            .filter_map(|data| serde_json::from_str::<Value>(data).ok())
            .filter_map(|chunk| Some(chunk.pointer("/choices/0/delta/content")?.as_str()?.to_owned()))
            .collect::<String>()
    } else {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        value.pointer("/choices/0/message/content").and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if question.is_none_or(|question| answer.ends_with(question)) {
        Ok(answer)
    } else {
        Err(format!("not the answer to this call: {answer}"))
    }
}
