//! Server-sent events, parsed incrementally; what arrives is copied once, into one growing buffer.
//!
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use aigate_contract::{Error, ErrorKind, Result};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::Stream;
use memchr::memchr2;

use crate::BodyStream;

/// The largest event that is accepted, in bytes.
const MAX_EVENT: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event's type, if it has one.
    pub name: Option<Bytes>,
    /// Its data: the `data` lines, joined by line feeds.
    pub data: Bytes,
}

/// Takes pieces of a stream, gives events.
#[derive(Debug, Default)]
pub struct SseParser {
    pending: BytesMut,
    /// How much of `pending` is known to hold no line end.
    searched: usize,
    name: Option<Bytes>,
    /// The `data` lines of the event so far.
    data: Vec<Bytes>,
    /// Their length.
    held: usize,
    /// A carriage return ended the last line: a line feed that follows belongs to it.
    skip_line_feed: bool,
    begun: bool,
}

impl SseParser {
    /// Adds the next piece of the stream. Take all events with [`Self::next_event`] before adding more.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when an event grows beyond 16 MiB.
    pub fn push(&mut self, piece: Bytes) -> Result<()> {
        if self.pending.len() + self.held + piece.len() > MAX_EVENT {
            return Err(Error::new(ErrorKind::Malformed, "the provider sent an event larger than 16 MiB"));
        }
        self.pending.extend_from_slice(&piece);
        Ok(())
    }

    /// The next event that is complete.
    pub fn next_event(&mut self) -> Option<Event> {
        while let Some(line) = self.next_line() {
            if !line.is_empty() {
                self.take_line(&line);
                continue;
            }
            let name = self.name.take();
            if let Some(data) = self.take_data() {
                return Some(Event { name, data });
            }
        }
        None
    }

    /// The lines joined by line feeds; one line, the usual case, is not copied.
    fn take_data(&mut self) -> Option<Bytes> {
        self.held = 0;
        match self.data.len() {
            0 => None,
            1 => self.data.pop(),
            _ => Some(Bytes::from(std::mem::take(&mut self.data).join(&b'\n'))),
        }
    }

    fn next_line(&mut self) -> Option<Bytes> {
        if self.skip_line_feed && !self.pending.is_empty() {
            self.skip_line_feed = false;
            if self.pending[0] == b'\n' {
                self.pending.advance(1);
                self.searched = 0;
            }
        }
        if !self.begun {
            // The byte order mark may come in pieces; a shorter beginning of it waits for the rest.
            const MARK: &[u8] = b"\xef\xbb\xbf";
            if self.pending.len() < MARK.len() && MARK.starts_with(&self.pending) {
                return None;
            }
            self.begun = true;
            if self.pending.starts_with(MARK) {
                self.pending.advance(MARK.len());
            }
        }
        let Some(found) = memchr2(b'\n', b'\r', &self.pending[self.searched..]) else {
            self.searched = self.pending.len();
            return None;
        };
        let end = self.searched + found;
        self.skip_line_feed = self.pending[end] == b'\r';
        let line = self.pending.split_to(end).freeze();
        self.pending.advance(1);
        self.searched = 0;
        Some(line)
    }

    fn take_line(&mut self, line: &Bytes) {
        let (field, value) = match memchr::memchr(b':', line) {
            Some(colon) => {
                let from = colon + 1 + usize::from(line.get(colon + 1) == Some(&b' '));
                (&line[..colon], line.slice(from..))
            }
            None => (&line[..], Bytes::new()),
        };
        match field {
            b"data" => {
                self.held += value.len() + 1;
                self.data.push(value);
            }
            b"event" => self.name = Some(value),
            // Comments, `id` and `retry` mean nothing to a gateway.
            _ => {}
        }
    }
}

/// The events of a body as they come. Ends when the body ends; an event without its closing blank line is not given.
#[expect(missing_debug_implementations, reason = "a stream of bytes has nothing to show")]
pub struct SseStream {
    body: BodyStream,
    parser: SseParser,
}

/// Reads a body as server-sent events.
pub fn events(body: BodyStream) -> SseStream {
    SseStream { body, parser: SseParser::default() }
}

impl Stream for SseStream {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.parser.next_event() {
                return Poll::Ready(Some(Ok(event)));
            }
            match ready!(Pin::new(&mut self.body).poll_next(cx)) {
                Some(Ok(piece)) => {
                    if let Err(error) = self.parser.push(piece) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<Event> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(Bytes::copy_from_slice(piece)).unwrap();
            events.extend(std::iter::from_fn(|| parser.next_event()));
        }
        events
    }

    fn event(name: Option<&'static str>, data: &'static str) -> Event {
        Event {
            name: name.map(|name| Bytes::from_static(name.as_bytes())),
            data: Bytes::from_static(data.as_bytes()),
        }
    }

    const SAMPLE: &[u8] =
        b"\xef\xbb\xbf: hello\r\nevent: a\rdata: one\ndata:two\r\n\r\n\n\ndata\n\nid: 7\n\nretry: 5\ndata:  {\"x\":1}\n\ndata: cut";

    #[test]
    fn every_form_of_line_and_field_is_understood() {
        assert_eq!(
            parse(&[SAMPLE]),
            [event(Some("a"), "one\ntwo"), event(None, ""), event(None, " {\"x\":1}")]
        );
    }

    #[test]
    fn the_same_events_come_out_wherever_the_stream_is_cut_in_two_or_into_bytes() {
        let whole = parse(&[SAMPLE]);
        for cut in 0..=SAMPLE.len() {
            assert_eq!(parse(&[&SAMPLE[..cut], &SAMPLE[cut..]]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = SAMPLE.chunks(1).collect();
        assert_eq!(parse(&bytes), whole);
    }

    const ATOMS: &[&[u8]] =
        &[b"data: x", b"data", b"event: e", b"\n", b"\r", b"\r\n", b":", b"\xef\xbb\xbf", b"\xff"];

    proptest! {
        #[test]
        fn any_input_gives_the_same_events_however_it_is_cut(
            text in proptest::collection::vec(prop::sample::select(ATOMS), 0..20),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let text = text.concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(&pieces), parse(&[&text]));
        }
    }

    #[test]
    fn an_event_without_end_is_refused_at_its_bound() {
        let mut parser = SseParser::default();
        let piece = Bytes::from(vec![b'x'; MAX_EVENT / 2]);
        assert!(parser.push(piece.clone()).is_ok());
        assert!(parser.next_event().is_none());
        assert!(parser.push(piece.clone()).is_ok());
        assert!(parser.push(piece).is_err());
    }
}
