//! The report as plain text.

use super::{Subject, System, figures::listed, words};
use crate::evaluate::{Classes, Group, GroupFigures, Grouping, Positive};

/// Lines of cells; columns are as wide as their widest cell.
#[derive(Default)]
struct Grid {
    lines: Vec<Vec<String>>,
}

pub(super) fn text(subject: &Subject) -> String {
    let mut out = format!("{}\n", safe(&subject.title));
    if !subject.outcome.is_empty() {
        out.push_str(&format!("predicted: {}\n", safe(&subject.outcome)));
    }
    let mut facts = Grid::default();
    for (name, value) in &subject.facts {
        facts.line([safe(name), safe(value)]);
    }
    out.push_str(&facts.left());
    out.push('\n');
    out.push_str(&figures(subject));
    for system in &subject.systems {
        for grouping in &system.evaluation.groups {
            out.push('\n');
            out.push_str(&groups(subject, system, grouping));
        }
    }
    for note in &subject.notes {
        out.push_str(&format!("\n{}\n", safe(note)));
    }
    out
}

/// All systems side by side.
fn figures(subject: &Subject) -> String {
    let mut grid = Grid::default();
    let systems = || subject.systems.iter();
    grid.line(std::iter::once(String::new()).chain(systems().map(|system| safe(&system.name))));
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in systems().flat_map(|system| &system.facts) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    for name in names {
        let fact = |system: &System| {
            let fact = system.facts.iter().find(|fact| fact.0 == name);
            fact.map(|fact| safe(&fact.1)).unwrap_or_default()
        };
        grid.row(&safe(name), systems().map(fact));
    }
    grid.row("cases", systems().map(|system| system.evaluation.rows.to_string()));
    if systems().any(|system| system.evaluation.left_out > 0) {
        grid.row("without score or outcome", systems().map(|system| system.evaluation.left_out.to_string()));
    }
    for figure in listed(subject) {
        grid.row(
            figure.name,
            figure.row(subject).into_iter().map(|shown| {
                let interval = shown.interval.map(|(low, high)| format!(" ({low} to {high})"));
                let best = if shown.best { "*" } else { "" };
                format!("{}{best}{}", shown.value, interval.unwrap_or_default())
            }),
        );
    }
    let classes = |show: fn(&Classes) -> String| {
        systems().map(move |system| system.evaluation.classes().map_or(words::ABSENT.to_owned(), show))
    };
    if systems().any(|system| system.evaluation.classes().is_some()) {
        grid.row("threshold", classes(|classes| words::share(classes.threshold)));
        grid.row(
            "true, false positives",
            classes(|classes| {
                format!("{}, {}", classes.confusion.true_positives, classes.confusion.false_positives)
            }),
        );
        grid.row(
            "true, false negatives",
            classes(|classes| {
                format!("{}, {}", classes.confusion.true_negatives, classes.confusion.false_negatives)
            }),
        );
    }
    let costs = systems().find_map(|system| Some(system.evaluation.classes()?.costs?.costs));
    if costs.is_some() {
        grid.row("cost of a case", classes(cost));
    }
    let mut out = grid.left();
    if let Some(costs) = costs {
        let (positive, negative) = (costs.false_positive, costs.false_negative);
        out.push_str(&format!("costs: {positive} a false positive, {negative} a false negative\n"));
    }
    match (systems().count() > 1, systems().any(|system| system.evaluation.resamples > 0)) {
        (true, true) => out.push_str("* best of the line; in brackets 95 % intervals\n"),
        (true, false) => out.push_str("* best of the line\n"),
        (false, true) => out.push_str("in brackets 95 % intervals\n"),
        (false, false) => {}
    }
    out
}

/// The mean cost of a case at the threshold, and the least that another threshold would make it.
fn cost(classes: &Classes) -> String {
    classes.costs.map_or(words::ABSENT.to_owned(), |choice| {
        let (here, least) = (words::number(choice.at_threshold), words::number(choice.cheapest.value));
        format!("{here}; least {least} at {}", words::share(choice.cheapest.threshold))
    })
}

fn groups(subject: &Subject, system: &System, grouping: &Grouping) -> String {
    let mut out = format!("groups by {}", safe(&grouping.column));
    if subject.systems.len() > 1 {
        out.push_str(&format!(", {}", safe(&system.name)));
    }
    let mut grid = Grid::default();
    if grouping.groups.iter().any(|group| group.classes().is_some()) {
        let adverse = match grouping.positive {
            Positive::Adverse => "at or above",
            Positive::Favourable => "below",
        };
        out.push_str(&format!(
            " (adverse: {adverse} the threshold; impact ratio of favourable rates, four-fifths rule: 0.8)"
        ));
        grid.line(
            ["group", "cases", "adverse", "favourable", "ratio", "AUC", "TPR", "FPR", ""].map(str::to_owned),
        );
    } else {
        grid.line(
            ["group", "cases", "mean outcome", "mean prediction", "bias", "MAE", "RMSE", ""]
                .map(str::to_owned),
        );
    }
    out.push('\n');
    for group in &grouping.groups {
        grid.line(group_line(group, grouping));
    }
    out + &grid.left()
}

fn group_line(group: &Group, grouping: &Grouping) -> Vec<String> {
    let mut line = vec![safe(words::group(&group.name)), group.rows.to_string()];
    let mut marks = Vec::new();
    match &group.figures {
        GroupFigures::Classes(figures) => {
            line.push(words::known(figures.favourable_rate.map(|rate| 1.0 - rate), words::percent));
            line.push(words::known(figures.favourable_rate, words::percent));
            let auc = figures.roc_auc.map(|auc| auc.value);
            for value in [figures.impact_ratio, auc, figures.true_positive_rate, figures.false_positive_rate]
            {
                line.push(words::known(value, words::share));
            }
            if figures.adverse_impact() == Some(true) {
                marks.push("below 0.8".to_owned());
            }
        }
        GroupFigures::Numbers(figures) => {
            for value in [group.mean_outcome, group.mean_score, figures.bias, figures.mae, figures.rmse] {
                line.push(words::known(value, words::number));
            }
        }
    }
    if grouping.reference.as_deref() == Some(group.name.as_str()) {
        marks.push("reference".to_owned());
    }
    if group.small {
        marks.push(format!("small: fewer than {}", grouping.small_group));
    }
    if group.left_out > 0 {
        marks.push(format!("{} without score or outcome", group.left_out));
    }
    line.push(marks.join(", "));
    line
}

impl Grid {
    fn line(&mut self, cells: impl IntoIterator<Item = String>) {
        self.lines.push(cells.into_iter().collect());
    }

    fn row(&mut self, name: &str, cells: impl Iterator<Item = String>) {
        self.line(std::iter::once(name.to_owned()).chain(cells));
    }

    /// Two spaces between columns, cells at their left.
    fn left(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for line in &self.lines {
            widths.resize(widths.len().max(line.len()), 0);
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut out = String::new();
        for line in &self.lines {
            let cells: Vec<String> =
                line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            out.push_str(cells.join("  ").trim_end());
            out.push('\n');
        }
        out
    }
}

/// Text that moves no cursor and changes no colour.
fn safe(text: &str) -> String {
    let shown =
        |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.into() };
    text.chars().map(shown).collect()
}
