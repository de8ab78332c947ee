//! `aigate model train --data FILE.csv --target COLUMN`

use std::{
    fmt::Write,
    iter,
    path::{Path, PathBuf},
};

use aigate_tabular::{
    algorithm::{Algorithm, Settings, Work},
    artefact::{Artefact, Source},
    prepare::{Action, CleanOptions},
    report,
    table::read_csv,
    train::{Choice, TrainOptions, figure},
};
use clap::{Args, ValueEnum};

use super::{bar::Bar, options::Decision, outputs, subject};
use crate::cli::out::print;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The training data: a CSV file with a header.
    #[arg(long, value_name = "FILE.csv")]
    data: PathBuf,
    /// The column to predict: two classes, or a number.
    #[arg(long, value_name = "COLUMN")]
    target: String,
    /// The class that scores are the probability of. Default: `1`, `yes`, `true`, …, else the rarer one.
    #[arg(long, value_name = "VALUE")]
    positive: Option<String>,
    /// Whether the target is one of two classes or a number. Default: classes if it has words or two values.
    #[arg(long, value_enum)]
    task: Option<Task>,
    /// What to train; `auto` compares all by cross-validation and takes the best.
    #[arg(long, value_enum, default_value_t = Algorithms::Auto)]
    algorithm: Algorithms,
    /// Folds of the cross-validation.
    #[arg(long, default_value_t = 5)]
    folds: usize,
    /// Where random draws start: same seed, same model.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Trees of a random forest.
    #[arg(long, default_value_t = 300)]
    trees: usize,
    /// Threads to work with. Default: one for each core.
    #[arg(long)]
    threads: Option<usize>,
    /// Let both classes weigh the same in training. The scores are no probabilities then.
    #[arg(long)]
    balance: bool,
    /// A column to leave out. Repeat it for more.
    #[arg(long, value_name = "COLUMN")]
    drop: Vec<String>,
    /// A column to keep, whatever it looks like. Repeat it for more.
    #[arg(long, value_name = "COLUMN")]
    keep: Vec<String>,
    /// Keep rows that repeat an earlier one.
    #[arg(long)]
    keep_duplicates: bool,
    #[command(flatten)]
    decision: Decision,
    /// The model's name. Default: that of the file it is written to.
    #[arg(long)]
    name: Option<String>,
    /// The model's version. Default: a part of a hash of the model; the same data, settings and seed have the same.
    #[arg(long = "model-version", value_name = "VERSION")]
    version: Option<String>,
    /// Where to write the model.
    #[arg(long, short, value_name = "FILE.json", default_value = "models/model.json")]
    out: PathBuf,
    /// Write a report with plots as well: one HTML file.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// For the model card: what the data is called.
    #[arg(long, value_name = "TEXT")]
    source_name: Option<String>,
    /// For the model card: where the data can be had.
    #[arg(long, value_name = "URL")]
    source_url: Option<String>,
    /// For the model card: the data's licence.
    #[arg(long, value_name = "TEXT")]
    source_licence: Option<String>,
    /// For the model card: when the data was collected.
    #[arg(long, value_name = "TEXT")]
    source_period: Option<String>,
    /// For the model card: what else a reader should know.
    #[arg(long, value_name = "TEXT")]
    source_note: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Task {
    Classes,
    Number,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Algorithms {
    Auto,
    /// Logistic regression for classes, linear regression for numbers.
    #[value(alias = "logistic")]
    Linear,
    Svm,
    Tree,
    Forest,
    Boosting,
}

pub(super) fn train(arguments: &Arguments) -> Result<(), String> {
    let csv = read_csv(&arguments.data).map_err(|error| error.to_string())?;
    let written: Vec<&Path> =
        iter::once(&arguments.out).chain(&arguments.report).map(|path| &**path).collect();
    outputs::prepare(&written, &[&arguments.data])?;
    let options = options(arguments)?;
    let bar = Bar::new();
    let trained = aigate_tabular::train::train(&csv, &options, &bar);
    bar.clear();
    let artefact = trained.map_err(|error| error.to_string())?;
    artefact.save(&arguments.out).map_err(|error| error.to_string())?;
    if let Some(path) = &arguments.report {
        outputs::write(path, &report::html(&subject::trained(&artefact)))?;
    }
    print(&summary(&artefact, arguments))
}

fn options(arguments: &Arguments) -> Result<TrainOptions, String> {
    let stem = arguments.out.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = arguments.name.clone().or(stem).unwrap_or_else(|| "model".to_owned());
    let mut settings = Settings { seed: arguments.seed, trees: arguments.trees, ..Settings::default() };
    if let Some(threads) = arguments.threads {
        settings.threads = threads;
    }
    let source = Source {
        name: arguments.source_name.clone(),
        url: arguments.source_url.clone(),
        licence: arguments.source_licence.clone(),
        period: arguments.source_period.clone(),
        note: arguments.source_note.clone(),
    };
    let sensitive = &arguments.decision.sensitive;
    Ok(TrainOptions {
        clean: CleanOptions {
            positive: arguments.positive.clone(),
            work: arguments.task.map(|task| match task {
                Task::Classes => Work::Classes,
                Task::Number => Work::Numbers,
            }),
            drop: arguments.drop.clone(),
            keep: arguments.keep.clone(),
            keep_duplicates: arguments.keep_duplicates,
        },
        algorithm: arguments.algorithm.choice(),
        settings,
        folds: arguments.folds,
        balance: arguments.balance,
        costs: arguments.decision.costs()?,
        sensitive: (!sensitive.is_empty()).then(|| sensitive.clone()),
        decision: arguments.decision.positive(),
        version: arguments.version.clone(),
        command: command(),
        source: (source != Source::default()).then_some(source),
        ..TrainOptions::new(&arguments.target, name)
    })
}

/// The command line as it was given, without the folders of this machine.
fn command() -> String {
    let shown = |word: String| {
        let path = std::path::Path::new(&word);
        let name = path.is_absolute().then(|| path.file_name()).flatten();
        let word = name.map_or(word.clone(), |name| name.to_string_lossy().into_owned());
        if word.contains(' ') { format!("'{word}'") } else { word }
    };
    let words = std::env::args().skip(1).map(shown).collect::<Vec<_>>().join(" ");
    format!("aigate {words}")
}

fn summary(artefact: &Artefact, arguments: &Arguments) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    let _ = write_summary(&mut out, artefact, arguments);
    out
}

