use super::*;
use crate::metrics::{best_f1, brier, ks, log_loss, pr_auc, r2, rmse, roc_auc};

/// Outcomes and scores that have something to do with one another, in a fixed order.
fn made(rows: u32) -> (Vec<f64>, Vec<f64>) {
    let noise = |row: u32| f64::from(row.wrapping_mul(2_654_435_761) >> 16) / 65_536.0;
    let outcome: Vec<f64> = (0..rows).map(|row| f64::from(u8::from(noise(row * 3 + 1) < 0.3))).collect();
    let scores =
        outcome.iter().zip(0..).map(|(outcome, row)| (0.3 * outcome + 0.7 * noise(row)).clamp(0.0, 1.0));
    let scores = scores.collect();
    (outcome, scores)
}

fn scored<'a>(outcome: &'a [f64], scores: &'a [f64], groups: &'a [(String, Vec<String>)]) -> Scored<'a> {
    Scored { outcome, scores, work: Work::Classes, groups }
}

#[test]
fn an_evaluation_holds_the_figures_of_its_rows_with_intervals_around_them() {
    let (outcome, scores) = made(800);
    let evaluation = evaluate(&scored(&outcome, &scores, &[]), &EvalOptions::default());
    let classes = evaluation.classes().unwrap();
    for (estimate, figure) in [
        (classes.roc_auc, roc_auc(&outcome, &scores)),
        (classes.pr_auc, pr_auc(&outcome, &scores)),
        (classes.ks, ks(&outcome, &scores)),
        (classes.log_loss, log_loss(&outcome, &scores)),
        (classes.brier, brier(&outcome, &scores)),
        (classes.accuracy, classes.confusion.accuracy()),
        (classes.precision, classes.confusion.precision()),
        (classes.recall, classes.confusion.recall()),
        (classes.f1, classes.confusion.f1()),
    ] {
        let (estimate, figure) = (estimate.unwrap(), figure.unwrap());
        let interval = estimate.interval.unwrap();
        assert!((estimate.value - figure).abs() < 1e-12);
        assert!(interval.low < figure && figure < interval.high, "{estimate:?}");
    }
    assert_eq!((evaluation.rows, evaluation.left_out, evaluation.resamples), (800, 0, 1000));
    assert_eq!(classes.best_f1, best_f1(&outcome, &scores));
    assert_eq!(evaluation.main(), classes.roc_auc);
}

#[test]
fn the_interval_of_an_accuracy_is_as_wide_as_the_binomial_says() {
    let (outcome, scores) = made(900);
    let accuracy =
        evaluate(&scored(&outcome, &scores, &[]), &EvalOptions::default()).classes().unwrap().accuracy;
    let Some(Estimate { value, interval: Some(interval) }) = accuracy else { panic!("{accuracy:?}") };
    let width = 2.0 * 1.96 * (value * (1.0 - value) / 900.0).sqrt();
    assert!(((interval.high - interval.low) / width - 1.0).abs() < 0.15, "{interval:?} {width}");
}

#[test]
fn the_same_seed_gives_the_same_evaluation_and_it_survives_json() {
    let (outcome, scores) = made(150);
    let groups = [("g".to_owned(), (0..150).map(|row| format!("{}", row % 3)).collect())];
    let rows = scored(&outcome, &scores, &groups);
    let options = EvalOptions {
        costs: Some(Costs { false_positive: 1.0, false_negative: 5.0 }),
        binning: Binning::Quantile,
        ..EvalOptions::default()
    };
    let evaluation = evaluate(&rows, &options);
    assert!(evaluation == evaluate(&rows, &options));
    assert!(evaluation != evaluate(&rows, &EvalOptions { seed: 2, ..options }));
    let text = serde_json::to_string(&evaluation).unwrap();
    assert!(serde_json::from_str::<Evaluation>(&text).unwrap() == evaluation);
}

