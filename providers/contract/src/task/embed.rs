//! Embeddings: texts to vectors.

use std::time::Duration;

use tokio::time::Instant;

use super::{End, Task, Tend};
use crate::{
    Demand, Endpoint, Offers,
    embed::{EmbedReply, EmbedRequest},
};

/// Turns texts into vectors.
#[derive(Clone, Copy, Debug)]
pub struct Embed;

impl Task for Embed {
    const NAME: &'static str = "embed";
    const OPERATION: &'static str = "embeddings";
    type Request = EmbedRequest;
    type Response = EmbedReply;

    fn offer(offers: &Offers) -> Option<&Endpoint<Self>> {
        offers.embed.as_ref()
    }

    fn demand(request: &Self::Request, visit: &mut dyn FnMut(&str)) -> Demand {
        Demand::of_embed(request, visit)
    }

    fn tend(response: EmbedReply, tender: impl Tend) -> EmbedReply {
        tender.end(End::Complete(&response.facts));
        response
    }

    fn bound(response: EmbedReply, _idle: Duration, _deadline: Instant) -> EmbedReply {
        response
    }
}
