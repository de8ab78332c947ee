//! Predictions: tensors to tensors.

use std::time::Duration;

use tokio::time::Instant;

use super::{End, Task, Tend};
use crate::{
    Demand, Endpoint, Offers,
    predict::{PredictReply, PredictRequest},
};

/// Asks a model over tensors: a score for each row.
#[derive(Clone, Copy, Debug)]
pub struct Predict;

impl Task for Predict {
    const NAME: &'static str = "predict";
    const OPERATION: &'static str = "predict";
    type Request = PredictRequest;
    type Response = PredictReply;

    fn offer(offers: &Offers) -> Option<&Endpoint<Self>> {
        offers.predict.as_ref()
    }

    fn demand(request: &Self::Request, _visit: &mut dyn FnMut(&str)) -> Demand {
        Demand::of_predict(request)
    }

    fn tend(response: PredictReply, tender: impl Tend) -> PredictReply {
        tender.end(End::Complete(&response.facts));
        response
    }

    fn bound(response: PredictReply, _idle: Duration, _deadline: Instant) -> PredictReply {
        response
    }
}