#[test]
fn rows_without_score_or_outcome_are_counted_and_change_no_figure() {
    let (mut outcome, mut scores) = made(100);
    let whole = evaluate(&scored(&outcome, &scores, &[]), &EvalOptions::default());
    outcome.extend([1.0, f64::NAN, 2.0, 0.0]);
    scores.extend([f64::NAN, 0.5, 0.5]);
    let names = (0..104).map(|row| if row < 100 { "a" } else { "b" }.to_owned()).collect();
    let groups = [("g".to_owned(), names)];
    let more = evaluate(&scored(&outcome, &scores, &groups), &EvalOptions::default());
    assert_eq!((more.rows, more.left_out), (100, 4));
    assert_eq!(more.figures, whole.figures);
    let group = &more.groups[0].groups[1];
    assert_eq!((group.name.as_str(), group.rows, group.left_out, group.small), ("b", 0, 4, true));
    assert_eq!(group.classes().unwrap().selection_rate, None);
}

#[test]
fn few_rows_or_one_class_leave_figures_out_instead_of_inventing_them() {
    let cases: [(&[f64], &[f64]); 4] =
        [(&[], &[]), (&[1.0], &[0.5]), (&[0.0, 0.0], &[0.2, 0.9]), (&[1.0, 1.0], &[3.5, -2.0])];
    for (outcome, scores) in cases {
        let evaluation = evaluate(&scored(outcome, scores, &[]), &EvalOptions::default());
        let classes = evaluation.classes().unwrap();
        assert_eq!((classes.roc_auc, classes.ks, classes.roc.len()), (None, None, 0));
        assert_eq!(
            serde_json::from_str::<Evaluation>(&serde_json::to_string(&evaluation).unwrap()).unwrap(),
            evaluation
        );
    }
    let beyond = evaluate(&scored(&[1.0, 0.0], &[3.5, -2.0], &[]), &EvalOptions::default());
    let classes = beyond.classes().unwrap();
    assert_eq!((classes.log_loss, classes.brier, &classes.calibration), (None, None, &None));
    assert_eq!(classes.roc_auc.map(|auc| auc.value), Some(1.0));
}

#[test]
fn costs_choose_a_threshold_and_say_what_the_given_one_costs() {
    let (outcome, scores) = made(300);
    let costs = Costs { false_positive: 1.0, false_negative: 5.0 };
    let options = EvalOptions { costs: Some(costs), ..EvalOptions::default() };
    let evaluation = evaluate(&scored(&outcome, &scores, &[]), &options);
    let classes = evaluation.classes().unwrap();
    let choice = classes.costs.unwrap();
    assert_eq!(Some(choice.at_threshold), costs.mean(&classes.confusion));
    assert!(choice.cheapest.value <= choice.at_threshold);
    assert!(choice.cheapest.threshold < 0.5);
}

/// A sensitive column.
type Groups = [(String, Vec<String>); 1];

