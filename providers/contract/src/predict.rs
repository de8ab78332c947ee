//! Predict: tensors in, tensors out, in the words of the Open Inference Protocol v2, whatever form a deployment speaks.
//!
//! <https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md>,
//! <https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md>

mod datatype;
mod element;
mod form;
mod json;
mod oip;
mod reply;
mod request;
mod signature;
mod tensor;
mod wire;

pub use self::{
    datatype::Datatype,
    form::{AnswerForm, BodyForm, Cell, Form, FormConfig, Place, Routing, RowForm, Service},
    oip::Packed,
    reply::PredictReply,
    request::{PredictRequest, Wanted},
    signature::{Input, Output, Signature},
    tensor::{Data, Scalar, Tensor},
    wire::Encoded,
};

/// The output that names, for each row and feature, the signed part of the score that the feature gives.
pub const CONTRIBUTIONS: &str = "contributions";
/// The output with the number that contributions are measured from.
pub const BASE: &str = "base";
