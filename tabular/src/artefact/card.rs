//! The model card: what a reader has to know before trusting the model. Markdown. It states what the file holds; what nobody
//! said is called not stated.

use std::fmt::Write as _;

use super::{Artefact, Candidate};
use crate::algorithm::Work;
use crate::evaluate::{Classes, Estimate, Evaluation, Figures, Group, GroupFigures, Grouping, Numbers};
use crate::model::{Form, Link};
use crate::prepare::Action;
use crate::schema::{Feature, Kind, OutcomeKind};

/// A category with more levels shows these many.
const MOST_LEVELS: usize = 12;

/// A card in the making. Nothing fails on the way into a string, so results of `write!` are not looked at.
#[derive(Default)]
struct Card {
    text: String,
}

pub(super) fn card(artefact: &Artefact) -> String {
    let mut card = Card::default();
    card.title(artefact);
    card.data(artefact);
    card.inputs(artefact);
    card.training(artefact);
    card.performance(&artefact.metrics);
    artefact.metrics.groups.iter().for_each(|grouping| card.group(grouping));
    card.importance(artefact);
    card.findings(artefact);
    card.limits(artefact);
    card.text
}

impl Card {
    fn title(&mut self, artefact: &Artefact) {
        self.line(&format!("# Model card: {}", plain(&artefact.name)));
        let mut rows = vec![("Answers", outcome(artefact)), ("Algorithm", algorithm(artefact))];
        rows.push(("Version", artefact.version()));
        rows.push(("Trained", artefact.created.clone()));
        rows.push(("Trained by", artefact.tool.clone()));
        if let OutcomeKind::Classes { positive, .. } = &artefact.schema.outcome.kind {
            rows.push((
                "Threshold",
                format!("a score of at least {:.4} is taken as {positive}", artefact.threshold),
            ));
        }
        self.table(["", ""], rows.into_iter().map(|(name, text)| [name.to_owned(), text]));
        if artefact.command.is_empty() {
            return self.line("The command that made it was not stated.");
        }
        self.line("Made by this command:");
        self.fence(&artefact.command);
    }

    fn data(&mut self, artefact: &Artefact) {
        self.line("## Data");
        let (data, source) = (&artefact.data, artefact.source.clone().unwrap_or_default());
        let said = |text: Option<String>| text.unwrap_or_else(not_stated);
        let rows = [
            ("File", data.file.clone()),
            ("Size", format!("{} rows, {} columns, {} bytes", data.rows, data.columns, data.bytes)),
            ("SHA-256", data.sha256.clone()),
            ("Name", said(source.name)),
            ("From", said(source.url)),
            ("Licence", said(source.licence)),
            ("Collected", said(source.period)),
        ];
        self.table(["", ""], rows.into_iter().map(|(name, text)| [name.to_owned(), text]));
        if let Some(note) = source.note {
            self.line(&plain(&note));
        }
    }

    fn inputs(&mut self, artefact: &Artefact) {
        self.line("## Inputs");
        let rows = artefact.schema.features.iter().map(|feature| {
            let missing = if feature.nullable { "may be missing" } else { "never missing in training" };
            [feature.name.clone(), values(feature), missing.to_owned()]
        });
        self.table(["Column", "Values", "Missing"], rows);
    }

    fn training(&mut self, artefact: &Artefact) {
        self.line("## How the algorithm was chosen");
        self.line(&plain(&artefact.choice));
        let work = work(artefact);
        let row = |candidate: &Candidate| {
            let name = candidate.algorithm.name(work).to_owned();
            let number = |number: Option<f64>| number.map_or("not tried".to_owned(), |n| format!("{n:.4}"));
            let note = candidate.note.clone().unwrap_or_default();
            let folds = candidate.folds.to_string();
            let seconds = format!("{:.1}", candidate.seconds);
            [
                name,
                candidate.metric.clone(),
                number(candidate.mean),
                number(candidate.spread),
                folds,
                seconds,
                note,
            ]
        };
        let head = ["Algorithm", "Measure", "Mean", "Spread", "Folds", "Seconds", "Note"];
        self.table(head, artefact.comparison.iter().map(row));
    }

    fn performance(&mut self, metrics: &Evaluation) {
        self.line("## How well it does");
        self.line(&format!(
            "Measured on {} rows, each scored by a model that had not seen it (the test rows of each fold). {} more rows had \
             no outcome or no score. Intervals: 95 of 100 of {} draws of the rows.",
            metrics.rows, metrics.left_out, metrics.resamples
        ));
        match &metrics.figures {
            Figures::Classes(figures) => self.classes(figures),
            Figures::Numbers(figures) => self.numbers(figures),
        }
    }

