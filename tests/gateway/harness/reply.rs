//! An answer or a refusal, read to its end.

use reqwest::{Response, header::HeaderMap};
use serde_json::Value;

use super::{Events, events};

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// The text as JSON; what is no JSON, as a string.
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = String::from_utf8_lossy(&response.bytes().await.unwrap()).into_owned();
        let body = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.clone()));
        Self { status, headers, text, body }
    }

    /// A header's value, empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A header's value, which must be a whole number.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.header(name).parse().unwrap_or_else(|_| panic!("{name} is no number: {self:?}"))
    }

    /// What an error says, in either protocol.
    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().or(self.body["error"].as_str()).unwrap_or_default()
    }

    /// What the cache says it did.
    pub(crate) fn cache(&self) -> &str {
        self.header("x-aigate-cache")
    }

    /// The answer's own id, whole or streamed: every answer of a cloud has another one.
    pub(crate) fn id(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        let last = if self.is_stream() { self.chunks().pop() } else { Some(self.body.clone()) };
        // Azure's first chunk has none.
        let id = last.as_ref().and_then(|value| value["id"].as_str()).filter(|id| !id.is_empty());
        id.unwrap_or_else(|| panic!("no id: {}", self.text)).to_owned()
    }

    fn is_stream(&self) -> bool {
        self.text.starts_with("data: ")
    }

    /// The chunks of a stream that ended well.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        let Events { chunks, done } = events(&self.text);
        assert!(done, "{}", self.text);
        chunks
    }

    /// The text of a chat answer, whole or streamed.
    pub(crate) fn said(&self) -> String {
        if self.is_stream() {
            let chunks = self.chunks();
            return chunks
                .iter()
                .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
                .collect();
        }
        assert!(self.body.is_object(), "{}", self.text);
        self.body["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
    }
}
