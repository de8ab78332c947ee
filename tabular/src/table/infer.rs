//! What the values of a column are: numbers, words, or missing.

use super::Column;

/// What stands for a missing value, spelled exactly so; an empty field does as well.
pub const MISSING: [&str; 12] =
    ["NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "Null", "None", "?", "-"];

/// The largest number that is read, either side of zero: squares of such numbers can still be summed.
pub const LARGEST: f64 = 1e100;

/// What one field holds.
pub(super) enum Field<'a> {
    Missing,
    Number(f64),
    Word(&'a str),
}

/// Reads a field without the spaces around it. A number has a decimal point, if anything, and no thousands separators.
pub(super) fn field(text: &str) -> Field<'_> {
    if text.is_empty() || MISSING.contains(&text) {
        return Field::Missing;
    }
    // Rust would read `inf`, `infinity` and `nan` in any case as numbers.
    let starts = text.bytes().find(|byte| !matches!(byte, b'+' | b'-'));
    let numeric = starts.is_some_and(|byte| byte.is_ascii_digit() || byte == b'.');
    match text.parse::<f64>() {
        Ok(number) if numeric && number.abs() <= LARGEST => Field::Number(number),
        _ => Field::Word(text),
    }
}

/// What is known of a column when all of its fields were seen.
#[derive(Default)]
pub(super) struct Seen {
    numbers: usize,
    words: usize,
    /// The first word and the line it is in.
    word: Option<(String, u64)>,
    /// The first word that would be a number if its comma were a decimal point, and how many there are.
    comma: Option<String>,
    commas: usize,
}

impl Seen {
    pub(super) fn field(&mut self, field: &Field<'_>, line: u64) {
        match field {
            Field::Missing => {}
            Field::Number(_) => self.numbers += 1,
            Field::Word(word) => {
                self.words += 1;
                if self.word.is_none() {
                    self.word = Some((word.chars().take(40).collect(), line));
                }
                if decimal_comma(word) {
                    self.commas += 1;
                    self.comma.get_or_insert_with(|| (*word).to_owned());
                }
            }
        }
    }

    /// An empty column of the fitting type.
    pub(super) fn column(&self, rows: usize) -> Column {
        if self.words == 0 {
            Column::Numbers(Vec::with_capacity(rows))
        } else {
            Column::Words(Vec::with_capacity(rows))
        }
    }

    /// What somebody should know who takes the column for numbers.
    pub(super) fn notes(&self, name: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(example) = self.comma.as_ref().filter(|_| self.commas * 2 > self.words) {
            notes.push(format!(
                "column `{name}` is read as words: {} of its values look like `{example}`; numbers need a decimal point",
                self.commas
            ));
        } else if let Some((word, line)) = self.word.as_ref().filter(|_| self.numbers > self.words) {
            let all = self.numbers + self.words;
            notes.push(format!(
                "column `{name}` is read as words, not numbers: {} of {all} values are not numbers, the first is `{word}` in line {line}",
                self.words
            ));
        }
        notes
    }
}

impl Column {
    pub(super) fn push(&mut self, field: &Field<'_>, text: &str) {
        match (self, field) {
            (Self::Numbers(values), Field::Number(number)) => values.push(*number),
            (Self::Numbers(values), _) => values.push(f64::NAN),
            (Self::Words(values), Field::Missing) => values.push(None),
            (Self::Words(values), _) => values.push(Some(text.to_owned())),
        }
    }
}

/// Whether a word is digits, one comma, digits.
fn decimal_comma(word: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    unsigned.split_once(',').is_some_and(|(whole, part)| digits(whole) && digits(part))
}