/// 100 rows of "a" of which 20 score high, 50 of "b" of which 20 do, and 2 of "c" of which none does.
fn three_groups() -> (Vec<f64>, Vec<f64>, Groups) {
    let (mut outcome, mut scores, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (name, rows, high) in [("a", 100, 20), ("b", 50, 20), ("c", 2, 0)] {
        for row in 0..rows {
            names.push(name.to_owned());
            scores.push(if row < high { 0.8 } else { 0.2 });
            outcome.push(f64::from(u8::from(row % 4 == 0)));
        }
    }
    (outcome, scores, [("g".to_owned(), names)])
}

#[test]
fn impact_ratios_compare_favourable_rates_with_the_most_favoured_group_that_is_not_small() {
    let (outcome, scores, groups) = three_groups();
    let rows = scored(&outcome, &scores, &groups);
    let adverse = &evaluate(&rows, &EvalOptions::default()).groups[0];
    assert_eq!((adverse.column.as_str(), adverse.reference.as_deref()), ("g", Some("a")));
    let figures: Vec<&ClassGroup> = adverse.groups.iter().filter_map(Group::classes).collect();
    let ratios: Vec<f64> = figures.iter().filter_map(|group| group.impact_ratio).collect();
    assert_eq!(ratios, [1.0, 0.6 / 0.8, 1.0 / 0.8]);
    let found: Vec<Option<bool>> = figures.iter().map(|group| group.adverse_impact()).collect();
    assert_eq!(found, [Some(false), Some(true), Some(false)]);
    assert_eq!(adverse.groups.iter().map(|group| group.small).collect::<Vec<_>>(), [false, false, true]);
    let favourable = EvalOptions { positive: Positive::Favourable, ..EvalOptions::default() };
    let favourable = &evaluate(&rows, &favourable).groups[0];
    assert_eq!(favourable.reference.as_deref(), Some("b"));
    let ratios = favourable.groups.iter().filter_map(|group| group.classes()?.impact_ratio);
    assert_eq!(ratios.collect::<Vec<_>>(), [0.2 / 0.4, 1.0, 0.0]);
}

#[test]
fn each_group_has_the_figures_of_its_own_rows() {
    let (outcome, scores, groups) = three_groups();
    let grouping = &evaluate(&scored(&outcome, &scores, &groups), &EvalOptions::default()).groups[0];
    let group = grouping.groups[1].classes().unwrap();
    let rows = 100..150;
    assert_eq!(group.roc_auc.map(|auc| auc.value), roc_auc(&outcome[rows.clone()], &scores[rows]));
    assert_eq!(group.confusion.rows(), 50);
    assert_eq!(group.true_positive_rate, Some(5.0 / 13.0));
    assert_eq!(group.false_positive_rate, Some(15.0 / 37.0));
    // scipy's binomtest(20, 50).proportion_ci(method="wilson")
    let interval = group.selection_rate.and_then(|rate| rate.interval).unwrap();
    assert!(
        (interval.low - 0.276_083_897).abs() < 1e-8 && (interval.high - 0.538_185_622).abs() < 1e-8,
        "{interval:?}"
    );
}

#[test]
fn a_ratio_of_exactly_four_fifths_is_no_adverse_impact() {
    let names = (0..200).map(|row| if row < 100 { "a" } else { "b" }.to_owned()).collect();
    let scores: Vec<f64> =
        (0..200).map(|row| if row < 10 || (100..128).contains(&row) { 0.9 } else { 0.1 }).collect();
    let outcome: Vec<f64> = (0..200).map(|row| f64::from(row % 2)).collect();
    let groups = [("g".to_owned(), names)];
    let grouping = &evaluate(&scored(&outcome, &scores, &groups), &EvalOptions::default()).groups[0];
    let other =
        grouping.groups.iter().filter_map(Group::classes).find(|group| group.impact_ratio != Some(1.0));
    assert_eq!(other.and_then(ClassGroup::adverse_impact), Some(false), "{other:?}");
}

#[test]
fn numbers_have_figures_too_and_groups_say_in_which_direction_they_err() {
    let outcome: Vec<f64> = (0..60).map(f64::from).collect();
    let scores: Vec<f64> =
        (0..60).map(|row| f64::from(row) + if row % 2 == 0 { 3.0 } else { -1.0 }).collect();
    let names = (0..60).map(|row| if row % 2 == 0 { "even" } else { "odd" }.to_owned()).collect();
    let groups = [("g".to_owned(), names)];
    let rows = Scored { work: Work::Numbers, ..scored(&outcome, &scores, &groups) };
    let evaluation = evaluate(&rows, &EvalOptions::default());
    let numbers = evaluation.numbers().unwrap();
    let value = |estimate: Option<Estimate>| estimate.map(|estimate| estimate.value);
    assert!((value(numbers.rmse).unwrap() - rmse(&outcome, &scores).unwrap()).abs() < 1e-12);
    assert!((value(numbers.r2).unwrap() - r2(&outcome, &scores).unwrap()).abs() < 1e-12);
    assert_eq!(numbers.bins.len(), 10);
    let biases: Vec<Option<f64>> = evaluation.groups[0]
        .groups
        .iter()
        .map(|group| match &group.figures {
            GroupFigures::Numbers(figures) => figures.bias,
            GroupFigures::Classes(_) => None,
        })
        .collect();
    assert_eq!(biases, [Some(3.0), Some(-1.0)]);
    let empty = evaluate(&Scored { outcome: &[], scores: &[], groups: &[], ..rows }, &EvalOptions::default());
    assert_eq!(empty.main(), None);
}

#[test]
fn very_many_rows_are_drawn_less_often_and_the_evaluation_says_so() {
    assert_eq!(
        [0, 60_000, 600_000, 1_000_000_000].map(|rows| affordable(1000, rows)),
        [1000, 1000, 100, 100]
    );
    assert_eq!(affordable(0, 10), 0);
}
