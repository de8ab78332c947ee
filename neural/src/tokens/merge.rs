//! Merging neighbours: of all pairs that may merge, the best merges first, the leftmost among equals.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The id of a symbol that is no token.
pub(super) const NO_TOKEN: u32 = u32::MAX;

/// A part of the text, from `start` to before `end` in bytes, not empty; and its token, or [`NO_TOKEN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) id: u32,
}

/// What two neighbours become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merged {
    /// The smallest goes first.
    pub(super) rank: u32,
    pub(super) id: u32,
}

/// Merges; kept between texts for its memory.
#[derive(Debug, Default)]
pub(super) struct Merger {
    places: Vec<Place>,
    queue: BinaryHeap<Reverse<Candidate>>,
}

/// A symbol in the chain of those left. A symbol that was merged into the one before it ends at 0.
#[derive(Clone, Copy, Debug)]
struct Place {
    symbol: Symbol,
    before: Option<usize>,
    after: Option<usize>,
}

/// A pair that may merge, as it was when it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: usize,
    right: usize,
    left_end: usize,
    right_end: usize,
    id: u32,
}

impl Merger {
    /// The symbols that are left when no neighbours merge any more; `pair` tells which do.
    pub(super) fn merge(
        &mut self,
        symbols: impl Iterator<Item = Symbol>,
        pair: impl Fn(Symbol, Symbol) -> Option<Merged>,
    ) -> impl Iterator<Item = Symbol> {
        self.fill(symbols);
        for right in 1..self.places.len() {
            self.consider(Some(right - 1), Some(right), &pair);
        }
        while let Some(Reverse(candidate)) = self.queue.pop() {
            let Candidate { left, right, .. } = candidate;
            // A symbol that merged since ends elsewhere.
            let is_current = self.places[left].symbol.end == candidate.left_end
                && self.places[right].symbol.end == candidate.right_end;
            if is_current {
                self.join(left, right, candidate.id);
                self.consider(self.places[left].before, Some(left), &pair);
                self.consider(Some(left), self.places[left].after, &pair);
            }
        }
        self.places.iter().map(|place| place.symbol).filter(|symbol| symbol.end > 0)
    }

    fn fill(&mut self, symbols: impl Iterator<Item = Symbol>) {
        self.queue.clear();
        self.places.clear();
        self.places.extend(symbols.enumerate().map(|(at, symbol)| Place {
            symbol,
            before: at.checked_sub(1),
            after: Some(at + 1),
        }));
        if let Some(last) = self.places.last_mut() {
            last.after = None;
        }
    }

    fn consider(
        &mut self,
        left: Option<usize>,
        right: Option<usize>,
        pair: impl Fn(Symbol, Symbol) -> Option<Merged>,
    ) {
        let (Some(left), Some(right)) = (left, right) else { return };
        let (first, second) = (self.places[left].symbol, self.places[right].symbol);
        if let Some(Merged { rank, id }) = pair(first, second) {
            let (left_end, right_end) = (first.end, second.end);
            self.queue.push(Reverse(Candidate { rank, left, right, left_end, right_end, id }));
        }
    }

    /// Merges the right symbol into the left one.
    fn join(&mut self, left: usize, right: usize, id: u32) {
        let taken = self.places[right];
        self.places[right].symbol.end = 0;
        self.places[left].symbol.end = taken.symbol.end;
        self.places[left].symbol.id = id;
        self.places[left].after = taken.after;
        if let Some(after) = taken.after {
            self.places[after].before = Some(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The symbols' texts after merging the characters of `text` by a list of texts, the best first.
    fn merged<'a>(text: &'a str, list: &[&str]) -> Vec<&'a str> {
        let symbols = (0..text.len()).map(|start| Symbol { start, end: start + 1, id: NO_TOKEN });
        let pair = |left: Symbol, right: Symbol| {
            let place = list.iter().position(|merged| *merged == &text[left.start..right.end])? as u32;
            Some(Merged { rank: place, id: place })
        };
        Merger::default().merge(symbols, pair).map(|symbol| &text[symbol.start..symbol.end]).collect()
    }

    #[test]
    fn the_best_pair_merges_first() {
        assert_eq!(merged("abc", &["bc", "ab", "abc"]), ["abc"]);
        assert_eq!(merged("abcd", &["bc", "ab", "cd"]), ["a", "bc", "d"]);
    }

    #[test]
    fn the_leftmost_of_equal_pairs_merges_first() {
        assert_eq!(merged("aaaaa", &["aa"]), ["aa", "aa", "a"]);
    }

    #[test]
    fn what_merged_is_not_merged_again_as_it_was() {
        assert_eq!(merged("abab", &["ba", "ab", "aba"]), ["aba", "b"]);
    }

    #[test]
    fn nothing_merges_in_nothing() {
        assert_eq!(merged("", &["a"]), [""; 0]);
    }
}
