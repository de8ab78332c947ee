//! Every figure beside what scikit-learn gave: `golden.json`, written by `golden.py`.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    classes: Vec<ClassCase>,
    numbers: Vec<NumberCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassCase {
    name: String,
    outcome: Vec<f64>,
    scores: Vec<f64>,
    threshold: f64,
    roc_auc: Option<f64>,
    pr_auc: Option<f64>,
    ks: Option<f64>,
    log_loss: Option<f64>,
    brier: Option<f64>,
    confusion: Confusion,
    accuracy: Option<f64>,
    precision: Option<f64>,
    recall: Option<f64>,
    f1: Option<f64>,
    roc: Option<Vec<(f64, f64, Option<f64>)>>,
    pr: Option<Vec<(f64, f64, Option<f64>)>>,
    width_10: Option<Reliability>,
    width_7: Option<Reliability>,
    quantile_10: Option<Reliability>,
    quantile_3: Option<Reliability>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reliability {
    rows: Vec<u64>,
    mean_score: Vec<f64>,
    mean_outcome: Vec<f64>,
    error: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberCase {
    name: String,
    outcome: Vec<f64>,
    scores: Vec<f64>,
    rmse: Option<f64>,
    mae: Option<f64>,
    r2: Option<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden.json")).unwrap()
}

/// 1e-6 at most, and less where a figure is small.
fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0)
}

#[track_caller]
fn same(what: &str, case: &str, ours: Option<f64>, theirs: Option<f64>) {
    let same = match (ours, theirs) {
        (Some(ours), Some(theirs)) => close(ours, theirs),
        (None, None) => true,
        _ => false,
    };
    assert!(same, "{what} of {case}: {ours:?}, scikit-learn {theirs:?}");
}

#[track_caller]
fn all_same(what: &str, case: &str, ours: &[f64], theirs: &[f64]) {
    let same =
        ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| close(*ours, *theirs));
    assert!(same, "{what} of {case}: {ours:?}, scikit-learn {theirs:?}");
}

#[test]
fn figures_of_classes_equal_those_of_scikit_learn() {
    for case in golden().classes {
        let (name, y, s) = (&case.name, &case.outcome, &case.scores);
        same("roc_auc", name, roc_auc(y, s), case.roc_auc);
        same("pr_auc", name, pr_auc(y, s), case.pr_auc);
        same("ks", name, ks(y, s), case.ks);
        same("log_loss", name, log_loss(y, s), case.log_loss);
        same("brier", name, brier(y, s), case.brier);
        let counts = confusion(y, s, case.threshold).unwrap();
        assert_eq!(counts, case.confusion, "{name}");
        assert_eq!(Confusion::at(&Ranking::new(y, s).unwrap(), case.threshold), counts, "{name}");
        same("accuracy", name, counts.accuracy(), case.accuracy);
        same("precision", name, counts.precision(), case.precision);
        same("recall", name, counts.recall(), case.recall);
        same("f1", name, counts.f1(), case.f1);
    }
}

#[test]
fn curves_equal_those_of_scikit_learn() {
    for case in golden().classes {
        let (Some(roc), Some(pr)) = (&case.roc, &case.pr) else { continue };
        let ours = roc_curve(&case.outcome, &case.scores).unwrap();
        let ours =
            ours.iter().map(|point| (point.false_positive_rate, point.true_positive_rate, point.threshold));
        same_points(&case.name, &ours.collect::<Vec<_>>(), roc);
        let ours = pr_curve(&case.outcome, &case.scores).unwrap();
        let ours = ours.iter().map(|point| (point.recall, point.precision, point.threshold));
        same_points(&case.name, &ours.collect::<Vec<_>>(), pr);
    }
}

#[track_caller]
fn same_points(case: &str, ours: &[(f64, f64, Option<f64>)], theirs: &[(f64, f64, Option<f64>)]) {
    assert_eq!(ours.len(), theirs.len(), "{case}");
    for (ours, theirs) in ours.iter().zip(theirs) {
        let same = close(ours.0, theirs.0) && close(ours.1, theirs.1) && ours.2 == theirs.2;
        assert!(same, "{case}: {ours:?}, scikit-learn {theirs:?}");
    }
}

#[test]
fn calibration_equals_that_of_scikit_learn() {
    for case in golden().classes {
        let settings = [
            (10, Binning::Width, &case.width_10),
            (7, Binning::Width, &case.width_7),
            (10, Binning::Quantile, &case.quantile_10),
            (3, Binning::Quantile, &case.quantile_3),
        ];
        for (bins, binning, theirs) in settings {
            let name = format!("{}, {bins} bins by {binning:?}", case.name);
            let ours = calibration(&case.outcome, &case.scores, bins, binning);
            let Some((ours, theirs)) = ours.as_ref().zip(theirs.as_ref()) else {
                assert!(ours.is_none() && theirs.is_none(), "{name}: {ours:?}, scikit-learn {theirs:?}");
                continue;
            };
            let column = |value: fn(&Bin) -> f64| ours.bins.iter().map(value).collect::<Vec<f64>>();
            assert_eq!(ours.bins.iter().map(|bin| bin.rows).collect::<Vec<u64>>(), theirs.rows, "{name}");
            all_same("mean score", &name, &column(|bin| bin.mean_score), &theirs.mean_score);
            all_same("mean outcome", &name, &column(|bin| bin.mean_outcome), &theirs.mean_outcome);
            same("error", &name, Some(ours.error), Some(theirs.error));
        }
    }
}

#[test]
fn figures_of_numbers_equal_those_of_scikit_learn() {
    for case in golden().numbers {
        let (name, y, s) = (&case.name, &case.outcome, &case.scores);
        same("rmse", name, rmse(y, s), case.rmse);
        same("mae", name, mae(y, s), case.mae);
        same("r2", name, r2(y, s), case.r2);
    }
}

#[test]
fn what_cannot_be_measured_has_no_figure() {
    let rows: [(&[f64], &[f64]); 5] = [
        (&[], &[]),
        (&[1.0, 0.0], &[0.5]),
        (&[1.0, 0.0], &[0.5, f64::NAN]),
        (&[1.0, 2.0], &[0.5, 0.5]),
        (&[1.0, f64::NAN], &[0.5, f64::INFINITY]),
    ];
    for (outcome, scores) in rows {
        for figure in [roc_auc, pr_auc, ks, log_loss, brier] {
            assert_eq!(figure(outcome, scores), None, "{outcome:?} {scores:?}");
        }
        assert_eq!(confusion(outcome, scores, 0.5), None);
        assert_eq!(calibration(outcome, scores, 10, Binning::Width), None);
        assert_eq!(roc_curve(outcome, scores), None);
        assert_eq!(pr_curve(outcome, scores), None);
    }
    for figure in [rmse, mae, r2] {
        assert_eq!(figure(&[], &[]), None);
        assert_eq!(figure(&[1.0, 2.0], &[1.0]), None);
        assert_eq!(figure(&[1.0, 2.0], &[1.0, f64::NAN]), None);
    }
}
