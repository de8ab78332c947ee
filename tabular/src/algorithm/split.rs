//! Where to split a node: sums over bins, and the split that gains most.

use super::bins::Bins;
use super::grow::{Item, Limits};

/// What is summed over rows: first and second derivatives of the loss, and how many rows there are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) g: f64,
    pub(super) h: f64,
    pub(super) n: u32,
}

/// A question: bins up to `lower` go left; `upper` is the next one that rows of the node are in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub(super) gain: f64,
    pub(super) column: u32,
    pub(super) lower: u8,
    pub(super) upper: u8,
}

/// What a scan over a column's bins came to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    /// All rows are in one bin.
    Constant,
    /// No split keeps to the limits.
    Nothing,
    Split(Split),
}

/// Sums of one column for nodes of few rows: only the bins that were touched are looked at.
#[derive(Debug)]
pub(super) struct Touched {
    bins: Box<[Sums; 256]>,
    marks: [u64; 4],
}

impl Sums {
    fn add(&mut self, item: &Item) {
        self.g += item.g;
        self.h += item.h;
        self.n += 1;
    }

    pub(super) fn of(items: &[Item]) -> Self {
        let mut sums = Self::default();
        items.iter().for_each(|item| sums.add(item));
        sums
    }

    pub(super) fn less(self, other: Self) -> Self {
        Self { g: self.g - other.g, h: self.h - other.h, n: self.n - other.n }
    }

    /// What the best leaf value saves of the loss, twice.
    fn score(self, l2: f64) -> f64 {
        let below = self.h + l2;
        if below > 0.0 { self.g * self.g / below } else { 0.0 }
    }
}

/// Adds rows to the sums of a column's bins.
pub(super) fn sum(items: &[Item], column: &[u8], into: &mut [Sums]) {
    for item in items {
        into[usize::from(column[item.row as usize])].add(item);
    }
}

impl Touched {
    pub(super) fn new() -> Self {
        Self { bins: Box::new([Sums::default(); 256]), marks: [0; 4] }
    }

    /// The best split of a column.
    pub(super) fn best(
        &mut self,
        items: &[Item],
        bins: &Bins,
        column: u32,
        all: Sums,
        limits: &Limits,
    ) -> Found {
        let of = bins.column(column);
        if items.len() < bins.count(column) {
            for item in items {
                let bin = usize::from(of[item.row as usize]);
                self.bins[bin].add(item);
                self.marks[bin / 64] |= 1 << (bin % 64);
            }
            let sums = &self.bins;
            let found =
                best(marked(self.marks).map(|bin| (bin, sums[usize::from(bin)])), column, all, limits);
            marked(self.marks).for_each(|bin| self.bins[usize::from(bin)] = Sums::default());
            self.marks = [0; 4];
            found
        } else {
            let used = &mut self.bins[..bins.count(column)];
            sum(items, of, used);
            let found = best(filled(used), column, all, limits);
            used.fill(Sums::default());
            found
        }
    }
}

/// The bins that have rows.
pub(super) fn filled(sums: &[Sums]) -> impl Iterator<Item = (u8, Sums)> {
    sums.iter().enumerate().filter(|(_, sums)| sums.n > 0).map(|(bin, sums)| (bin as u8, *sums))
}

fn marked(marks: [u64; 4]) -> impl Iterator<Item = u8> {
    (0u8..4).flat_map(move |word| {
        let mut bits = marks[usize::from(word)];
        std::iter::from_fn(move || {
            let bit = (bits != 0).then(|| bits.trailing_zeros() as u8)?;
            bits &= bits - 1;
            Some(word * 64 + bit)
        })
    })
}

/// The best split over the bins that have rows, in ascending order.
pub(super) fn best(bins: impl Iterator<Item = (u8, Sums)>, column: u32, all: Sums, limits: &Limits) -> Found {
    let mut bins = bins.peekable();
    let whole = all.score(limits.l2);
    let (mut best, mut most) = (Found::Nothing, limits.gain);
    let mut left = Sums::default();
    let mut first = true;
    while let Some((lower, sums)) = bins.next() {
        let Some((upper, _)) = bins.peek() else {
            return if first { Found::Constant } else { best };
        };
        first = false;
        left = Sums { g: left.g + sums.g, h: left.h + sums.h, n: left.n + sums.n };
        let right = all.less(left);
        if left.h < limits.leaf || right.h < limits.leaf {
            continue;
        }
        let gain = left.score(limits.l2) + right.score(limits.l2) - whole;
        if gain > most {
            most = gain;
            best = Found::Split(Split { gain, column, lower, upper: *upper });
        }
    }
    best
}