    fn classes(&mut self, figures: &Classes) {
        let rows = [
            ("ROC AUC", figures.roc_auc),
            ("Average precision", figures.pr_auc),
            ("Kolmogorov-Smirnov", figures.ks),
            ("Log loss", figures.log_loss),
            ("Brier score", figures.brier),
            ("Accuracy", figures.accuracy),
            ("Precision", figures.precision),
            ("Recall", figures.recall),
            ("F1", figures.f1),
        ];
        self.estimates(&rows);
        let confusion = &figures.confusion;
        self.line(&format!("Decisions at the threshold {:.4}:", figures.threshold));
        let rows = [
            [
                "positive".to_owned(),
                confusion.true_positives.to_string(),
                confusion.false_negatives.to_string(),
            ],
            [
                "negative".to_owned(),
                confusion.false_positives.to_string(),
                confusion.true_negatives.to_string(),
            ],
        ];
        self.table(["Outcome", "Decided positive", "Decided negative"], rows.into_iter());
    }

    fn numbers(&mut self, figures: &Numbers) {
        self.estimates(&[
            ("Root mean squared error", figures.rmse),
            ("Mean absolute error", figures.mae),
            ("R²", figures.r2),
        ]);
    }

    fn estimates(&mut self, rows: &[(&str, Option<Estimate>)]) {
        let row = |(name, estimate): &(&str, Option<Estimate>)| {
            let interval = estimate.and_then(|estimate| estimate.interval);
            let interval = interval.map(|interval| format!("{:.4} to {:.4}", interval.low, interval.high));
            let value = estimate.map_or_else(undefined, |estimate| format!("{:.4}", estimate.value));
            [(*name).to_owned(), value, interval.unwrap_or_else(undefined)]
        };
        self.table(["Measure", "Value", "95 % interval"], rows.iter().map(row));
    }

    fn group(&mut self, grouping: &Grouping) {
        self.line(&format!("### Groups of {}", plain(&grouping.column)));
        let number = |number: Option<f64>| number.map_or_else(undefined, |number| format!("{number:.4}"));
        let row = |group: &Group| {
            let rows = if group.small { format!("{} (few)", group.rows) } else { group.rows.to_string() };
            let (mean_outcome, mean_score) = (number(group.mean_outcome), number(group.mean_score));
            let (first, second) = match &group.figures {
                GroupFigures::Classes(figures) => {
                    (figures.roc_auc.map(|estimate| estimate.value), figures.impact_ratio)
                }
                GroupFigures::Numbers(figures) => (figures.rmse, figures.bias),
            };
            [group.name.clone(), rows, mean_outcome, mean_score, number(first), number(second)]
        };
        let numbers =
            matches!(grouping.groups.first().map(|group| &group.figures), Some(GroupFigures::Numbers(_)));
        let (first, second) = if numbers { ("RMSE", "Bias") } else { ("ROC AUC", "Adverse-impact ratio") };
        let head = ["Group", "Rows", "Mean outcome", "Mean score", first, second];
        self.table(head, grouping.groups.iter().map(row));
    }

    fn importance(&mut self, artefact: &Artefact) {
        self.line("## What moves the score");
        let unit = match artefact.model.link {
            Link::Logistic => "log odds",
            Link::Identity => "units of the score",
        };
        self.line(&format!("Mean absolute contribution to the raw score, in {unit}."));
        let rows = artefact.importance.iter().map(|(name, value)| [name.clone(), format!("{value:.4}")]);
        self.table(["Column", "Contribution"], rows);
    }

    fn findings(&mut self, artefact: &Artefact) {
        self.line("## What cleaning found");
        if artefact.findings.is_empty() {
            self.line("Nothing.");
        }
        let action = |action| match action {
            Action::Dropped => "left out",
            Action::Kept => "kept",
            Action::Filled => "filled",
            Action::Merged => "merged",
            Action::Warned => "look at it",
        };
        let rows = artefact.findings.iter().map(|finding| {
            let column = finding.column.clone().unwrap_or_else(|| "the whole table".to_owned());
            [column, finding.what.clone(), action(finding.action).to_owned()]
        });
        self.table(["Column", "Found", "Done"], rows);
    }

