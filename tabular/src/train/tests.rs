use std::sync::Mutex;

use super::*;
use crate::{
    algorithm::FitError,
    progress::Unwatched,
    table::{Column, Fingerprint},
};

/// 120 rows: two numbers and a word of which one number and the word matter; classes, or a number.
fn csv(classes: bool) -> Csv {
    let rows = 120;
    let mixed = |row: usize, factor: usize| ((row * factor + row / 7) % 101) as f64;
    let signal =
        |row: usize| mixed(row, 37) + if row.is_multiple_of(3) { 30.0 } else { 0.0 } + mixed(row, 59) * 0.3;
    let word = |row: usize| {
        (!row.is_multiple_of(11)).then(|| if row.is_multiple_of(3) { "yes" } else { "no" }.to_owned())
    };
    let outcome = |row| if classes { f64::from(u8::from(signal(row) > 80.0)) } else { signal(row) + 0.5 };
    let table = Table {
        names: ["income", "noise", "married", "y"].map(str::to_owned).to_vec(),
        columns: vec![
            Column::Numbers((0..rows).map(|row| mixed(row, 37) + 0.5).collect()),
            Column::Numbers(
                (0..rows).map(|row| if row == 5 { f64::NAN } else { mixed(row, 83) + 0.5 }).collect(),
            ),
            Column::Words((0..rows).map(word).collect()),
            Column::Numbers((0..rows).map(outcome).collect()),
        ],
        rows,
    };
    let fingerprint = Fingerprint { file: "t.csv".into(), bytes: 1, sha256: "00".into(), rows, columns: 4 };
    Csv { table, fingerprint, notes: vec!["fields are separated by a tab".into()] }
}

fn options() -> TrainOptions {
    let mut options = TrainOptions::new("y", "demo");
    options.settings.trees = 20;
    options.settings.boosting.rounds = 20;
    options.settings.threads = 2;
    options
}

fn trained(csv: &Csv, options: &TrainOptions) -> Artefact {
    train(csv, options, &Unwatched).unwrap()
}

fn refused(change: impl FnOnce(&mut TrainOptions)) -> String {
    let mut options = options();
    change(&mut options);
    train(&csv(true), &options, &Unwatched).unwrap_err().to_string()
}

#[test]
fn the_automatic_choice_tries_all_algorithms_and_says_why_it_took_one() {
    let artefact = trained(&csv(true), &options());
    assert_eq!(artefact.comparison.len(), Algorithm::ALL.len());
    for candidate in &artefact.comparison {
        assert!(candidate.mean.unwrap() > 0.6 && candidate.folds == 5, "{candidate:?}");
    }
    let best = artefact.comparison.iter().filter_map(|candidate| candidate.mean).fold(0.0, f64::max);
    let taken =
        artefact.comparison.iter().find(|candidate| candidate.algorithm == artefact.algorithm).unwrap();
    assert!(best - taken.mean.unwrap() <= 0.002);
    assert!(
        artefact.choice.contains("has the highest mean area under the ROC curve on 5 folds"),
        "{}",
        artefact.choice
    );
    assert!(artefact.metrics.classes().unwrap().roc_auc.unwrap().value > 0.7);
    assert_eq!(artefact.importance[0].0, "income");
    assert_eq!(artefact.metrics.groups.len(), 1);
    assert_eq!(artefact.findings[0].what, "fields are separated by a tab");
    assert!(artefact.tool.starts_with("aigate "));
}

