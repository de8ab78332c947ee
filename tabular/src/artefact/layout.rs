//! The layout of a model file: JSON that people and line-based tools can read. Objects are spread over lines; of an array of
//! arrays or objects each element has one line; an array of numbers or words has one line as a whole.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// The largest whole number that is written without a decimal point; every one up to it is exact in an `f64`.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// A value as JSON text in this layout. Numbers are the shortest that read back as the same `f64`.
///
/// # Errors
/// A value that cannot be JSON.
pub(super) fn to_vec<T: Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut text, Layout::default()))?;
    Ok(text)
}

#[derive(Default)]
struct Layout {
    /// How many objects that are spread over lines are open.
    indent: usize,
    /// How many arrays are open.
    arrays: usize,
    /// Whether an element of the array just begun or continued is to come.
    element: bool,
    /// For each open array: whether it has an element on a line of its own.
    broken: Vec<bool>,
}

impl Layout {
    fn new_line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.indent).try_for_each(|_| writer.write_all(b" "))
    }

    /// An array or object begins: on a line of its own if it is an element of an outermost array.
    fn container<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if std::mem::take(&mut self.element) && self.arrays == 1 {
            if let Some(broken) = self.broken.last_mut() {
                *broken = true;
            }
            self.new_line(writer)?;
        }
        Ok(())
    }
}

impl Formatter for Layout {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let negative_zero = value == 0.0 && value.is_sign_negative();
        if value.fract() == 0.0 && value.abs() <= WHOLE && !negative_zero {
            return write!(writer, "{value:.0}");
        }
        serde_json::ser::CompactFormatter.write_f64(writer, value)
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.container(writer)?;
        self.arrays += 1;
        self.broken.push(false);
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.arrays = self.arrays.saturating_sub(1);
        self.element = false;
        if self.broken.pop() == Some(true) {
            self.new_line(writer)?;
        }
        writer.write_all(b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.element = true;
        if first { Ok(()) } else { writer.write_all(b",") }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.container(writer)?;
        self.indent += usize::from(self.arrays == 0);
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.element = false;
        if self.arrays == 0 {
            self.indent = self.indent.saturating_sub(1);
            self.new_line(writer)?;
        }
        writer.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        if self.arrays == 0 { self.new_line(writer) } else { Ok(()) }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.element = false;
        writer.write_all(if self.arrays == 0 { b": " } else { b":" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::to_vec;

    #[test]
    fn numbers_stay_on_a_line_and_records_get_one_each() {
        let value =
            json!({"a": [1.0, 0.5], "b": {"c": [{"d": [1, [2]]}, {"d": []}], "e": []}, "f": [[1], [2]]});
        let text = String::from_utf8(to_vec(&value).unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let right = [
            "{",
            "\"a\": [1,0.5],",
            "\"b\": {",
            "\"c\": [",
            "{\"d\":[1,[2]]},",
            "{\"d\":[]}",
            "],",
            "\"e\": []",
            "},",
            "\"f\": [",
            "[1],",
            "[2]",
            "]",
            "}",
        ];
        assert_eq!(lines, right);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value_with_whole_numbers(value)
        );
    }

    fn value_with_whole_numbers(mut value: serde_json::Value) -> serde_json::Value {
        value["a"][0] = json!(1);
        value
    }

    #[test]
    fn every_number_reads_back_bit_by_bit() {
        let numbers =
            [0.1, -0.0, 0.0, 1e300, 5e-324, f64::MAX, 1.0 / 3.0, 9_007_199_254_740_993.0, -12.0, 1e16];
        let text = to_vec(&numbers).unwrap();
        let back: Vec<f64> = serde_json::from_slice(&text).unwrap();
        for (number, back) in numbers.iter().zip(&back) {
            assert_eq!(number.to_bits(), back.to_bits(), "{number}");
        }
        assert!(String::from_utf8(text).unwrap().starts_with("[0.1,-0.0,0,"));
    }
}
