//! From a CSV file's bytes to a table, in two passes: the first checks every field and finds each column's type, the
//! second fills the columns.

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::{
    Column, Limits, Table, TableError, delimiter,
    infer::{Seen, field},
};

/// A table, and what was decided in reading it.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) table: Table,
    pub(super) notes: Vec<String>,
}

/// What the first pass found.
struct Survey {
    seen: Vec<Seen>,
    rows: usize,
    /// Per mark for missing values: how many fields were it.
    marks: Vec<(&'static str, usize)>,
    /// Fields with spaces around.
    spaced: usize,
}

/// A file's text after its byte order mark, and how it is to be read.
struct Source<'a> {
    bytes: &'a [u8],
    delimiter: u8,
}

/// Reads a whole file.
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Parsed, TableError> {
    let (text, marked) = text(bytes)?;
    let (delimiter, spoken) = delimiter::detect(text);
    let source = Source { bytes: text, delimiter };
    let names = source.header(limits)?;
    let survey = source.survey(&names, limits)?;
    let mut notes = Vec::new();
    if marked {
        notes.push("the file starts with a UTF-8 byte order mark, which is left out".to_owned());
    }
    if delimiter != b',' {
        notes.push(format!("fields are separated by {spoken}"));
    }
    notes.extend(survey.notes(&names));
    let table = source.fill(names, &survey);
    Ok(Parsed { table, notes })
}

/// The line of a file that a row of its table starts in; none if there is no such row.
pub(super) fn line_of(bytes: &[u8], row: usize) -> Option<u64> {
    let (text, _) = text(bytes).ok()?;
    let (delimiter, _) = delimiter::detect(text);
    let source = Source { bytes: text, delimiter };
    let record = source.reader().into_byte_records().flatten().nth(row.checked_add(1)?)?;
    Some(source.line(&record))
}

/// The text after a UTF-8 byte order mark, and whether there was one; other encodings' marks are named.
fn text(bytes: &[u8]) -> Result<(&[u8], bool), TableError> {
    let utf16 = || TableError::new("is UTF-16 text; save it as UTF-8").at_line(1);
    // Two bytes each for letters of the header: every other byte is zero.
    let start = bytes.get(..64.min(bytes.len() & !1)).unwrap_or_default();
    let zeros = |odd: usize| start.chunks_exact(2).filter(|pair| pair.get(odd) == Some(&0)).count() * 4;
    let wide = start.len() >= 4 && (zeros(0).max(zeros(1)) > start.len());
    match bytes {
        [] => Err(TableError::new("the file is empty")),
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
            Err(TableError::new("is UTF-32 text; save it as UTF-8").at_line(1))
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(utf16()),
        _ if wide => Err(utf16()),
        [b'P', b'K', 3, 4, ..] => Err(TableError::new("is a spreadsheet or ZIP file; save the table as CSV")),
        [0x1f, 0x8b, ..] => Err(TableError::new("is compressed with gzip; unpack it first")),
        [0xef, 0xbb, 0xbf, rest @ ..] => Ok((rest, true)),
        _ => Ok((bytes, false)),
    }
}

