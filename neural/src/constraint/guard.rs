//! What a grammar of JSON says badly: texts that it allows but that readers refuse, and ways in which a small
//! model never ends. A number has at most [`DIGITS`] digits before the point, as many after it and
//! [`EXPONENT`] in its exponent (so that it is finite as a double); objects and arrays nest at most [`DEPTH`]
//! deep.

/// Digits before and after a number's point.
const DIGITS: u8 = 24;
/// Digits of an exponent.
const EXPONENT: u8 = 2;
/// How deep objects and arrays nest; readers commonly stop at 128.
pub(super) const DEPTH: u8 = 64;
/// More levels than one token opens: with so many left, depth does not matter to the next token.
const AMPLE: u8 = 16;

/// Where a text stands: enough of JSON's lexical state to know which byte goes too far. Where a grammar
/// leaves no other way (a multiple of 7 that is not yet one), bytes may go too far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Guard {
    place: Place,
    /// Levels that may still be opened.
    room: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Outside,
    String,
    Escape,
    /// In a number, with the digits that may still follow in this part of it.
    Integer(u8),
    Fraction(u8),
    Exponent(u8),
}

impl Default for Guard {
    fn default() -> Self {
        Guard { place: Place::Outside, room: DEPTH }
    }
}

impl Guard {
    /// The state after one more byte, and whether the byte is within the bounds.
    pub(super) fn push(self, byte: u8) -> (Guard, bool) {
        let structural = !matches!(self.place, Place::String | Place::Escape);
        let (place, digits_left) = self.place.push(byte);
        let (room, room_left) = match byte {
            b'{' | b'[' if structural => (self.room.saturating_sub(1), self.room > 0),
            b'}' | b']' if structural => (self.room.saturating_add(1), true),
            _ => (self.room, true),
        };
        (Guard { place, room }, digits_left && room_left)
    }

    /// The state as far as it matters to one token: few enough that sets of tokens can be kept for each.
    pub(super) fn blurred(self) -> Guard {
        Guard { room: self.room.min(AMPLE), ..self }
    }
}

impl Place {
    fn push(self, byte: u8) -> (Place, bool) {
        let place = match (self, byte) {
            (Place::String, b'\\') => Place::Escape,
            (Place::String, b'"') => Place::Outside,
            (Place::String | Place::Escape, _) => Place::String,
            (Place::Integer(left), b'0'..=b'9') => return (Place::Integer(left.saturating_sub(1)), left > 0),
            (Place::Fraction(left), b'0'..=b'9') => {
                return (Place::Fraction(left.saturating_sub(1)), left > 0);
            }
            (Place::Exponent(left), b'0'..=b'9') => {
                return (Place::Exponent(left.saturating_sub(1)), left > 0);
            }
            (Place::Exponent(EXPONENT), b'+' | b'-') => Place::Exponent(EXPONENT),
            (Place::Integer(_), b'.') => Place::Fraction(DIGITS),
            (Place::Integer(_) | Place::Fraction(_), b'e' | b'E') => Place::Exponent(EXPONENT),
            (_, b'0'..=b'9') => Place::Integer(DIGITS - 1),
            (_, b'"') => Place::String,
            _ => Place::Outside,
        };
        (place, true)
    }
}
