//! Whether groups are treated alike.

use maud::{Markup, html};

use super::{
    Subject,
    plot::{colour, legend},
    words,
};
use crate::evaluate::{ClassGroup, Group, GroupFigures, Grouping, NumberGroup, Positive};

/// How many groups of a column are shown, the largest first.
const SHOWN: usize = 60;

/// One part a sensitive column.
pub(super) fn groups(subject: &Subject) -> Markup {
    let mut columns: Vec<&str> = Vec::new();
    for grouping in subject.systems.iter().flat_map(|system| &system.evaluation.groups) {
        if !columns.contains(&grouping.column.as_str()) {
            columns.push(&grouping.column);
        }
    }
    html! {
        @if !columns.is_empty() {
            section {
                h2 { "Groups" }
                @if let Some(first) = subject.systems.iter().find_map(|system| system.evaluation.groups.first()) {
                    (explained(first))
                }
                (legend(&subject.systems))
                @for name in columns { (Column::of(subject, name).show(subject)) }
            }
        }
    }
}

/// One sensitive column as the systems see it.
struct Column<'a> {
    name: &'a str,
    /// With the place of the system.
    groupings: Vec<(usize, &'a Grouping)>,
    /// The groups' names, the largest first.
    groups: Vec<&'a str>,
}

impl<'a> Column<'a> {
    fn of(subject: &'a Subject, name: &'a str) -> Self {
        let systems = subject.systems.iter().enumerate();
        let groupings: Vec<(usize, &Grouping)> = systems
            .flat_map(|(place, system)| {
                system.evaluation.groups.iter().map(move |grouping| (place, grouping))
            })
            .filter(|(_, grouping)| grouping.column == name)
            .collect();
        let mut groups: Vec<&str> = Vec::new();
        for group in groupings.iter().flat_map(|(_, grouping)| grouping.groups.iter().take(SHOWN)) {
            if !groups.contains(&group.name.as_str()) {
                groups.push(&group.name);
            }
        }
        Self { name, groupings, groups }
    }

    fn show(&self, subject: &Subject) -> Markup {
        let most = self.groupings.iter().map(|(_, grouping)| grouping.groups.len()).max().unwrap_or(0);
        html! {
            div.column {
                h3 { (self.name) }
                (self.ratios())
                (self.table(subject))
                @if most > SHOWN {
                    p.remark { "The " (SHOWN) " largest of " (most) " groups are shown." }
                }
            }
        }
    }

    /// Each group's figures, with the place of the system.
    fn members(&self, name: &str) -> Vec<(usize, &'a Grouping, &'a Group)> {
        let find = |(place, grouping): &(usize, &'a Grouping)| {
            let group = grouping.groups.iter().find(|group| group.name == name)?;
            Some((*place, *grouping, group))
        };
        self.groupings.iter().filter_map(find).collect()
    }

    /// Impact ratios as dots beside the four-fifths line.
    fn ratios(&self) -> Markup {
        let ratios = self.groupings.iter().flat_map(|(_, grouping)| &grouping.groups);
        let ratios = ratios.filter_map(|group| group.classes()?.impact_ratio);
        let Some(most) = ratios.reduce(f64::max) else { return html! {} };
        let scale = most.max(1.0) * 1.05;
        let at = |ratio: f64| format!("{:.2}%", 100.0 * ratio / scale);
        html! {
            div.ratios role="img" aria-label={"Impact ratios by " (self.name)} {
                @for name in &self.groups {
                    span.name { (words::group(name)) }
                    svg.track height="22" {
                        rect.short x="0" y="0" height="22" width=(at(0.8)) {}
                        line.rule x1=(at(0.8)) x2=(at(0.8)) y1="0" y2="22" {}
                        line.one x1=(at(1.0)) x2=(at(1.0)) y1="0" y2="22" {}
                        @for (place, _, group) in self.members(name) {
                            @if let Some(ratio) = group.classes().and_then(|figures| figures.impact_ratio) {
                                g class=(colour(place)) {
                                    circle.point.small[group.small] cx=(at(ratio)) cy="11" r="5" {
                                        title { (words::group(name)) ": " (words::share(ratio)) }
                                    }
                                }
                            }
                        }
                    }
                }
                span.name {}
                svg.track.scale height="18" aria-hidden="true" {
                    text x="0" y="13" { "0" }
                    text x=(at(0.8)) y="13" text-anchor="end" { "four fifths 0.8" }
                    text x=(at(1.0)) y="13" text-anchor="middle" { "1" }
                }
            }
        }
    }

