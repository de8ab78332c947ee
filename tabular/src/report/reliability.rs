//! The charts of scores: ROC, precision-recall, and what was predicted beside what was observed.

use maud::{Markup, html};

use super::{
    Subject,
    plot::{Axis, chart, colour, curve, guide, legend, point},
    words,
};
use crate::{
    evaluate::{Classes, Numbers},
    metrics::Bin,
};

/// Each chart that has something to show.
pub(super) fn charts(subject: &Subject) -> Markup {
    let classes: Vec<(usize, &Classes)> = each(subject, |system| system.evaluation.classes());
    let numbers: Vec<(usize, &Numbers)> = each(subject, |system| system.evaluation.numbers());
    let calibrated: Vec<(usize, &[Bin])> = classes
        .iter()
        .filter_map(|(place, classes)| Some((*place, classes.calibration.as_ref()?.bins.as_slice())))
        .collect();
    let predicted: Vec<(usize, &[Bin])> =
        numbers.iter().map(|(place, numbers)| (*place, numbers.bins.as_slice())).collect();
    let has_roc = classes.iter().any(|(_, classes)| !classes.roc.is_empty());
    let has_pr = classes.iter().any(|(_, classes)| !classes.pr.is_empty());
    html! {
        section {
            h2 { "Curves" }
            (legend(&subject.systems))
            div.charts {
                @if has_roc { (roc(&classes)) }
                @if has_pr { (pr(&classes)) }
                @if !calibrated.is_empty() { (calibration(&calibrated)) }
                @if predicted.iter().any(|(_, bins)| !bins.is_empty()) { (prediction(&predicted)) }
            }
            @if !classes.is_empty() && !has_roc {
                p.remark { "No ROC curve: it takes cases of both classes." }
            }
            @if classes.len() > calibrated.len() {
                p.remark { "Calibration is shown only of scores that are probabilities from 0 to 1." }
            }
        }
    }
}

fn each<'a, T>(subject: &'a Subject, of: fn(&'a super::System) -> Option<&'a T>) -> Vec<(usize, &'a T)> {
    subject.systems.iter().enumerate().filter_map(|(place, system)| Some((place, of(system)?))).collect()
}

fn roc(systems: &[(usize, &Classes)]) -> Markup {
    let (x, y) = (Axis::share("False positive rate"), Axis::share("True positive rate"));
    let marks = html! {
        (guide(&x, &y, (0.0, 0.0), (1.0, 1.0)))
        @for (place, classes) in systems {
            g class=(colour(*place)) {
                (curve(&x, &y, classes.roc.iter().map(|at| (at.false_positive_rate, at.true_positive_rate))))
                @if let Some(at) = classes.confusion.false_positive_rate().zip(classes.confusion.recall()) {
                    (point(&x, &y, at, 4.0, &at_threshold(classes)))
                }
            }
        }
    };
    figure("ROC curve", "Dashed: chance. Dot: the threshold.", &chart(&x, &y, "ROC curve", &marks))
}

fn pr(systems: &[(usize, &Classes)]) -> Markup {
    let (x, y) = (Axis::share("Recall"), Axis::share("Precision"));
    let rate = |classes: &Classes| classes.positives as f64 / classes.confusion.rows().max(1) as f64;
    let chance = systems.iter().map(|(_, classes)| rate(classes)).fold(0.0, f64::max);
    let marks = html! {
        (guide(&x, &y, (0.0, chance), (1.0, chance)))
        @for (place, classes) in systems {
            g class=(colour(*place)) {
                (curve(&x, &y, classes.pr.iter().map(|at| (at.recall, at.precision))))
                @if let Some(at) = classes.confusion.recall().zip(classes.confusion.precision()) {
                    (point(&x, &y, at, 4.0, &at_threshold(classes)))
                }
            }
        }
    };
    let chart = chart(&x, &y, "Precision-recall curve", &marks);
    figure("Precision and recall", "Dashed: chance, the share of positive cases. Dot: the threshold.", &chart)
}

fn at_threshold(classes: &Classes) -> String {
    format!("threshold {}", words::share(classes.threshold))
}

fn calibration(systems: &[(usize, &[Bin])]) -> Markup {
    let (x, y) = (Axis::share("Mean score"), Axis::share("Share of positive cases"));
    let marks = html! {
        (guide(&x, &y, (0.0, 0.0), (1.0, 1.0)))
        (bins(&x, &y, systems, words::share))
    };
    let chart = chart(&x, &y, "Calibration", &marks);
    figure("Calibration", "Dashed: scores that mean what they say. The larger a dot, the more cases.", &chart)
}

fn prediction(systems: &[(usize, &[Bin])]) -> Markup {
    let values = || systems.iter().flat_map(|(_, bins)| bins.iter());
    let values = || values().flat_map(|bin| [bin.mean_score, bin.mean_outcome]);
    let (x, y) = (Axis::fitting("Mean prediction", values()), Axis::fitting("Mean outcome", values()));
    let (low, high) = values()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let marks = html! {
        (guide(&x, &y, (low, low), (high, high)))
        (bins(&x, &y, systems, words::number))
    };
    let chart = chart(&x, &y, "Predicted and observed", &marks);
    figure(
        "Predicted and observed",
        "Dashed: predictions that come true on average. A dot is a tenth of the cases.",
        &chart,
    )
}

fn bins(x: &Axis, y: &Axis, systems: &[(usize, &[Bin])], show: fn(f64) -> String) -> Markup {
    let says = |bin: &Bin| {
        let (low, high, rows) = (show(bin.low), show(bin.high), words::count(bin.rows));
        format!(
            "{low} to {high}: {rows} cases, mean {}, observed {}",
            show(bin.mean_score),
            show(bin.mean_outcome)
        )
    };
    html! {
        @for (place, bins) in systems {
            @let most = bins.iter().map(|bin| bin.rows).max().unwrap_or(1).max(1) as f64;
            g class=(colour(*place)) {
                (curve(x, y, bins.iter().map(|bin| (bin.mean_score, bin.mean_outcome))))
                @for bin in *bins {
                    // The area is the number of cases.
                    (point(x, y, (bin.mean_score, bin.mean_outcome), (bin.rows as f64 / most).sqrt() * 6.0 + 1.5, &says(bin)))
                }
            }
        }
    }
}

fn figure(title: &str, remark: &str, chart: &Markup) -> Markup {
    html! {
        figure {
            figcaption { h3 { (title) } p { (remark) } }
            (chart)
        }
    }
}
