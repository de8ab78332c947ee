//! Numbers in rows: what algorithms learn from.

/// A table of finite numbers, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// `rows * width` numbers; row `r` is `data[r * width..(r + 1) * width]`.
    data: Vec<f64>,
    width: usize,
}

impl Matrix {
    /// A matrix of rows that are `width` numbers wide; numbers beyond the last whole row are left out.
    pub fn new(mut data: Vec<f64>, width: usize) -> Self {
        let whole = data.len().checked_rem(width).map_or(0, |rest| data.len() - rest);
        data.truncate(whole);
        Self { data, width }
    }

    /// How many numbers a row has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.data.len().checked_div(self.width).unwrap_or(0)
    }

    /// A row; empty where there is none.
    pub fn row(&self, row: usize) -> &[f64] {
        let start = row.saturating_mul(self.width);
        self.data.get(start..start.saturating_add(self.width)).unwrap_or_default()
    }

    /// Each row in turn.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        // A matrix without columns has no rows.
        self.data.chunks_exact(self.width.max(1))
    }

    /// The given rows, in their order.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let data = rows.iter().flat_map(|row| self.row(*row).iter().copied()).collect();
        Self { data, width: self.width }
    }
}
