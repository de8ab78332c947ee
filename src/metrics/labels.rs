//! The labels of what is counted.

use std::{fmt, sync::Arc};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// A label's value that is shared, not copied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Word(pub Arc<str>);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.as_ref().encode(encoder)
    }
}

/// Labels of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// The name callers use.
    pub model: Word,
    /// The task.
    pub task: &'static str,
    /// The caller's key, or empty.
    pub key: Word,
    /// `ok`, `abandoned`, or the kind of failure.
    pub outcome: &'static str,
}

/// Labels of a model's calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ModelLabels {
    /// The name callers use.
    pub model: Word,
    /// The task.
    pub task: &'static str,
}

/// Labels of an attempt, as the GenAI conventions name them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AttemptLabels {
    /// `chat`, `embeddings`.
    pub gen_ai_operation_name: &'static str,
    /// `aws.bedrock`, `gcp.vertex_ai`, …
    pub gen_ai_provider_name: &'static str,
    /// The provider's model.
    pub gen_ai_request_model: Word,
    /// The deployment.
    pub aigate_deployment: Word,
    /// The kind of failure, or empty.
    pub error_type: &'static str,
}

/// Labels of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TokenLabels {
    /// `chat`, `embeddings`.
    pub gen_ai_operation_name: &'static str,
    /// `aws.bedrock`, `gcp.vertex_ai`, …
    pub gen_ai_provider_name: &'static str,
    /// The provider's model.
    pub gen_ai_request_model: Word,
    /// The deployment.
    pub aigate_deployment: Word,
    /// `input` or `output`.
    pub gen_ai_token_type: &'static str,
}

/// Labels of one kind of token of a deployment, disjoint: what prices are made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UsageLabels {
    /// The deployment.
    pub deployment: Word,
    /// `fresh_input`, `cached_read`, `cache_write`, `output`, `reasoning` (a part of `output`).
    pub unit: &'static str,
}

/// Labels of what the cache did.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CacheLabels {
    /// The name callers use.
    pub model: Word,
    /// `hit`, `miss`, `stale`, `coalesced`, `bypass`.
    pub status: &'static str,
}

/// Labels of what a deployment charged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CostLabels {
    /// The deployment.
    pub deployment: Word,
    /// `reported`, `estimated`.
    pub known: &'static str,
}

/// Labels of what a key spent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KeyLabels {
    /// The caller's key.
    pub key: Word,
}

/// Labels of what the keys with a label spent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LabelLabels {
    /// The label's name.
    pub label: Word,
    /// Its value.
    pub value: Word,
}

/// Labels of a budget.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BudgetLabels {
    /// Whose it is.
    pub owner: Word,
    /// `day`, `month`.
    pub period: &'static str,
    /// `limit`, `spent`, `reserved`.
    pub what: &'static str,
}

/// Labels of a round trip to Redis.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RedisLabels {
    /// `take`, `settle`, `trips`, `get`, `put`.
    pub what: &'static str,
}

/// Labels of something with one word.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WhatLabels {
    /// The word.
    pub what: &'static str,
}

/// Labels of a deployment that was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PassedOverLabels {
    /// The deployment.
    pub deployment: Word,
    /// `circuit_open`, `asked_to_wait`, `overloaded`.
    pub reason: &'static str,
}

/// The label of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeploymentLabels {
    /// The deployment.
    pub deployment: Word,
}

/// The label of the running version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct InfoLabels {
    /// aigate's version.
    pub version: &'static str,
    /// The config's version.
    pub config: Word,
}

/// Labels of a refusal at the edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// The HTTP status.
    pub status: u16,
}