#[test]
fn each_algorithm_learns_classes_and_numbers_and_is_written_and_read() {
    for classes in [true, false] {
        let csv = csv(classes);
        for algorithm in Algorithm::ALL {
            let options = TrainOptions { algorithm: Choice::One(algorithm), ..options() };
            let artefact = trained(&csv, &options);
            assert_eq!((artefact.algorithm, artefact.comparison.len()), (algorithm, 1));
            assert!(artefact.choice.contains("was asked for"));
            let bytes = artefact.write().unwrap_or_else(|error| panic!("{algorithm:?}: {error}"));
            assert!(Artefact::read(&bytes).is_ok(), "{algorithm:?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_model_for_any_number_of_threads() {
    let with = |threads| {
        let mut options = options();
        options.settings.threads = threads;
        let artefact = trained(&csv(true), &options);
        (artefact.algorithm, artefact.threshold, artefact.model, artefact.metrics)
    };
    assert_eq!(with(1), with(4));
}

#[test]
fn costs_move_the_threshold() {
    let with = |false_positive, false_negative| {
        let costs = Some(Costs { false_positive, false_negative });
        trained(&csv(true), &TrainOptions { costs, algorithm: Choice::One(Algorithm::Linear), ..options() })
            .threshold
    };
    assert!(with(1.0, 20.0) < with(20.0, 1.0));
}

#[test]
fn balanced_classes_move_the_scores_and_are_reported() {
    let with = |balance| {
        trained(&csv(true), &TrainOptions { balance, algorithm: Choice::One(Algorithm::Linear), ..options() })
    };
    let (plain, balanced) = (with(false), with(true));
    assert_ne!(plain.model, balanced.model);
    assert!(balanced.findings.iter().any(|finding| finding.what.contains("are no probabilities")));
}

#[test]
fn options_out_of_range_are_refused() {
    assert_eq!(refused(|o| o.folds = 1), "1 folds: from 2 to 20 are possible");
    assert!(
        refused(|o| o.costs = Some(Costs { false_positive: -1.0, false_negative: 1.0 }))
            .contains("zero or more")
    );
    assert!(refused(|o| o.sensitive = Some(vec!["maried".into()])).contains("did you mean `married`?"));
    assert!(refused(|o| o.target = "z".into()).contains("there is no column `z`"));
    assert!(
        refused(|o| (o.settings.trees, o.algorithm) = (0, Choice::One(Algorithm::Forest))).contains("trees")
    );
    // Not tried and failed, with the other algorithms' figures as if nothing were wrong.
    assert_eq!(refused(|o| o.settings.trees = 0), "0 trees: from 1 to 10000 are possible");
    assert_eq!(refused(|o| o.settings.trees = 1_000_000), "1000000 trees: from 1 to 10000 are possible");
    assert_eq!(refused(|o| o.settings.threads = 0), "0 threads: from 1 to 1024 are possible");
    assert_eq!(refused(|o| o.settings.threads = 1_000_000), "1000000 threads: from 1 to 1024 are possible");
    assert_eq!(
        refused(|o| o.sensitive = Some(vec![o.target.clone()])),
        "column `y`: is the target; its groups cannot be measured"
    );
    let numbers = TrainOptions { balance: true, ..options() };
    let message = train(&csv(false), &numbers, &Unwatched).unwrap_err().to_string();
    assert!(message.contains("the target is a number"), "{message}");
}

#[test]
fn a_class_with_fewer_rows_than_folds_is_refused() {
    let mut csv = csv(true);
    csv.table.columns[3] = Column::Numbers((0..120).map(|row| f64::from(u8::from(row < 4))).collect());
    let message = train(&csv, &options(), &Unwatched).unwrap_err().to_string();
    assert_eq!(message, "the rarer class has 4 rows, too few for 5 folds");
}

#[test]
fn test_rows_are_never_learnt_from() {
    // Numbers that have nothing to do with the outcome: a forest would know the rows that it was grown on by heart.
    let mut csv = csv(true);
    csv.table.columns.truncate(3);
    csv.table.names.truncate(3);
    csv.table.columns[0] = Column::Numbers((0..120).map(|row| ((row * 7919) % 997) as f64 + 0.5).collect());
    csv.table.columns[1] = csv.table.columns[0].select(&(0..120).rev().collect::<Vec<_>>());
    csv.table.columns[2] =
        Column::Numbers((0..120).map(|row| f64::from(u8::from((row * 31) % 17 < 8))).collect());
    let options =
        TrainOptions { target: "married".into(), algorithm: Choice::One(Algorithm::Forest), ..options() };
    let area = trained(&csv, &options).metrics.classes().unwrap().roc_auc.unwrap().value;
    assert!((0.25..0.75).contains(&area), "{area}");
}

#[test]
fn progress_is_told_each_fold() {
    #[derive(Default)]
    struct Watcher(Mutex<(u64, u64)>);
    impl Progress for Watcher {
        fn begin(&self, stage: &str, steps: u64) {
            if stage.starts_with("testing ") {
                self.0.lock().unwrap().0 += steps;
            }
        }
        fn advance(&self, steps: u64) {
            self.0.lock().unwrap().1 += steps;
        }
    }
    let watcher = Watcher::default();
    train(&csv(true), &TrainOptions { algorithm: Choice::One(Algorithm::Tree), ..options() }, &watcher)
        .unwrap();
    let (planned, done) = *watcher.0.lock().unwrap();
    assert!(planned == 5 && done >= 5, "{planned} {done}");
}

#[test]
fn among_near_equals_the_simplest_is_taken_and_a_failure_is_noted() {
    let trial = |algorithm, mean: f64| {
        Ok(trial::Trial {
            algorithm,
            scores: Vec::new(),
            figures: vec![mean - 0.01, mean + 0.01],
            seconds: 1.0,
        })
    };
    let failed = || {
        let error =
            TrainError::Fit { algorithm: Algorithm::Svm, work: Work::Classes, error: FitError::OneClass };
        Err(trial::Failed { algorithm: Algorithm::Svm, why: trial::Why::Error(error), seconds: 0.5 })
    };
    let tried = vec![
        trial(Algorithm::Linear, 0.7981),
        trial(Algorithm::Tree, 0.7),
        failed(),
        trial(Algorithm::Forest, 0.7985),
        trial(Algorithm::Boosting, 0.8),
    ];
    let chosen = choose::choose(tried, Work::Classes, Choice::Auto).unwrap();
    assert_eq!(chosen.trial.algorithm, Algorithm::Linear);
    assert!(
        chosen.words.ends_with("but logistic regression (0.7981 ± 0.0100) is within 0.002 of it and simpler")
    );
    assert_eq!(chosen.comparison[2].mean, None);
    assert!(
        chosen.comparison[2].note.as_ref().unwrap().starts_with("failed: support vector machine: all rows")
    );
    let apart = vec![trial(Algorithm::Linear, 0.79), trial(Algorithm::Forest, 0.8)];
    let chosen = choose::choose(apart, Work::Classes, Choice::Auto).unwrap();
    assert_eq!(chosen.trial.algorithm, Algorithm::Forest);
    assert!(chosen.words.starts_with("random forest (0.8000 ± 0.0100) has the highest mean"));
    let errors = vec![trial(Algorithm::Linear, 10.5), trial(Algorithm::Forest, 10.0)];
    assert_eq!(
        choose::choose(errors, Work::Numbers, Choice::Auto).unwrap().trial.algorithm,
        Algorithm::Forest
    );
    assert!(matches!(
        choose::choose(vec![failed()], Work::Classes, Choice::Auto),
        Err(TrainError::Fit { .. })
    ));
}

#[test]
fn a_support_vector_machine_is_left_out_of_large_tables_unless_asked_for() {
    let tried = |choice, rows| choose::candidates(choice, rows).filter(Result::is_ok).count();
    assert_eq!(tried(Choice::Auto, 5_000), 5);
    assert_eq!(tried(Choice::Auto, 5_001), 4);
    assert_eq!(tried(Choice::One(Algorithm::Svm), 5_001), 1);
    let left_out = choose::candidates(Choice::Auto, 9_000).find_map(Result::err).unwrap();
    assert!(matches!(left_out.why, trial::Why::LeftOut(why) if why.contains("9000 rows are more than 5000")));
}
