use super::*;
use crate::{
    algorithm::Work,
    evaluate::{EvalOptions, Positive, Scored, evaluate},
    metrics::Costs,
};

const HOSTILE: &str = "<script>alert('x')</script>\"&\u{1b}[31m";

fn classes(shift: f64, missing: usize) -> Evaluation {
    let outcome: Vec<f64> = (0..120).map(|row| f64::from(u8::from(row % 3 == 0))).collect();
    let mut scores: Vec<f64> = (0..120)
        .map(|row| f64::from(row * 37 % 120) / 200.0 + shift * f64::from(u8::from(row % 3 == 0)))
        .collect();
    scores[..missing].fill(f64::NAN);
    let names = (0..120).map(|row| ["old", "young", "tiny"][if row < 5 { 2 } else { row % 2 }].to_owned());
    let groups = [("age".to_owned(), names.collect())];
    let options = EvalOptions {
        threshold: 0.35,
        resamples: 50,
        costs: Some(Costs { false_positive: 1.0, false_negative: 5.0 }),
        ..EvalOptions::default()
    };
    evaluate(&Scored { outcome: &outcome, scores: &scores, work: Work::Classes, groups: &groups }, &options)
}

fn numbers() -> Evaluation {
    let outcome: Vec<f64> = (0..50).map(f64::from).collect();
    let scores: Vec<f64> = (0..50).map(|row| f64::from(row) * 0.9 + 3.0).collect();
    let groups = [("site".to_owned(), (0..50).map(|row| format!("s{}", row % 2)).collect())];
    let rows = Scored { outcome: &outcome, scores: &scores, work: Work::Numbers, groups: &groups };
    evaluate(&rows, &EvalOptions { resamples: 20, ..EvalOptions::default() })
}

fn system(name: &str, evaluation: Evaluation) -> System {
    let facts = vec![("Version".to_owned(), "3".to_owned())];
    System { name: name.to_owned(), facts, evaluation, importance: vec![("duration".to_owned(), 0.25)] }
}

fn subject(systems: Vec<System>) -> Subject {
    Subject {
        title: "Who scores best?".to_owned(),
        outcome: "default = 1".to_owned(),
        facts: vec![("Data".to_owned(), "credit.csv".to_owned())],
        systems,
        notes: vec!["Asked once.".to_owned()],
    }
}

fn how_often(page: &str, what: &str) -> usize {
    page.matches(what).count()
}

#[test]
fn a_page_shows_every_chart_for_each_system() {
    for count in [1, 2, 4] {
        let systems =
            (0..count).map(|at| system(&format!("system {at}"), classes(0.1 * f64::from(at), 0))).collect();
        let page = html(&subject(systems));
        let count = count as usize;
        assert_eq!(how_often(&page, "class=\"chart\""), 3);
        assert_eq!(how_often(&page, "class=\"curve\""), 3 * count);
        assert_eq!(how_often(&page, "class=\"matrix\""), count);
        assert_eq!(how_often(&page, "class=\"bars\""), count);
        assert_eq!(how_often(&page, "class=\"guide\""), 3);
        for text in ["credit.csv", "default = 1", "Asked once.", "four fifths", "ROC AUC"] {
            assert!(page.contains(text), "{text}");
        }
    }
}

#[test]
fn a_page_asks_nothing_of_a_network_and_runs_nothing() {
    let page = html(&subject(vec![system("a", classes(0.2, 0)), system("b", numbers())]));
    for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "onload"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn svg_elements_are_closed() {
    let page = html(&subject(vec![system("a", classes(0.2, 3)), system("b", classes(0.1, 0))]));
    for element in ["line", "circle", "rect", "polyline", "svg", "text", "g"] {
        let opened = how_often(&page, &format!("<{element} ")) + how_often(&page, &format!("<{element}>"));
        assert_eq!(opened, how_often(&page, &format!("</{element}>")), "{element}");
    }
}

#[test]
fn no_text_from_outside_becomes_markup_or_steers_a_terminal() {
    let mut evaluation = classes(0.2, 2);
    HOSTILE.clone_into(&mut evaluation.groups[0].column);
    for group in &mut evaluation.groups[0].groups {
        group.name = format!("{HOSTILE}{}", group.name);
    }
    let mut system = system(HOSTILE, evaluation);
    let pair = || (HOSTILE.to_owned(), HOSTILE.to_owned());
    system.facts = vec![pair()];
    system.importance = vec![(HOSTILE.to_owned(), f64::NAN)];
    let subject = Subject {
        title: HOSTILE.to_owned(),
        outcome: HOSTILE.to_owned(),
        facts: vec![pair()],
        systems: vec![system.clone(), system],
        notes: vec![HOSTILE.to_owned()],
    };
    let page = html(&subject);
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&lt;script&gt;"));
    // Inside an attribute a quote would end it.
    assert!(page.contains("aria-label=\"Figures by &lt;script&gt;alert('x')&lt;/script&gt;&quot;&amp;"));
    let text = text(&subject);
    assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control()));
    assert!(text.contains("\\u{1b}[31m"));
}

