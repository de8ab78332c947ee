//! Server-sent events, cut anywhere: never a panic, and the same events however the stream is cut.
#![no_main]

use aigate_transport::{Event, SseParser};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fn parse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut parser = SseParser::default();
    let mut events = Vec::new();
    for piece in pieces {
        if parser.push(Bytes::copy_from_slice(piece)).is_err() {
            break;
        }
        events.extend(std::iter::from_fn(|| parser.next_event()));
    }
    events
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, data) = input;
    let whole = parse(std::iter::once(data));
    assert_eq!(parse(data.chunks(usize::from(size).max(1))), whole);
});
