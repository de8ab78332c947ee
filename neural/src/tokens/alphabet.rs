//! GPT-2's alphabet, in which a character stands for each byte so that no token's text holds a space or a fragment
//! of a character: printable bytes of Latin-1 stand for themselves, the others for U+0100 and on, in order.

/// The byte that each character of the alphabet stands for, by its code point from 0 to U+0143.
const BYTES: [Option<u8>; 0x144] = table();

/// The bytes that the text stands for. `None`: it has a character outside the alphabet.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| BYTES.get(character as usize).copied().flatten()).collect()
}

const fn table() -> [Option<u8>; 0x144] {
    let mut bytes = [None; 0x144];
    let mut others = 0x100;
    let mut byte = 0;
    while byte < 0x100 {
        let is_itself = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let place = if is_itself { byte } else { others };
        bytes[place] = Some(byte as u8);
        others += !is_itself as usize;
        byte += 1;
    }
    bytes
}

#[cfg(test)]
pub(super) fn text(bytes: &[u8]) -> String {
    let code = |byte: &u8| BYTES.iter().position(|other| *other == Some(*byte)).expect("a character");
    bytes.iter().map(|byte| char::from_u32(code(byte) as u32).expect("a character")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_one_character() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(bytes(&text(&all)), Some(all));
        assert_eq!(text(b" a\n\xad"), "\u{120}a\u{10a}\u{143}");
        assert_eq!(bytes("a b"), None);
    }
}