#[test]
fn groups_say_what_is_adverse_and_mark_small_ones_and_low_ratios() {
    let page = html(&subject(vec![system("a", classes(0.4, 2))]));
    assert!(page.contains("at or above the threshold is the <b>adverse</b>"));
    assert!(page.contains("<span class=\"tag\">small</span>"));
    assert!(page.contains("<span class=\"tag\">reference</span>"));
    assert!(page.contains("2 unscored"));
    let mut favourable = classes(0.4, 0);
    favourable.groups[0].positive = Positive::Favourable;
    let page = html(&subject(vec![system("a", favourable)]));
    assert!(page.contains("at or above the threshold is the <b>favourable</b>"));
}

#[test]
fn the_better_of_two_systems_is_marked_and_one_alone_is_not() {
    let worse = system("worse", classes(0.0, 0));
    let alone = html(&subject(vec![worse.clone()]));
    assert_eq!(how_often(&alone, "class=\"best\""), 0);
    let both = subject(vec![worse.clone(), system("better", classes(0.3, 0))]);
    let auc = figures::listed(&both).next().map(|figure| figure.row(&both)).unwrap();
    assert_eq!(auc.iter().map(|shown| shown.best).collect::<Vec<_>>(), [false, true]);
    let log_loss = figures::listed(&both).find(|figure| figure.name == "Log loss").unwrap();
    assert!(log_loss.better == figures::Better::Low);
    let twins = html(&subject(vec![worse.clone(), worse]));
    assert_eq!(how_often(&twins, "class=\"best\""), 0);
}

#[test]
fn nothing_measured_is_shown_as_nothing_and_not_as_zero() {
    let rows = Scored { outcome: &[1.0, 1.0], scores: &[0.5, f64::NAN], work: Work::Classes, groups: &[] };
    let evaluation = evaluate(&rows, &EvalOptions::default());
    let page = html(&subject(vec![system("a", evaluation)]));
    assert!(page.contains("No ROC curve"));
    assert!(page.contains("<span class=\"big\">–</span>"));
    assert!(page.contains("1 cases, 1 positive; 1 more without a score or an outcome"));
    let empty = subject(Vec::new());
    assert!(html(&empty).contains("No system was measured."));
    assert!(text(&empty).contains("Who scores best?"));
}

#[test]
fn the_terminal_table_lines_systems_up() {
    let text = text(&subject(vec![system("one", classes(0.1, 4)), system("another one", classes(0.3, 0))]));
    let lines: Vec<&str> = text.lines().collect();
    let head = lines.iter().find(|line| line.contains("another one")).unwrap();
    let column = head.find("another one").unwrap();
    let auc = lines.iter().find(|line| line.starts_with("ROC AUC")).unwrap();
    assert!(auc[column..].starts_with(|letter: char| letter.is_ascii_digit()), "{text}");
    assert!(auc[column - 1..].starts_with(' '));
    for text in ["without score or outcome", "groups by age, one", "small: fewer than 30", "95 % intervals"] {
        assert!(lines.iter().any(|line| line.contains(text)), "{text}");
    }
}

#[test]
fn the_terminal_table_says_what_brackets_are_and_what_decisions_cost() {
    let text = text(&subject(vec![system("one", classes(0.1, 4))]));
    assert!(text.contains("in brackets 95 % intervals"), "{text}");
    let cost = text.lines().find(|line| line.starts_with("cost of a case")).unwrap();
    assert!(cost.contains("; least ") && cost.contains(" at "), "{cost}");
    assert!(text.contains("costs: 1 a false positive, 5 a false negative"), "{text}");
}

#[test]
fn numbers_have_a_report_too() {
    let subject = subject(vec![system("a", numbers())]);
    let page = html(&subject);
    assert!(page.contains("Predicted and observed") && page.contains("RMSE") && !page.contains("ROC AUC"));
    assert!(text(&subject).contains("mean prediction"));
}
