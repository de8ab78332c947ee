//! Text out of pieces, as they come.

/// Joins pieces into text. A character whose bytes come in several pieces is held back until it is whole; bytes that
/// can never become a character come out as U+FFFD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    /// The start of a character, at most 3 bytes.
    held: Vec<u8>,
}

impl Decoder {
    /// The text that is complete with these bytes, perhaps none.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::new();
        loop {
            let error = match std::str::from_utf8(&self.held) {
                Ok(rest) => {
                    text.push_str(rest);
                    self.held.clear();
                    return text;
                }
                Err(error) => error,
            };
            let whole = error.valid_up_to();
            text.push_str(&String::from_utf8_lossy(self.held.get(..whole).unwrap_or_default()));
            self.held.drain(..whole + error.error_len().unwrap_or(0));
            if error.error_len().is_none() {
                return text;
            }
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }

    /// Whether a part of a character is held back.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// What is left at the end: nothing, or U+FFFD for a character that was never completed.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.held).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_character_comes_out_when_its_last_byte_is_there() {
        let mut decoder = Decoder::default();
        let said: Vec<String> = "é😀".as_bytes().chunks(1).map(|byte| decoder.push(byte)).collect();
        assert_eq!(said, ["", "é", "", "", "", "😀"]);
        assert_eq!(decoder.finish(), "");
    }

    #[test]
    fn bytes_that_are_no_text_become_replacement_characters() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.push(b"a\xffb\xe2\x82"), "a\u{fffd}b");
        assert_eq!(decoder.clone().finish(), "\u{fffd}");
        assert_eq!(decoder.push(b"c"), "\u{fffd}c");
    }

    proptest! {
        #[test]
        fn pieces_make_the_text_that_the_whole_makes(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..40)) {
            let mut decoder = Decoder::default();
            let mut text: String = pieces.iter().map(|piece| decoder.push(piece)).collect();
            text.push_str(&decoder.finish());
            prop_assert_eq!(text, String::from_utf8_lossy(&pieces.concat()).into_owned());
        }
    }
}
