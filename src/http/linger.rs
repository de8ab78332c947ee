//! What a caller still sends after its answer is decided: read and thrown away for a while, so that the answer arrives.
//!
//! A request that is refused by its head (a wrong key, a body too large) is answered before its body is read. Closing the
//! connection then makes the kernel answer the rest of the body with a reset, and the caller loses the answer it was sent.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

/// Between two pieces of a body that nobody reads.
const QUIET: Duration = Duration::from_secs(1);
/// For the whole rest.
const LONGEST: Duration = Duration::from_secs(30);

/// A request's body that is drained when it is dropped before its end.
#[derive(Debug)]
pub(super) struct Lingering {
    /// `None`: taken by the drop, or nothing that needs draining.
    body: Option<Incoming>,
    drains: bool,
}

impl Lingering {
    /// Wraps the body of a request.
    pub(super) fn wrap(request: Request<Incoming>) -> Request<Self> {
        // HTTP/2 tells the sender to stop, and a caller that waits for `100 Continue` has sent nothing.
        let drains = request.version() <= Version::HTTP_11 && !waits_for_continue(request.headers());
        request.map(|body| Self { body: Some(body), drains })
    }
}

fn waits_for_continue(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| self.drains && !body.is_end_stream()) else { return };
        // Outside a runtime the process is ending, and with it the connection.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(timeout(LONGEST, drain(body)));
        }
    }
}

async fn drain(mut body: Incoming) {
    while let Ok(Some(Ok(_))) = timeout(QUIET, body.frame()).await {}
}
