//! Embeddings with a model of this machine.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aigate_contract::{
    Call, Embed, Error, ErrorKind, Result, Serve, Usage,
    embed::{EmbedReply, Input, Vectors},
};
use aigate_neural::encoder::{EmbedError, Tokens};
use tokio::sync::oneshot;

use crate::{Local, language::Embedder};

/// Tells the worker that nobody waits any more, when the call goes.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Serve<Embed> for Local {
    async fn serve(&self, call: Call<Embed>) -> Result<EmbedReply> {
        call.request.refuse_unknown(&call, &[])?;
        let model = self.language.encoder(&call.target.model);
        let model = model.map_err(|why| Error::new(ErrorKind::Missing, why))?;
        let (sender, receiver) = oneshot::channel();
        let guard = StopOnDrop(Arc::default());
        let stop = Arc::clone(&guard.0);
        model.submit(Box::new(move |worker| {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let reply = worker.and_then(|worker| embed(worker, &call, &stop));
            // Nobody may be there to take it.
            let _ = sender.send(reply);
        }))?;
        let lost = |_| Error::new(ErrorKind::Internal, "a worker ended before its answer");
        receiver.await.map_err(lost)?
    }
}

/// The end of a long text is cut off, as the model's makers meant it; of a book, nearly all would be.
fn refuse_far_too_long(input: &Input, most: usize) -> Result<()> {
    const BYTES_A_TOKEN: usize = 1024;
    let Input::Texts(texts) = input else { return Ok(()) };
    match texts.iter().position(|text| text.len() > most * BYTES_A_TOKEN) {
        Some(index) => {
            let message =
                format!("`input[{index}]` is far longer than the {most} tokens that the model reads");
            Err(Error::new(ErrorKind::TooLarge, message).with_param("input"))
        }
        None => Ok(()),
    }
}

fn left() -> Error {
    Error::new(ErrorKind::Deadline, "nobody waits for the vectors any more")
}

fn embed(worker: &Embedder, call: &Call<Embed>, stop: &AtomicBool) -> Result<EmbedReply> {
    let request = &call.request;
    let encoder = &worker.encoder;
    let own = encoder.dimensions();
    if request.dimensions.is_some_and(|wanted| wanted as usize != own) {
        call.unsupported("dimensions", &format!("the model's vectors have {own} numbers"))?;
    }
    refuse_far_too_long(&request.input, encoder.max_tokens())?;
    let mut inputs: Vec<Tokens> = Vec::with_capacity(request.input.len());
    for index in 0..request.input.len() {
        if stop.load(Ordering::Relaxed) {
            return Err(left());
        }
        let tokens = match &request.input {
            Input::Texts(texts) => texts.get(index).map(|text| encoder.tokenize(text)),
            Input::Tokens(tokens) => tokens.get(index).map(|ids| encoder.tokenize_ids(ids)),
        };
        let tokens = tokens.transpose();
        inputs.extend(tokens.map_err(|why| Error::new(ErrorKind::Invalid, why).with_param("input"))?);
    }
    for (index, _) in inputs.iter().enumerate().filter(|(_, tokens)| tokens.truncated) {
        // As the model's makers meant it, and the caller is told.
        call.leave_out(&format!("input[{index}][{}:]", encoder.max_tokens()));
    }
    let threads = worker.threads.as_ref().map_err(|why| Error::new(ErrorKind::Unavailable, why.clone()))?;
    let stopped = || stop.load(Ordering::Relaxed);
    let vectors = encoder.embed(threads, &inputs, &stopped).map_err(|error| match error {
        EmbedError::Cancelled => left(),
        EmbedError::Input(why) => Error::new(ErrorKind::Invalid, why).with_param("input"),
        EmbedError::NotFinite(index) => {
            let message = format!("the model makes no finite numbers of input[{index}]");
            Error::new(ErrorKind::Malformed, message)
        }
    })?;
    let tokens: usize = inputs.iter().map(|tokens| tokens.ids.len()).sum();
    let usage = Usage { fresh_input: Some(tokens as u64), ..Usage::default() };
    let model = call.target.model.to_string();
    Vectors { vectors, model, usage: Some(usage) }.into_reply(inputs.len(), request.encoding_format)
}
