//! The page as a whole: head, systems at a glance, the table of figures, and how to read them.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    Subject, System, bars, decisions,
    figures::{Better, Shown, listed},
    groups,
    plot::colour,
    reliability, words,
};
use crate::evaluate::Evaluation;

/// Our own text, the only one that is not escaped.
const STYLE: &str = include_str!("style.css");
/// Nothing is loaded and nothing runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

pub(super) fn page(subject: &Subject) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (subject.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (heading(subject))
                    (glance(subject))
                    (table(subject))
                    (reliability::charts(subject))
                    (decisions::decisions(subject))
                    (groups::groups(subject))
                    (bars::importance(subject))
                    (notes(subject))
                    (meanings(subject))
                }
            }
        }
    }
}

fn heading(subject: &Subject) -> Markup {
    html! {
        header {
            h1 { (subject.title) }
            @if !subject.outcome.is_empty() { p.outcome { "Predicted: " b { (subject.outcome) } } }
            (facts(&subject.facts))
        }
    }
}

fn facts(facts: &[(String, String)]) -> Markup {
    html! {
        @if !facts.is_empty() {
            dl.facts {
                @for (name, value) in facts { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

/// One card a system: its main figure, and what is known of it.
fn glance(subject: &Subject) -> Markup {
    html! {
        section.cards aria-label="At a glance" {
            @for (place, system) in subject.systems.iter().enumerate() {
                div class={"card glance " (colour(place))} {
                    h2.system { (system.name) }
                    (main_figure(system))
                    (facts(&system.facts))
                }
            }
        }
        @if subject.systems.is_empty() { p.remark { "No system was measured." } }
    }
}

fn main_figure(system: &System) -> Markup {
    let evaluation = &system.evaluation;
    let (name, show): (&str, fn(f64) -> String) =
        if evaluation.classes().is_some() { ("ROC AUC", words::share) } else { ("RMSE", words::number) };
    let main = evaluation.main();
    html! {
        p.main {
            span.big { (words::known(main.map(|main| main.value), show)) }
            span.what {
                (name)
                @if let Some(interval) = main.and_then(|main| main.interval) {
                    span.interval { (show(interval.low)) " to " (show(interval.high)) }
                }
            }
        }
        p.rows { (rows(evaluation)) }
    }
}

/// What was measured and what not.
fn rows(evaluation: &Evaluation) -> String {
    let rows = words::count(evaluation.rows as u64);
    let positives =
        evaluation.classes().map(|classes| format!(", {} positive", words::count(classes.positives)));
    let left_out = (evaluation.left_out > 0).then(|| {
        format!("; {} more without a score or an outcome", words::count(evaluation.left_out as u64))
    });
    format!("{rows} cases{}{}", positives.unwrap_or_default(), left_out.unwrap_or_default())
}

fn table(subject: &Subject) -> Markup {
    let several = subject.systems.len() > 1;
    html! {
        @if !subject.systems.is_empty() {
            section {
                h2 { "Figures" }
                div.scroll tabindex="0" role="region" aria-label="Figures" {
                    table.figures {
                        thead {
                            tr {
                                th scope="col" { "Figure" }
                                @for (place, system) in subject.systems.iter().enumerate() {
                                    th scope="col" class={"system " (colour(place))} { (system.name) }
                                }
                                @if !several { th.meaning scope="col" {} }
                            }
                        }
                        tbody {
                            @for figure in listed(subject) {
                                tr {
                                    th scope="row" {
                                        (figure.name)
                                        @if figure.better == Better::Low { span.hint { " lower is better" } }
                                    }
                                    @for shown in figure.row(subject) { (cell(&shown)) }
                                    @if !several { td.meaning { (figure.meaning) } }
                                }
                            }
                        }
                    }
                }
                p.remark {
                    @if several { "The best of a line is marked. Where intervals overlap widely, the difference may be chance. " }
                    (intervals(subject))
                }
            }
        }
    }
}

fn cell(shown: &Shown) -> Markup {
    html! {
        td.best[shown.best] {
            span.figure { (shown.value) }
            @if let Some((low, high)) = &shown.interval { span.interval { (low) " to " (high) } }
        }
    }
}

/// How intervals came about.
fn intervals(subject: &Subject) -> String {
    let resamples = subject.systems.iter().map(|system| system.evaluation.resamples);
    match resamples.clone().min().zip(resamples.max()) {
        Some((0, 0)) | None => "No intervals were computed.".to_owned(),
        Some((least, most)) => {
            let draws = if least == most { most.to_string() } else { format!("{least} to {most}") };
            format!(
                "Intervals: 95 %, from {draws} bootstrap draws. {} means not defined for these cases.",
                words::ABSENT
            )
        }
    }
}

fn notes(subject: &Subject) -> Markup {
    html! {
        @if !subject.notes.is_empty() {
            section.notes {
                h2 { "Notes" }
                @for note in &subject.notes { p { (note) } }
            }
        }
    }
}

/// Of several systems; beside one alone, the table has room for the meanings.
fn meanings(subject: &Subject) -> Markup {
    html! {
        @if subject.systems.len() > 1 {
            section {
                h2 { "How to read the figures" }
                dl.meanings {
                    @for figure in listed(subject) { dt { (figure.name) } dd { (figure.meaning) } }
                }
            }
        }
    }
}
