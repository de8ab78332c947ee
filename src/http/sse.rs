//! Chunks out as server-sent events. Whatever is ready is sent in one piece: a provider that is faster than the caller
//! costs one write, not one for each chunk.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use aigate_contract::chat::{ChatChunk, ChunkStream};
use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body, Frame};

use super::error::Refusal;

/// As much as is put into one piece.
const PIECE: usize = 16 * 1024;

/// The body of a streamed answer.
pub(super) struct SseBody {
    chunks: Option<ChunkStream>,
    /// Whether the caller asked for the usage at the end.
    wants_usage: bool,
    buffer: BytesMut,
}

impl SseBody {
    pub(super) fn new(chunks: ChunkStream, wants_usage: bool) -> Self {
        Self { chunks: Some(chunks), wants_usage, buffer: BytesMut::new() }
    }

    fn push(&mut self, chunk: &ChatChunk) {
        // A chunk without choices that only tells the usage is for those who asked.
        if chunk.usage_only && chunk.usage.is_some() && !self.wants_usage {
            return;
        }
        put_event(&mut self.buffer, &chunk.json);
    }
}

fn put_event(buffer: &mut BytesMut, data: &[u8]) {
    buffer.reserve(data.len() + 8);
    let mut rest = data;
    // Providers write a chunk in one line; JSON in several lines is an event of several `data` lines.
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, after) = rest.split_at(end);
        put_line(buffer, line);
        rest = after.get(1..).unwrap_or_default();
    }
    put_line(buffer, rest);
    buffer.put_u8(b'\n');
}

fn put_line(buffer: &mut BytesMut, line: &[u8]) {
    buffer.put_slice(b"data: ");
    buffer.put_slice(line);
    buffer.put_u8(b'\n');
}

impl Body for SseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        while let Some(chunks) = &mut this.chunks {
            match chunks.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) => this.push(&chunk),
                Poll::Ready(Some(Err(error))) => {
                    // The stream ends without `[DONE]`: the caller's SDK raises the error.
                    put_event(&mut this.buffer, &Refusal::from(error).to_json());
                    this.chunks = None;
                }
                Poll::Ready(None) => {
                    put_event(&mut this.buffer, b"[DONE]");
                    this.chunks = None;
                }
                Poll::Pending if this.buffer.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
            if this.buffer.len() >= PIECE {
                break;
            }
        }
        if this.buffer.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(this.buffer.split().freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_none() && self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use aigate_contract::{Error, ErrorKind, Usage};
    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    fn chunk(json: &'static str, usage_only: bool) -> ChatChunk {
        let usage = usage_only.then(Usage::default);
        ChatChunk { json: Bytes::from_static(json.as_bytes()), finish: Vec::new(), usage, usage_only }
    }

    async fn text(items: Vec<Result<ChatChunk, Error>>, wants_usage: bool) -> String {
        let body = SseBody::new(Box::pin(stream::iter(items)), wants_usage);
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn what_is_ready_goes_out_in_one_piece_and_ends_with_done() {
        let items = || vec![Ok(chunk("{1}", false)), Ok(chunk("{2}", true))];
        assert_eq!(text(items(), false).await, "data: {1}\n\ndata: [DONE]\n\n");
        assert_eq!(text(items(), true).await, "data: {1}\n\ndata: {2}\n\ndata: [DONE]\n\n");
    }

    #[tokio::test]
    async fn an_error_is_the_last_event_and_no_done_follows() {
        let items = vec![Ok(chunk("{1}", false)), Err(Error::new(ErrorKind::Interrupted, "cut"))];
        let text = text(items, false).await;
        assert!(text.contains(r#"data: {"error":{"message":"cut","type":"server_error""#), "{text}");
        assert!(!text.contains("[DONE]"), "{text}");
    }

    #[tokio::test]
    async fn a_chunk_of_several_lines_stays_one_event() {
        assert_eq!(text(vec![Ok(chunk("{\n}", false))], false).await, "data: {\ndata: }\n\ndata: [DONE]\n\n");
    }
}
