//! Rows dealt into folds.

use std::collections::BTreeMap;

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// The test rows of each fold, in rising order: each row is in one fold, and folds differ by at most one row. If
/// `stratified`, each class is spread evenly over the folds too. The same seed deals the same way.
///
/// `k` is taken as 2 at least and as the number of rows at most; without rows there are no folds.
pub fn folds(outcome: &[f64], k: usize, stratified: bool, seed: u64) -> Vec<Vec<usize>> {
    let k = k.max(2).min(outcome.len());
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut folds = vec![Vec::new(); k];
    let dealt = classes(outcome, stratified).into_iter().flat_map(|mut rows| {
        rows.shuffle(&mut random);
        rows
    });
    // One deal over all classes: where one class ends the next goes on, so that folds stay equally large.
    for (place, row) in dealt.enumerate() {
        folds[place % k].push(row);
    }
    folds.iter_mut().for_each(|fold| fold.sort_unstable());
    folds
}

/// The rows of each class, or all rows as if they were one.
fn classes(outcome: &[f64], stratified: bool) -> Vec<Vec<usize>> {
    if !stratified {
        return vec![(0..outcome.len()).collect()];
    }
    let mut classes: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (row, outcome) in outcome.iter().enumerate() {
        classes.entry(outcome.to_bits()).or_default().push(row);
    }
    classes.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(positives: usize, negatives: usize) -> Vec<f64> {
        let mut outcome = vec![1.0; positives];
        outcome.resize(positives + negatives, 0.0);
        outcome
    }

    #[test]
    fn each_row_is_in_one_fold_and_classes_are_spread_evenly() {
        for (positives, negatives, k) in [(300, 700, 5), (7, 96, 10), (3, 4, 5), (0, 9, 2), (1, 1, 2)] {
            let outcome = outcome(positives, negatives);
            let folds = folds(&outcome, k, true, 7);
            let mut rows: Vec<usize> = folds.concat();
            rows.sort_unstable();
            assert_eq!(rows, (0..outcome.len()).collect::<Vec<_>>());
            let sizes = |count: &dyn Fn(&Vec<usize>) -> usize| {
                let sizes: Vec<usize> = folds.iter().map(count).collect();
                sizes.iter().max().unwrap() - sizes.iter().min().unwrap()
            };
            assert!(sizes(&Vec::len) <= 1);
            assert!(sizes(&|fold| fold.iter().filter(|row| outcome[**row] == 1.0).count()) <= 1);
        }
    }

    #[test]
    fn the_seed_alone_decides_how_rows_are_dealt() {
        let outcome = outcome(40, 60);
        assert_eq!(folds(&outcome, 5, true, 1), folds(&outcome, 5, true, 1));
        assert_ne!(folds(&outcome, 5, true, 1), folds(&outcome, 5, true, 2));
        assert_ne!(folds(&outcome, 5, true, 1), folds(&outcome, 5, false, 1));
    }

    #[test]
    fn there_are_no_empty_folds() {
        assert_eq!(folds(&[], 5, true, 1), Vec::<Vec<usize>>::new());
        assert_eq!(folds(&[1.0], 5, false, 1), [vec![0]]);
        assert_eq!(folds(&[1.0, 0.0, 1.0], 1_000_000_000, true, 1).len(), 3);
        assert_eq!(folds(&[1.5, 2.5, 3.5], 0, false, 1).len(), 2);
    }
}
