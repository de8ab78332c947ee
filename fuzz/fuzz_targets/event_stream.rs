//! AWS's binary event stream, as the SDK decodes it, cut anywhere: never a panic, and the same frames however it is cut.
#![no_main]

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (usize, bool) {
    let mut decoder = MessageFrameDecoder::new();
    let mut buffer = BytesMut::new();
    let mut frames = 0;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode_frame(&mut buffer) {
                Ok(DecodedFrame::Complete(_)) => frames += 1,
                Ok(DecodedFrame::Incomplete) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, data) = input;
    let whole = decode(std::iter::once(data));
    assert_eq!(decode(data.chunks(usize::from(size).max(1))), whole);
});
