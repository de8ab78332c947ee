//! What a request will consume, as far as it tells by itself: what limits reserve before a call.

use crate::{
    chat::{ChatRequest, Content, Part},
    embed::{EmbedRequest, Input},
    predict::PredictRequest,
};

/// What a request will consume, as far as it tells by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Unicode characters of the texts sent.
    pub characters: u64,
    /// Texts that are counted in tokens: messages, inputs. Each costs some tokens beyond its text.
    pub texts: u64,
    /// Tokens that were sent as such.
    pub tokens: u64,
    /// Pictures.
    pub images: u64,
    /// Rows.
    pub rows: u64,
    /// Whether the answer consists of tokens.
    pub answers_in_tokens: bool,
    /// The most tokens of one answer, if the caller bounds them.
    pub max_output: Option<u64>,
    /// How many answers are wanted.
    pub choices: u64,
}

impl Demand {
    /// Adds up a request; `visit` sees each text that will be counted in tokens.
    pub fn of_chat(request: &ChatRequest, visit: &mut dyn FnMut(&str)) -> Self {
        let mut demand = Self {
            answers_in_tokens: true,
            max_output: request.max_tokens.map(u64::from),
            choices: u64::from(request.n.unwrap_or(1)),
            ..Self::default()
        };
        for message in &request.messages {
            demand.texts += 1;
            match &message.content {
                Some(Content::Text(text)) => demand.text(text, visit),
                Some(Content::Parts(parts)) => {
                    for part in parts {
                        match part {
                            Part::Text(part) => demand.text(&part.text, visit),
                            Part::ImageUrl { .. } => demand.images += 1,
                            _ => {}
                        }
                    }
                }
                None => {}
            }
            for call in &message.tool_calls {
                demand.text(&call.function.name, visit);
                demand.text(&call.function.arguments, visit);
            }
        }
        if let Some(tools) = request.body.raw("tools").and_then(|raw| std::str::from_utf8(raw).ok()) {
            visit(tools);
        }
        demand
    }

    /// Adds up a request; `visit` sees each text that will be counted in tokens.
    pub fn of_embed(request: &EmbedRequest, visit: &mut dyn FnMut(&str)) -> Self {
        let mut demand = Self { choices: 1, ..Self::default() };
        match &request.input {
            Input::Texts(texts) => {
                for text in texts {
                    demand.text(text, visit);
                }
            }
            Input::Tokens(inputs) => demand.tokens = inputs.iter().map(|tokens| tokens.len() as u64).sum(),
        }
        demand
    }

    /// Adds up a request.
    pub fn of_predict(request: &PredictRequest) -> Self {
        Self { rows: request.rows() as u64, choices: 1, ..Self::default() }
    }

    fn text(&mut self, text: &str, visit: &mut dyn FnMut(&str)) {
        self.characters += text.chars().count() as u64;
        visit(text);
    }
}
