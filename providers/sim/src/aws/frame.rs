//! AWS's binary event stream.
//!
//! A frame is its length, the length of its headers, a checksum of those two, the headers, the payload, and a checksum of
//! all before. Numbers are big-endian; the checksum is CRC-32 as in gzip.
//!
//! <https://smithy.io/2.0/aws/amazon-eventstream.html>

use serde::Serialize;

use crate::answer::Events;

/// Lengths and checksums around headers and payload.
const FRAME: usize = 16;

/// The type of headers that are texts.
const TEXT: u8 = 7;

/// Adds an event.
pub(super) fn event(events: &mut Events, name: &str, payload: &impl Serialize) {
    let headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    write(&mut events.buffer, &headers, |buffer| {
        // Writing to memory cannot fail; nor can these values.
        let _written = serde_json::to_writer(buffer, payload);
    });
    events.end();
}

/// Adds an exception.
pub(super) fn exception(events: &mut Events, name: &str, payload: &impl Serialize) {
    let headers =
        [(":exception-type", name), (":content-type", "application/json"), (":message-type", "exception")];
    write(&mut events.buffer, &headers, |buffer| {
        let _written = serde_json::to_writer(buffer, payload);
    });
    events.end();
}

/// Writes one frame; the payload is written in place and its length filled in afterwards.
fn write(buffer: &mut Vec<u8>, headers: &[(&str, &str)], payload: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 12]);
    for (name, value) in headers {
        // Names and values are ours, and short.
        buffer.push(u8::try_from(name.len()).unwrap_or_default());
        buffer.extend_from_slice(name.as_bytes());
        buffer.push(TEXT);
        buffer.extend_from_slice(&u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
        buffer.extend_from_slice(value.as_bytes());
    }
    let headers = buffer.len() - start - 12;
    payload(buffer);
    let total = buffer.len() - start + FRAME - 12;
    let number = |length: usize| u32::try_from(length).unwrap_or_default().to_be_bytes();
    let mut prelude = [0_u8; 12];
    for (place, byte) in prelude.iter_mut().zip(number(total).into_iter().chain(number(headers))) {
        *place = byte;
    }
    let checksum = prelude.first_chunk::<8>().map_or(0, |lengths| crc32fast::hash(lengths));
    if let Some(place) = prelude.last_chunk_mut::<4>() {
        *place = checksum.to_be_bytes();
    }
    if let Some(place) = buffer.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<12>) {
        *place = prelude;
    }
    let checksum = buffer.get(start..).map_or(0, crc32fast::hash);
    buffer.extend_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::write;

    fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
        let mut buffer = b"before".to_vec();
        write(&mut buffer, headers, |buffer| buffer.extend_from_slice(payload.as_bytes()));
        buffer.split_off(6)
    }

    /// The vectors that AWS publishes with its SDKs.
    #[test]
    fn frames_are_those_of_the_published_vectors() {
        assert_eq!(frame(&[], ""), b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2H\xeb}\x98\xc8\xff");
        assert_eq!(
            frame(&[], "{'foo':'bar'}"),
            b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96"
        );
        assert_eq!(
            frame(&[("content-type", "application/json")], "{'foo':'bar'}"),
            b"\x00\x00\x00=\x00\x00\x00 \x07\xfd\x83\x96\x0ccontent-type\x07\x00\x10application/json{'foo':'bar'}\
              \x8d\x9c\x08\xb1"
        );
    }
}
