//! Stop strings: the answer ends before the first of them, and no part of it is given away while it may still become one.

/// Watches an answer's text for stop strings.
#[derive(Debug)]
pub(super) struct Stops {
    strings: Vec<String>,
    /// Text that is not given away yet.
    held: String,
}

/// What may be given away.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Released {
    pub(super) text: String,
    /// The stop string that ended the answer.
    pub(super) stopped: Option<String>,
}

impl Stops {
    /// Empty strings stop nothing.
    pub(super) fn new(strings: Vec<String>) -> Self {
        Self { strings: strings.into_iter().filter(|text| !text.is_empty()).collect(), held: String::new() }
    }

    /// Adds text and takes what may be given away.
    pub(super) fn push(&mut self, text: &str) -> Released {
        self.held.push_str(text);
        let first = self.strings.iter().filter_map(|stop| Some((self.held.find(stop.as_str())?, stop))).min();
        if let Some((place, stop)) = first {
            let stop = stop.clone();
            self.held.truncate(place);
            return Released { text: std::mem::take(&mut self.held), stopped: Some(stop) };
        }
        let rest = self.held.split_off(self.held.len() - self.longest_beginning());
        Released { text: std::mem::replace(&mut self.held, rest), stopped: None }
    }

    /// Nothing more comes: what is left.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Whether text is held back.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// The length of the longest end of the held text with which a stop string begins.
    fn longest_beginning(&self) -> usize {
        let begins = |end: &str| self.strings.iter().any(|stop| stop.starts_with(end));
        let places = self.held.char_indices().map(|(place, _)| &self.held[place..]);
        places.filter(|end| begins(end)).map(str::len).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, Option<String>) {
        let mut stops = Stops::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
        let mut text = String::new();
        for piece in pieces {
            let released = stops.push(piece);
            text.push_str(&released.text);
            if released.stopped.is_some() {
                return (text, released.stopped);
            }
        }
        (text + &stops.finish(), None)
    }

    #[test]
    fn the_answer_ends_before_a_stop_string_however_it_is_cut() {
        assert_eq!(run(&["END"], &["one E", "N", "D two"]), ("one ".to_owned(), Some("END".to_owned())));
        assert_eq!(run(&["END"], &["one EN", "TRY"]), ("one ENTRY".to_owned(), None));
        assert_eq!(run(&["\n\n"], &["a\n", "b\n\nc"]), ("a\nb".to_owned(), Some("\n\n".to_owned())));
        assert_eq!(run(&["b", "ab"], &["xab"]), ("x".to_owned(), Some("ab".to_owned())));
        assert_eq!(run(&[""], &["abc"]), ("abc".to_owned(), None));
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(pieces in prop::collection::vec("[abü]{0,4}", 0..8), stop in "[abü]{1,3}") {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let whole = pieces.concat();
            let expected = whole.split_once(stop.as_str()).map_or(whole.as_str(), |(before, _)| before);
            prop_assert_eq!(run(&[&stop], &pieces).0, expected);
        }
    }
}
