//! `embeddings`.
//!
//! <https://platform.openai.com/docs/api-reference/embeddings>

use aigate_contract::{
    Call, Embed, Error, ErrorKind, Facts, OpenAiUsage, Result, Usage,
    embed::{EmbedReply, EncodingFormat, Vectors},
};
use aigate_transport::excerpt;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{Account, Purpose, Wire, chat::json, error::from_object, wire::MAX_ANSWER};

impl<A: Account> Wire<A> {
    /// Vectors for texts or tokens.
    ///
    /// # Errors
    /// What the provider says, or [`ErrorKind::Malformed`] when its answer is no list of vectors.
    pub async fn embed(&self, call: &Call<Embed>) -> Result<EmbedReply> {
        let model = json(&&*call.target.model)?;
        let model = self.dialect.model_in_body.then_some(model.as_slice());
        let body = call.request.body.with(&[("model", model)]);
        let answer = self.send(call, Purpose::Embeddings, body).await?;
        let json = answer.bytes(MAX_ANSWER).await?;
        read_vectors(json, call.request.input.len(), call.request.encoding_format)
    }
}

#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(default)]
    model: Option<String>,
    #[serde(borrow, default)]
    data: Option<Vec<PeekItem<'a>>>,
    #[serde(default)]
    usage: Option<OpenAiUsage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct PeekItem<'a> {
    #[serde(borrow)]
    embedding: &'a RawValue,
}

fn read_vectors(json: Bytes, inputs: usize, format: EncodingFormat) -> Result<EmbedReply> {
    let malformed = |why: String| Error::new(ErrorKind::Malformed, format!("{why}: {}", excerpt(&json)));
    let peek: Peek<'_> = serde_json::from_slice(&json)
        .map_err(|error| malformed(format!("the provider's answer is no list of embeddings: {error}")))?;
    if let Some(error) = &peek.error {
        return Err(from_object(error, None));
    }
    let Some(data) = &peek.data else {
        return Err(malformed("the provider's answer has no `data`".to_owned()));
    };
    let usage = peek.usage.clone().map(Usage::from);
    let facts = Facts { usage, ..Facts::default() };
    // Some servers do not know `encoding_format` and always send numbers.
    let as_asked =
        |item: &PeekItem<'_>| item.embedding.get().starts_with('"') == (format == EncodingFormat::Base64);
    if data.len() == inputs && data.iter().all(as_asked) {
        return Ok(EmbedReply { json: json.clone(), facts });
    }
    let vectors: Result<Vec<Vec<f32>>, _> =
        data.iter().map(|item| serde_json::from_str(item.embedding.get())).collect();
    let vectors =
        vectors.map_err(|_| malformed("the provider's vectors are not in the wanted form".to_owned()))?;
    let model = peek.model.clone().unwrap_or_default();
    Vectors { vectors, model, usage: facts.usage }.into_reply(inputs, format)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str, inputs: usize, format: EncodingFormat) -> Result<String> {
        let reply = read_vectors(Bytes::from_static(text.as_bytes()), inputs, format)?;
        Ok(String::from_utf8(reply.json.to_vec()).unwrap())
    }

    #[test]
    fn an_answer_in_the_wanted_form_passes_unchanged() {
        let text = r#"{"object":"list","data":[{"index":0,"embedding":[0.5]}],"usage":{"prompt_tokens":1}}"#;
        assert_eq!(read(text, 1, EncodingFormat::Float).unwrap(), text);
    }

    #[test]
    fn numbers_become_base64_where_the_server_does_not_know_it() {
        let text = r#"{"data":[{"embedding":[1.0]}],"model":"m"}"#;
        assert!(read(text, 1, EncodingFormat::Base64).unwrap().contains(r#""embedding":"AACAPw==""#));
    }

    #[test]
    fn a_missing_vector_an_inside_error_and_garbage_are_errors() {
        for text in [r#"{"data":[]}"#, "{}", "[]", "{\"data\":[{}]}", r#"{"data":[{"embedding":"x"}]}"#] {
            assert_eq!(
                read(text, 1, EncodingFormat::Float).unwrap_err().kind(),
                ErrorKind::Malformed,
                "{text}"
            );
        }
        let error = read(r#"{"error":{"message":"x","code":"invalid_api_key"}}"#, 1, EncodingFormat::Float);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Denied);
    }
}