fn write_summary(out: &mut String, artefact: &Artefact, arguments: &Arguments) -> std::fmt::Result {
    writeln!(
        out,
        "{}: {} rows, {} columns; {} inputs are used",
        arguments.data.display(),
        artefact.data.rows,
        artefact.data.columns,
        artefact.schema.features.len()
    )?;
    for finding in &artefact.findings {
        let column = finding.column.as_ref().map(|column| format!("`{column}`: ")).unwrap_or_default();
        writeln!(out, "  {}{} ({})", column, finding.what, action(finding.action))?;
    }
    writeln!(out, "\ncross-validation, {} folds:", arguments.folds)?;
    let work = if artefact.schema.has_classes() { Work::Classes } else { Work::Numbers };
    for candidate in &artefact.comparison {
        let name = candidate.algorithm.name(work);
        let note = candidate.note.as_deref().unwrap_or_default();
        match (candidate.mean, candidate.spread) {
            (Some(mean), Some(spread)) => writeln!(
                out,
                "  {name:<24} {} {} ± {}   {:.1} s  {note}",
                candidate.metric,
                figure(mean),
                figure(spread),
                candidate.seconds
            )?,
            _ => writeln!(out, "  {name:<24} {note}")?,
        }
    }
    writeln!(out, "{}\n\n{}", artefact.choice, report::text(&subject::trained(artefact)))?;
    write!(out, "written to {}", arguments.out.display())?;
    match &arguments.report {
        Some(report) => writeln!(out, ", the report to {}", report.display()),
        None => writeln!(out),
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Dropped => "left out",
        Action::Kept => "kept",
        Action::Filled => "filled",
        Action::Merged => "merged",
        Action::Warned => "look at it",
    }
}

impl Algorithms {
    fn choice(self) -> Choice {
        match self {
            Self::Auto => Choice::Auto,
            Self::Linear => Choice::One(Algorithm::Linear),
            Self::Svm => Choice::One(Algorithm::Svm),
            Self::Tree => Choice::One(Algorithm::Tree),
            Self::Forest => Choice::One(Algorithm::Forest),
            Self::Boosting => Choice::One(Algorithm::Boosting),
        }
    }
}
