//! Which character stands between fields, and whether a quote was left open.

/// The delimiters that are known, and their names for people; the first is the usual one.
const KNOWN: [(u8, &str); 4] = [(b',', "a comma"), (b';', "a semicolon"), (b'\t', "a tab"), (b'|', "a bar")];

/// The delimiter of a file: the known one that its first line has most of, outside quotes.
pub(super) fn detect(text: &[u8]) -> (u8, &'static str) {
    let mut counts = [0_usize; KNOWN.len()];
    let mut quoted = false;
    for byte in text.iter().copied() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if quoted => {}
            _ => {
                for (count, known) in counts.iter_mut().zip(KNOWN) {
                    *count += usize::from(known.0 == byte);
                }
            }
        }
    }
    // The comma wins a tie.
    let most = KNOWN.into_iter().zip(counts).reduce(|best, next| if next.1 > best.1 { next } else { best });
    most.map_or(KNOWN[0], |(known, _)| known)
}

/// The field, from 0, and the byte of `record`, the last of a file, where a quote opens that is never closed. Quotes are
/// read as the `csv` crate reads them: one opens at the start of a field only, and a doubled one inside quotes stands
/// for itself.
pub(super) fn open_quote(record: &[u8], delimiter: u8) -> Option<(usize, usize)> {
    enum Place {
        Start,
        Bare,
        /// Within quotes, which opened at this byte.
        Quoted(usize),
        /// After a quote that closes, or is the first of a doubled one.
        Closed(usize),
    }
    let (mut place, mut field) = (Place::Start, 0);
    for (at, byte) in record.iter().copied().enumerate() {
        place = match (place, byte) {
            (Place::Quoted(opened), b'"') => Place::Closed(opened),
            (Place::Quoted(opened), _) | (Place::Closed(opened), b'"') => Place::Quoted(opened),
            (Place::Start, b'"') => Place::Quoted(at),
            (_, byte) if byte == delimiter => {
                field += 1;
                Place::Start
            }
            _ => Place::Bare,
        };
    }
    match place {
        Place::Quoted(opened) => Some((field, opened)),
        _ => None,
    }
}
