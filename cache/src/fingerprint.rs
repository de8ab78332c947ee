//! Which calls are equal.

#[cfg(test)]
mod tests;

use std::fmt;

use aigate_contract::{
    Chat, ChatStream, Embed, Predict, Task,
    chat::{ChatRequest, Content, HINTS, Part},
    embed::EmbedRequest,
    predict::{PredictRequest, Tensor},
};

use crate::Canon;

/// Names a call: the SHA-256 of task, tenant, model and the whole canonical request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(crate) [u8; 32]);

/// Who shares answers, and which model gives them.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Who shares them.
    pub tenant: Tenant<'a>,
    /// The model's name in the config, whatever name the caller used for it.
    pub model: &'a str,
    /// What makes the model another one under the same name, e.g. a hash of its deployments: a reload that changes it
    /// must not be answered with what the old ones said.
    pub settings: &'a [u8],
}

/// Who shares answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant<'a> {
    /// Everybody: callers without a key, and models that are declared public.
    Public,
    /// All keys of one name or label.
    Named(&'a str),
}

/// A task whose answers may be kept.
pub trait Cacheable: Task {
    /// Adds all of a request that may change the answer; the model's name is left out, it is the scope's.
    fn canonical(request: &Self::Request, into: &mut Canon);

    /// Whether equal requests get equal answers, so that keeping them is right without being asked.
    fn deterministic(request: &Self::Request) -> bool;
}

/// Changes when the canonical form does: replicas of different versions then do not read one another's entries.
const FORM: &str = "aigate cache 1";

/// Fields that say how an answer is sent, not what it says: whole and streamed calls share entries.
/// The prompt cache's fields only steer where a provider looks for a prefix that it has already read.
///
/// Other hints ([`HINTS`]) stay in: servers that speak OpenAI's API are known to keep memories and documents by `user`
/// and `metadata`, `store` asks for something to be done, and `service_tier` is told in the answer.
const NOT_THE_ANSWER: [&str; 5] =
    ["model", "stream", "stream_options", "prompt_cache_key", "prompt_cache_retention"];

/// Fields that aigate does not read, of which it is known that they do not make an answer differ from one call to the
/// next. Others may: `web_search_options`, `plugins`, …
const STEADY: [&str; 8] =
    ["logit_bias", "min_p", "modalities", "prediction", "repetition_penalty", "top_a", "top_k", "verbosity"];

impl Fingerprint {
    /// The fingerprint of a request.
    pub fn of<T: Cacheable>(scope: &Scope<'_>, request: &T::Request) -> Self {
        let mut canon = Canon::with_capacity(2048);
        canon.text(FORM);
        canon.text(T::OPERATION);
        match scope.tenant {
            Tenant::Public => canon.optional(None),
            Tenant::Named(name) => canon.optional(Some(name)),
        }
        canon.text(scope.model);
        canon.bytes(scope.settings);
        T::canonical(request, &mut canon);
        Self(canon.digest())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// In hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl Cacheable for Chat {
    fn canonical(request: &ChatRequest, into: &mut Canon) {
        into.body(&request.body, &NOT_THE_ANSWER);
    }

    /// Temperature 0, said by the caller; one choice (who asks for several wants them to differ); and nothing that looks
    /// elsewhere while it answers: no tools that run at the provider, no pictures behind URLs, no field that is unknown.
    fn deterministic(request: &ChatRequest) -> bool {
        let elsewhere = |part: &Part| match part {
            Part::ImageUrl { image_url, .. } => !image_url.url.starts_with("data:"),
            Part::Other => true,
            _ => false,
        };
        request.temperature == Some(0.0)
            && request.n.unwrap_or(1) <= 1
            && request.tools.iter().all(|tool| tool.kind == "function")
            && request.unknown.iter().all(|name| is_steady(name))
            && !request.messages.iter().flat_map(|message| &message.content).any(|content| match content {
                Content::Text(_) => false,
                Content::Parts(parts) => parts.iter().any(elsewhere),
            })
    }
}

impl Cacheable for ChatStream {
    fn canonical(request: &ChatRequest, into: &mut Canon) {
        Chat::canonical(request, into);
    }

    /// See [`Chat`].
    fn deterministic(request: &ChatRequest) -> bool {
        Chat::deterministic(request)
    }
}

impl Cacheable for Embed {
    fn canonical(request: &EmbedRequest, into: &mut Canon) {
        into.body(&request.body, &NOT_THE_ANSWER);
    }

    fn deterministic(_request: &EmbedRequest) -> bool {
        true
    }
}

impl Cacheable for Predict {
    /// The caller's `id` is left out: it is given back with each answer and is no part of it.
    fn canonical(request: &PredictRequest, into: &mut Canon) {
        into.optional(request.version.as_deref());
        into.table(&request.parameters);
        into.number(request.inputs.len() as u64);
        request.inputs.iter().for_each(|tensor| add_tensor(tensor, into));
        into.number(request.outputs.len() as u64);
        for wanted in &request.outputs {
            into.text(&wanted.name);
            into.table(&wanted.parameters);
            // A deployment may round numbers that it writes as text: how they come may change them.
            into.number(u64::from(wanted.binary.unwrap_or(request.binary_output)));
        }
        into.number(u64::from(request.binary_output));
    }

    fn deterministic(_request: &PredictRequest) -> bool {
        true
    }
}

fn is_steady(field: &str) -> bool {
    HINTS.contains(&field) || STEADY.contains(&field)
}

fn add_tensor(tensor: &Tensor, into: &mut Canon) {
    into.text(&tensor.name);
    into.text(tensor.datatype().as_str());
    into.number(tensor.shape.len() as u64);
    tensor.shape.iter().for_each(|dimension| into.number(*dimension as u64));
    let mut data = Vec::new();
    tensor.data.write_binary(&mut data);
    into.bytes(&data);
    into.table(&tensor.parameters);
}