    fn limits(&mut self, artefact: &Artefact) {
        self.line("## Limits");
        let mut limits = vec![
            "The figures come from the training file. Rows from another time, place or way of collecting may score worse."
                .to_owned(),
            "Contributions say what the model did with a row. They do not say what causes the outcome.".to_owned(),
        ];
        if artefact.metrics.groups.is_empty() {
            limits.push(
                "No sensitive column was named or recognised, so no group was measured by itself.".to_owned(),
            );
        }
        for grouping in &artefact.metrics.groups {
            limits.extend(grouping.groups.iter().filter_map(|group| adverse(&grouping.column, group)));
        }
        if artefact.source.is_none() {
            limits
                .push("Nobody said where the data came from or under which terms it may be used.".to_owned());
        }
        limits.iter().for_each(|limit| {
            let _ = writeln!(self.text, "- {limit}");
        });
    }

    /// A paragraph or a heading.
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.text, "{text}\n");
    }

    fn fence(&mut self, code: &str) {
        // A fence is longer than any run of backticks within.
        let longest = code.split(|letter| letter != '`').map(str::len).max().unwrap_or_default();
        let fence = "`".repeat(longest.max(2) + 1);
        self.line(&format!("{fence}text\n{code}\n{fence}"));
    }

    /// Nothing where there are no rows.
    fn table<const N: usize>(&mut self, head: [&str; N], rows: impl Iterator<Item = [String; N]>) {
        let rows: Vec<String> = rows.map(|row| row.map(|cell| plain(&cell)).join(" | ")).collect();
        if !rows.is_empty() {
            let rule = ["---"; N].join(" | ");
            self.line(&format!("| {} |\n| {rule} |\n| {} |", head.join(" | "), rows.join(" |\n| ")));
        }
    }
}

/// What the four-fifths rule says against a group's decisions.
fn adverse(column: &str, group: &Group) -> Option<String> {
    let GroupFigures::Classes(figures) = &group.figures else { return None };
    let ratio = figures.impact_ratio.filter(|_| figures.adverse_impact() == Some(true))?;
    let few = if group.small { ", though of few rows" } else { "" };
    Some(format!(
        "At the threshold, {} of {} is decided favourably {ratio:.2} times as often as the group that fares best{few}: less \
         than four fifths, which counts as a sign of adverse impact.",
        plain(&group.name),
        plain(column)
    ))
}

fn work(artefact: &Artefact) -> Work {
    match artefact.schema.outcome.kind {
        OutcomeKind::Classes { .. } => Work::Classes,
        OutcomeKind::Number => Work::Numbers,
    }
}

fn outcome(artefact: &Artefact) -> String {
    let outcome = &artefact.schema.outcome;
    match &outcome.kind {
        OutcomeKind::Classes { negative, positive } => {
            format!("the probability that {} is {positive} rather than {negative}", outcome.column)
        }
        OutcomeKind::Number => format!("the expected {}", outcome.column),
    }
}

fn algorithm(artefact: &Artefact) -> String {
    let name = artefact.algorithm.name(work(artefact));
    match &artefact.model.form {
        Form::Linear(_) => format!("{name}, {} weights", artefact.encoder.width()),
        Form::Kernel(kernel) => format!("{name}, {} support vectors", kernel.vectors.len()),
        Form::Trees(trees) => {
            let nodes: usize = trees.trees.iter().map(|tree| tree.feature.len()).sum();
            format!("{name}, trees: {}, nodes: {nodes}", trees.trees.len())
        }
    }
}

fn values(feature: &Feature) -> String {
    match &feature.kind {
        Kind::Integer => "whole numbers".to_owned(),
        Kind::Real => "numbers".to_owned(),
        Kind::Category { levels } => {
            let shown = levels.iter().take(MOST_LEVELS).map(String::as_str).collect::<Vec<_>>().join(", ");
            match levels.len().checked_sub(MOST_LEVELS) {
                None | Some(0) => format!("one of: {shown}"),
                Some(more) => format!("one of: {shown} and {more} more"),
            }
        }
    }
}

fn not_stated() -> String {
    "not stated".to_owned()
}

fn undefined() -> String {
    "undefined".to_owned()
}

/// Text that means nothing to Markdown and stays on its line: values come from data files.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '`' | '*' | '_' | '|' | '[' | ']' | '<' | '>' | '#' | '~' | '&' => {
                plain.extend(['\\', letter])
            }
            letter if letter.is_control() => plain.push(' '),
            letter => plain.push(letter),
        }
    }
    plain
}
