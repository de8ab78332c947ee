//! Why a file or a table is refused, and where in it.

use std::fmt;

/// Why a file or a table is refused. Shown as `file.csv: line 3, column `age`: what is wrong`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableError {
    what: String,
    file: Option<String>,
    place: Option<Place>,
    column: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// From 1, the header included.
    Line(u64),
    /// From 1, without the header.
    Row(usize),
}

impl TableError {
    /// Something is wrong; where is said by the other functions.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), file: None, place: None, column: None }
    }

    /// In this file.
    #[must_use]
    pub fn in_file(mut self, file: &str) -> Self {
        self.file = Some(file.into());
        self
    }

    /// In this line of the file, from 1.
    #[must_use]
    pub fn at_line(mut self, line: u64) -> Self {
        self.place = Some(Place::Line(line));
        self
    }

    /// In this row of the table, from 0; shown from 1.
    #[must_use]
    pub fn at_row(mut self, row: usize) -> Self {
        self.place = Some(Place::Row(row.saturating_add(1)));
        self
    }

    /// About rows that were selected by these numbers, from 0: told of the row that was selected.
    #[must_use]
    pub fn selected(self, rows: &[usize]) -> Self {
        match self.row().and_then(|at| rows.get(at)) {
            Some(row) => self.at_row(*row),
            None => self,
        }
    }

    /// The row of the table, from 0, if it is about one.
    pub(super) fn row(&self) -> Option<usize> {
        match self.place {
            Some(Place::Row(row)) => row.checked_sub(1),
            Some(Place::Line(_)) | None => None,
        }
    }

    /// In this column.
    #[must_use]
    pub fn in_column(mut self, column: &str) -> Self {
        self.column = Some(format!("`{column}`"));
        self
    }

    /// In a column without a name of use, counted from 0; shown from 1.
    #[must_use]
    pub fn in_column_number(mut self, column: usize) -> Self {
        self.column = Some(column.saturating_add(1).to_string());
        self
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        let place = self.place.as_ref().map(|place| match place {
            Place::Line(line) => format!("line {line}"),
            Place::Row(row) => format!("row {row}"),
        });
        let column = self.column.as_ref().map(|column| format!("column {column}"));
        match (place, column) {
            (Some(place), Some(column)) => write!(f, "{place}, {column}: ")?,
            (Some(one), None) | (None, Some(one)) => write!(f, "{one}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for TableError {}
