//! What the demo prints: lines, in colour on a terminal, plain in a pipe.

use std::io::IsTerminal;

use super::{
    decision::Decision,
    tour::{DemoCall, Tally},
};

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(super) struct Show {
    terminal: bool,
    colours: bool,
}

impl Show {
    pub(super) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { terminal, colours: terminal && std::env::var_os("NO_COLOR").is_none() }
    }

    pub(super) fn is_terminal(self) -> bool {
        self.terminal
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn welcome(self, url: String, operations: String, own: Option<&str>) -> String {
        let own = match own {
            Some(target) => format!("Chat falls back to the model `{target}` on this machine when every cloud is gone."),
            None => "No chat model is on this machine: chat is refused when every cloud is gone. To see it fall back, put a GGUF\n\
                     file into ./models, or: aigate model pull hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF qwen2.5-0.5b-instruct-q4_k_m.gguf"
                .to_owned(),
        };
        let title = self.paint("1", "aigate demo");
        format!(
            r#"{title}: one endpoint in front of Azure, AWS and Google.
The three clouds are SIMULATED: servers on this machine that speak the clouds' wire protocols. No network, no
credentials; their chat only repeats the question, their credit scores are those of the sample model that is built in.
The gateway in front of them is the real one, and so are its models on this machine.
{own}

  endpoint  {url}/v1      metrics  {operations}/metrics

Try it while the tour runs:

  curl {url}/v1/chat/completions -H 'content-type: application/json' \
    -d '{{"model":"assistant","messages":[{{"role":"user","content":"hello"}}]}}'

  from openai import OpenAI
  client = OpenAI(base_url="{url}/v1", api_key="none-needed")
  print(client.chat.completions.create(model="assistant", messages=[{{"role": "user", "content": "hello"}}]))
"#
        )
    }

    pub(super) fn act(self, title: &str) -> String {
        format!("\n{}\n", self.paint("1", &format!("== {title}")))
    }

    pub(super) fn call(self, call: &DemoCall) -> String {
        let form = if call.streamed { "stream" } else { "whole" };
        let millis = call.elapsed.as_millis();
        match &call.answer {
            Ok(text) => {
                let who = call.deployment.split('/').next().unwrap_or_default();
                let who = self.paint(colour(who), &format!("{who:<17}"));
                let tries = if call.attempts > 1 {
                    format!("  after {} attempts", call.attempts)
                } else {
                    String::new()
                };
                let mark = if call.degraded { "  DEGRADED: the model on this machine" } else { "" };
                // What a model says may have line ends and control characters.
                let text: String =
                    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(100).collect();
                format!(
                    "  call {:>2}  {form:<6}  {who} {millis:>5} ms  \"{text}\"{mark}{tries}\n",
                    call.number
                )
            }
            Err(why) => {
                let failed = self.paint("31", "no answer        ");
                let why: String = why.chars().take(100).collect();
                format!("  call {:>2}  {form:<6}  {failed} {millis:>5} ms  {why}…\n", call.number)
            }
        }
    }

    pub(super) fn decision(self, decision: &Decision) -> String {
        let millis = decision.elapsed.as_millis();
        match &decision.score {
            Ok(score) => {
                let who = decision.deployment.split('/').next().unwrap_or_default();
                let who = self.paint(colour(who), &format!("{who:<17}"));
                let mark = if decision.degraded { ", DEGRADED: the model on this machine" } else { "" };
                let tries = if decision.attempts > 1 {
                    format!("  after {} attempts", decision.attempts)
                } else {
                    String::new()
                };
                let version = &decision.version;
                format!(
                    "  credit decision  {who} {millis:>5} ms  default risk {score:.3} (version {version}{mark}){tries}\n"
                )
            }
            Err(why) => {
                let failed = self.paint("31", "no answer        ");
                let why: String = why.chars().take(100).collect();
                format!("  credit decision  {failed} {millis:>5} ms  {why}…\n")
            }
        }
    }

    pub(super) fn farewell(self, tally: &Tally) -> String {
        let title = self.paint("1", "== the tally");
        format!(
            "\n{title}\n  {} calls: {} answered, {} of them after another attempt, {} by the model on this machine; {} refused \
             while every cloud was gone; {} surprises\n  \
             {} credit decisions: {} answered, {} of them by the model on this machine\n",
            tally.calls,
            tally.answered,
            tally.failed_over,
            tally.own,
            tally.refused_as_told,
            tally.surprises,
            tally.decisions,
            tally.decided,
            tally.degraded
        )
    }
}

fn colour(provider: &str) -> &'static str {
    match provider {
        "azure-simulated" | "azureml-simulated" => "36",
        "aws-simulated" => "33",
        _ => "32",
    }
}