    fn table(&self, subject: &Subject) -> Markup {
        let several = subject.systems.len() > 1;
        let of_classes =
            self.groupings.iter().any(|(_, grouping)| grouping.groups.iter().any(|g| g.classes().is_some()));
        html! {
            div.scroll tabindex="0" role="region" aria-label={"Figures by " (self.name)} {
                table.figures.groups {
                    thead { (head(several, of_classes, self.groupings.first().map(|(_, first)| first.positive))) }
                    @for name in &self.groups {
                        @let members = self.members(name);
                        tbody {
                            @for (line, (place, grouping, group)) in members.iter().enumerate() {
                                tr {
                                    @if line == 0 {
                                        th scope="rowgroup" rowspan=(members.len()) { (words::group(name)) }
                                    }
                                    @if several {
                                        td class={"system " (colour(*place))} {
                                            @if let Some(system) = subject.systems.get(*place) { (system.name) }
                                        }
                                    }
                                    (cells(group, grouping))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a decision is here, the same for all columns.
fn explained(grouping: &Grouping) -> Markup {
    let classes = grouping.groups.iter().any(|group| group.classes().is_some());
    html! {
        p.lead {
            @if classes {
                @match grouping.positive {
                    Positive::Adverse => {
                        "Here a score at or above the threshold is the " b { "adverse" }
                        " decision, and one below it the favourable one. "
                    }
                    Positive::Favourable => {
                        "Here a score at or above the threshold is the " b { "favourable" }
                        " decision, and one below it the adverse one. "
                    }
                }
                "The impact ratio is a group's rate of favourable decisions divided by that of the most favoured group "
                "(marked “reference”). The four-fifths rule takes a ratio below 0.8 as a sign of adverse impact. "
            }
            "Groups of fewer than " (grouping.small_group) " cases are marked small: their figures are mostly chance"
            @if classes { ", and they are no reference unless all groups are small" }
            "."
        }
    }
}

fn head(several: bool, of_classes: bool, positive: Option<Positive>) -> Markup {
    let decided = if positive == Some(Positive::Favourable) {
        "Favourable (at or above)"
    } else {
        "Adverse (at or above)"
    };
    html! {
        tr {
            th scope="col" { "Group" }
            @if several { th.who scope="col" { "System" } }
            th scope="col" { "Cases" }
            @if of_classes {
                th scope="col" { "Positive" }
                th scope="col" { "Mean score" }
                th scope="col" { (decided) }
                th scope="col" { "Favourable rate" }
                th scope="col" { "Impact ratio" }
                th scope="col" { "ROC AUC" }
                th scope="col" title="Of the positive cases, the share at or above the threshold" { "TPR" }
                th scope="col" title="Of the negative cases, the share at or above the threshold" { "FPR" }
                th scope="col" { "Calibration error" }
            } @else {
                th scope="col" { "Mean outcome" }
                th scope="col" { "Mean prediction" }
                th scope="col" title="Mean of prediction minus outcome" { "Bias" }
                th scope="col" { "MAE" }
                th scope="col" { "RMSE" }
            }
        }
    }
}

fn cells(group: &Group, grouping: &Grouping) -> Markup {
    html! {
        td {
            (words::count(group.rows as u64))
            @if group.small { " " span.tag { "small" } }
            @if group.left_out > 0 { span.interval title="further cases without a score or an outcome" { (words::count(group.left_out as u64)) " unscored" } }
        }
        @match &group.figures {
            GroupFigures::Classes(figures) => { (class_cells(group, figures, grouping)) }
            GroupFigures::Numbers(figures) => { (number_cells(group, figures)) }
        }
    }
}

fn class_cells(group: &Group, figures: &ClassGroup, grouping: &Grouping) -> Markup {
    let reference = grouping.reference.as_deref() == Some(group.name.as_str());
    html! {
        td { (words::known(group.mean_outcome, words::percent)) }
        td { (words::known(group.mean_score, words::share)) }
        td {
            (words::known(figures.selection_rate.map(|rate| rate.value), words::percent))
            @if let Some(interval) = figures.selection_rate.and_then(|rate| rate.interval) {
                span.interval { (format!("{:.1} to {}", 100.0 * interval.low, words::percent(interval.high))) }
            }
        }
        td { (words::known(figures.favourable_rate, words::percent)) }
        td.ratio {
            (words::known(figures.impact_ratio, words::share))
            @if reference { " " span.tag { "reference" } }
            @if figures.adverse_impact() == Some(true) { " " span.tag.bad { "below 0.8" } }
        }
        td {
            (words::known(figures.roc_auc.map(|auc| auc.value), words::share))
            @if let Some(interval) = figures.roc_auc.and_then(|auc| auc.interval) {
                span.interval { (words::share(interval.low)) " to " (words::share(interval.high)) }
            }
        }
        td { (words::known(figures.true_positive_rate, words::share)) }
        td { (words::known(figures.false_positive_rate, words::share)) }
        td { (words::known(figures.calibration.as_ref().map(|calibration| calibration.error), words::share)) }
    }
}

fn number_cells(group: &Group, figures: &NumberGroup) -> Markup {
    let values = [group.mean_outcome, group.mean_score, figures.bias, figures.mae, figures.rmse];
    html! {
        @for value in values { td { (words::known(value, words::number)) } }
    }
}