impl Source<'_> {
    fn reader(&self) -> Reader<&[u8]> {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(self.delimiter).has_headers(false).flexible(true);
        builder.from_reader(self.bytes)
    }

    /// The names of the columns: each there, and each another.
    fn header(&self, limits: &Limits) -> Result<Vec<String>, TableError> {
        let mut record = ByteRecord::new();
        if !self.next(&mut self.reader(), &mut record)? {
            return Err(TableError::new("the file has only blank lines"));
        }
        let line = self.line(&record);
        if record.len() > limits.columns {
            let (found, most) = (record.len(), limits.columns);
            return Err(TableError::new(format!("has {found} columns; {most} are the most")).at_line(line));
        }
        let mut names: Vec<String> = Vec::with_capacity(record.len());
        for (at, bytes) in record.iter().enumerate() {
            let place = |error: TableError| error.at_line(line).in_column_number(at);
            let name = checked(bytes, limits).map_err(place)?.trim();
            if name.is_empty() {
                return Err(place(TableError::new("the header has no name here; every column needs one")));
            }
            if let Some(first) = names.iter().position(|n| n == name) {
                let first = first + 1;
                let what =
                    format!("the header names `{name}` twice, in column {first} as well; names must differ");
                return Err(place(TableError::new(what)));
            }
            names.push(name.to_owned());
        }
        Ok(names)
    }

    /// Looks at every field.
    fn survey(&self, names: &[String], limits: &Limits) -> Result<Survey, TableError> {
        let mut survey = Survey { seen: Vec::new(), rows: 0, marks: Vec::new(), spaced: 0 };
        survey.seen.resize_with(names.len(), Seen::default);
        let (mut reader, mut record) = (self.reader(), ByteRecord::new());
        self.next(&mut reader, &mut record)?;
        let mut line = Line { at: 0, number: 1 };
        while self.next(&mut reader, &mut record)? {
            survey.rows += 1;
            line.advance(self.bytes, self.start(&record));
            self.bounded(&survey, names, limits, &record)?;
            self.whole(names, &record)?;
            for ((bytes, name), seen) in record.iter().zip(names).zip(&mut survey.seen) {
                let text = checked(bytes, limits)
                    .map_err(|error| error.at_line(self.line(&record)).in_column(name))?;
                let trimmed = text.trim();
                survey.spaced += usize::from(trimmed.len() < text.len() && !trimmed.is_empty());
                mark(&mut survey.marks, trimmed);
                seen.field(&field(trimmed), line.number);
            }
        }
        if survey.rows == 0 {
            return Err(TableError::new("the file has a header but no rows"));
        }
        Ok(survey)
    }

    fn bounded(
        &self,
        survey: &Survey,
        names: &[String],
        limits: &Limits,
        record: &ByteRecord,
    ) -> Result<(), TableError> {
        let rows = limits.rows.min(limits.cells / names.len().max(1));
        if survey.rows <= rows {
            return Ok(());
        }
        let columns = names.len();
        let what = format!("there are more than {rows} rows, the most that is read with {columns} columns");
        Err(TableError::new(what).at_line(self.line(record)))
    }

    /// Refuses a row with another number of fields than the header.
    fn whole(&self, names: &[String], record: &ByteRecord) -> Result<(), TableError> {
        let (found, wanted) = (record.len(), names.len());
        if found == wanted {
            return Ok(());
        }
        let what = format!("the row has {found} fields, but the header has {wanted}");
        let error = TableError::new(what).at_line(self.line(record));
        Err(match names.get(found) {
            Some(name) => error.in_column(name),
            None => error.in_column_number(wanted),
        })
    }

    /// The second pass: nothing can be wrong any more.
    fn fill(&self, names: Vec<String>, survey: &Survey) -> Table {
        let mut columns: Vec<Column> = survey.seen.iter().map(|seen| seen.column(survey.rows)).collect();
        let mut records = self.reader().into_byte_records().flatten();
        records.next();
        for record in records {
            for (bytes, column) in record.iter().zip(&mut columns) {
                let text = std::str::from_utf8(bytes).unwrap_or_default().trim();
                column.push(&field(text), text);
            }
        }
        Table { names, columns, rows: survey.rows }
    }

    /// The next record; false at the end.
    fn next(&self, reader: &mut Reader<&[u8]>, record: &mut ByteRecord) -> Result<bool, TableError> {
        let more = reader.read_byte_record(record);
        let more = more.map_err(|error| TableError::new(format!("is not CSV: {error}")))?;
        let end = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        if more && end >= self.bytes.len() {
            self.closed(record)?;
        }
        Ok(more)
    }

    /// Refuses a last record whose quote is never closed: the rest of the file went into one field.
    fn closed(&self, record: &ByteRecord) -> Result<(), TableError> {
        let start = self.start(record);
        let rest = self.bytes.get(start..).unwrap_or_default();
        match delimiter::open_quote(rest, self.delimiter) {
            None => Ok(()),
            Some((field, at)) => {
                let error = TableError::new("a quote opens here that is never closed");
                Err(error.at_line(self.line_at(start + at)).in_column_number(field))
            }
        }
    }

    /// Where a record starts, after the blank lines before it.
    fn start(&self, record: &ByteRecord) -> usize {
        let at =
            record.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(usize::MAX));
        let rest = self.bytes.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count()
    }

    /// The line that a record starts in, from 1.
    fn line(&self, record: &ByteRecord) -> u64 {
        self.line_at(self.start(record))
    }

    /// The line of a byte, from 1.
    fn line_at(&self, at: usize) -> u64 {
        let mut line = Line { at: 0, number: 1 };
        line.advance(self.bytes, at);
        line.number
    }
}

/// A place in a text, and its line. Lines end in `\n`, `\r\n` or `\r`.
struct Line {
    at: usize,
    number: u64,
}

impl Line {
    fn advance(&mut self, bytes: &[u8], to: usize) {
        let passed = bytes.get(self.at..to).unwrap_or_default();
        let ends = passed.iter().zip(self.at + 1..).filter(|(byte, next)| match byte {
            b'\n' => true,
            b'\r' => bytes.get(*next) != Some(&b'\n'),
            _ => false,
        });
        self.number += ends.count() as u64;
        self.at = to;
    }
}

/// A field that is text, of bounded length.
fn checked<'a>(bytes: &'a [u8], limits: &Limits) -> Result<&'a str, TableError> {
    if bytes.len() > limits.field {
        let what = format!(
            "the field has {} bytes, {} are the most; is a quote not closed?",
            bytes.len(),
            limits.field
        );
        return Err(TableError::new(what));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        TableError::new(format!("byte 0x{byte:02x} is not UTF-8 text; save the file as UTF-8"))
    })?;
    if bytes.contains(&0) {
        return Err(TableError::new("the field holds a NUL byte; the file is not text, or is damaged"));
    }
    Ok(text)
}

/// Counts a mark for a missing value.
fn mark(marks: &mut Vec<(&'static str, usize)>, text: &str) {
    let Some(known) = super::MISSING.into_iter().find(|known| *known == text) else { return };
    match marks.iter_mut().find(|(seen, _)| *seen == known) {
        Some((_, count)) => *count += 1,
        None => marks.push((known, 1)),
    }
}

impl Survey {
    fn notes(&self, names: &[String]) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.marks.is_empty() {
            let marks: Vec<_> =
                self.marks.iter().map(|(mark, count)| format!("`{mark}` ({count})")).collect();
            notes.push(format!("these are read as missing values: {}", marks.join(", ")));
        }
        if self.spaced > 0 {
            notes.push(format!("spaces around {} fields are left out", self.spaced));
        }
        if names.iter().all(|name| name.parse::<f64>().is_ok()) {
            notes.push("all column names are numbers: is the header missing?".to_owned());
        }
        notes.extend(self.seen.iter().zip(names).flat_map(|(seen, name)| seen.notes(name)));
        notes
    }
}
