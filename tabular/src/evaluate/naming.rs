//! Groups out of a sensitive column's values.

use std::collections::{BTreeMap, BTreeSet};

use crate::metrics::quantile;

/// Where a value is missing.
const MISSING: &str = "(missing)";
/// Where a value is none of the most frequent ones.
const OTHERS: &str = "(others)";
/// How many words may each be a group; of more, the most frequent are and the rest is one group.
const WORDS: usize = 20;
/// How many numbers may each be a group; more are put into four bands of about equally many rows.
const NUMBERS: usize = 6;

/// The group of each row, out of words: the word, `(missing)`, or beyond 20 different words `(others)` for the rarer.
pub fn group_names(words: &[Option<String>]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for word in words.iter().flatten() {
        *counts.entry(word).or_default() += 1;
    }
    let mut ranked: Vec<(&str, usize)> = counts.into_iter().collect();
    ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let kept = if ranked.len() > WORDS { WORDS - 1 } else { ranked.len() };
    let kept: BTreeSet<&str> = ranked.into_iter().take(kept).map(|(word, _)| word).collect();
    let name = |word: &Option<String>| match word.as_deref() {
        Some(word) if kept.contains(word) => word.to_owned(),
        Some(_) => OTHERS.to_owned(),
        None => MISSING.to_owned(),
    };
    words.iter().map(name).collect()
}

/// The group of each row, out of numbers: the number, `(missing)`, or beyond 6 different numbers a band like `26 to 33`.
pub fn group_numbers(numbers: &[f64]) -> Vec<String> {
    let mut sorted: Vec<f64> = numbers.iter().copied().filter(|number| number.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let mut distinct = sorted.clone();
    distinct.dedup();
    let bands = if distinct.len() > NUMBERS { bands(&sorted, &distinct) } else { single(&distinct) };
    let name = |number: &f64| {
        let band = bands.partition_point(|(_, high)| high < number);
        bands.get(band).filter(|_| number.is_finite()).map_or(MISSING.to_owned(), |band| label(*band))
    };
    numbers.iter().map(name).collect()
}

fn single(distinct: &[f64]) -> Vec<(f64, f64)> {
    distinct.iter().map(|number| (*number, *number)).collect()
}

/// The lowest and the highest number of each quarter; equal numbers are in one band.
fn bands(sorted: &[f64], distinct: &[f64]) -> Vec<(f64, f64)> {
    let edges = [0.25, 0.5, 0.75].map(|part| quantile(sorted, part));
    let mut bands: [Option<(f64, f64)>; 4] = [None; 4];
    for number in distinct {
        let band = &mut bands[edges.partition_point(|edge| edge < number)];
        *band = Some((band.map_or(*number, |(low, _)| low), *number));
    }
    bands.into_iter().flatten().collect()
}

fn label((low, high): (f64, f64)) -> String {
    if low == high { low.to_string() } else { format!("{low} to {high}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_groups_by_themselves() {
        let words = [Some("b".to_owned()), None, Some("a".to_owned())];
        assert_eq!(group_names(&words), ["b", "(missing)", "a"]);
        assert_eq!(group_numbers(&[2.0, f64::NAN, 1.0, 2.0]), ["2", "(missing)", "1", "2"]);
        assert_eq!(group_numbers(&[]), Vec::<String>::new());
    }

    #[test]
    fn many_numbers_become_four_bands_named_by_their_lowest_and_highest() {
        let ages: Vec<f64> = (19..=58).map(f64::from).collect();
        let names: BTreeSet<String> = group_numbers(&ages).into_iter().collect();
        let names: Vec<String> = names.into_iter().collect();
        assert_eq!(names, ["19 to 28", "29 to 38", "39 to 48", "49 to 58"]);
    }

    #[test]
    fn many_words_keep_the_most_frequent_and_name_the_rest_others() {
        let words: Vec<Option<String>> =
            (0..30).flat_map(|word| vec![Some(format!("w{word:02}")); 30 - word]).collect();
        let names = group_names(&words);
        let distinct: BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), 20);
        assert_eq!(names.iter().filter(|name| *name == "(others)").count(), (1..=11).sum::<usize>());
    }
}
