//! What the threshold decides: confusion matrices and better thresholds.

use maud::{Markup, html};

use super::{Subject, plot::colour, words};
use crate::evaluate::Classes;

/// One card a system of classes.
pub(super) fn decisions(subject: &Subject) -> Markup {
    let systems = subject.systems.iter().enumerate();
    let systems: Vec<_> = systems
        .filter_map(|(place, system)| Some((place, &system.name, system.evaluation.classes()?)))
        .filter(|(_, _, classes)| classes.confusion.rows() > 0)
        .collect();
    html! {
        @if !systems.is_empty() {
            section {
                h2 { "Decisions at the threshold" }
                p.lead { "A case whose score is at or above the threshold is decided positive." }
                div.cards {
                    @for (place, name, classes) in systems {
                        div class={"card " (colour(place))} {
                            @if subject.systems.len() > 1 { h3.system { (name) } }
                            (matrix(classes))
                            (thresholds(classes))
                        }
                    }
                }
            }
        }
    }
}

fn matrix(classes: &Classes) -> Markup {
    let counts = &classes.confusion;
    let all = counts.rows().max(1) as f64;
    let cell = |rows: u64, right: bool| {
        html! {
            td.right[right].wrong[!right] style={"--share:" (format!("{:.3}", rows as f64 / all))} {
                b { (words::count(rows)) }
                span { (words::percent(rows as f64 / all)) }
            }
        }
    };
    html! {
        table.matrix {
            thead {
                tr { td {} th scope="col" { "decided positive" } th scope="col" { "decided negative" } }
            }
            tbody {
                tr {
                    th scope="row" { "positive" }
                    (cell(counts.true_positives, true))
                    (cell(counts.false_negatives, false))
                }
                tr {
                    th scope="row" { "negative" }
                    (cell(counts.false_positives, false))
                    (cell(counts.true_negatives, true))
                }
            }
        }
    }
}

fn thresholds(classes: &Classes) -> Markup {
    html! {
        dl.facts {
            div { dt { "Threshold" } dd { (words::share(classes.threshold)) } }
            @if let Some(best) = classes.best_f1 {
                div { dt { "Best F1 here" } dd { (words::share(best.value)) " at " (words::share(best.threshold)) } }
            }
            @if let Some(choice) = &classes.costs {
                div {
                    dt {
                        "Costs " (choice.costs.false_positive) " a false positive, "
                        (choice.costs.false_negative) " a false negative"
                    }
                    dd {
                        (words::number(choice.at_threshold)) " a case; least "
                        (words::number(choice.cheapest.value)) " at " (words::share(choice.cheapest.threshold))
                    }
                }
            }
        }
    }
}
