//! `aigate model evaluate --data FILE.csv (--artefact FILE | --model NAME)…`: systems measured on the same rows.

mod systems;

use std::{
    iter,
    path::{Path, PathBuf},
};

use aigate_tabular::{
    algorithm::Work,
    evaluate::{EvalOptions, Evaluation, Scored, evaluate as measure},
    metrics::cheapest,
    prepare,
    report::{self, Subject},
    schema::{Outcome, OutcomeKind, Schema},
    table::{Column, Csv, Table, TableError, locate, read_csv},
};
use clap::Args;
use serde_json::{Value, json};

use self::systems::System;
use super::{bar::Bar, options::Decision, outputs, subject};
use crate::cli::{out::print, runtime};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The rows to score: a CSV file with the model's inputs and the outcome.
    #[arg(long, value_name = "FILE.csv")]
    data: PathBuf,
    /// A model file to measure. Repeat it for more. Without this and --model: the sample that is built in.
    #[arg(long, value_name = "FILE")]
    artefact: Vec<PathBuf>,
    /// A predict model of the configuration: each of its deployments is asked, through the policies of production.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Only this deployment of it, e.g. `aws/credit-risk`. Repeat it for more.
    #[arg(long, value_name = "PROVIDER/TARGET", requires = "model")]
    deployment: Vec<String>,
    /// The configuration file. Default: aigate.toml here, else the built-in sample.
    #[arg(long, short, env = "AIGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The output that is the score.
    #[arg(long, default_value = "score", requires = "model")]
    output: String,
    /// The column with the outcome. Default: what the model file was trained to predict.
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// The class that scores are the probability of. Default: as the model file says.
    #[arg(long, value_name = "VALUE")]
    positive: Option<String>,
    /// Cross-validate instead: train each model file anew on this many folds of the data, with its algorithm and settings, and
    /// measure what the rows left out are given.
    #[arg(long, value_name = "K", conflicts_with = "model")]
    folds: Option<usize>,
    /// A score at or above it is a positive decision. Default: what the costs choose on these rows, else as the model file
    /// says, else 0.5.
    #[arg(long)]
    threshold: Option<f64>,
    #[command(flatten)]
    decision: Decision,
    /// Draws for the confidence intervals; 0 for none.
    #[arg(long, default_value_t = 1000)]
    resamples: usize,
    /// Where random draws start.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write a report with plots: one HTML file.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

pub(super) fn evaluate(arguments: &Arguments) -> Result<(), String> {
    let csv = read_csv(&arguments.data).map_err(|error| error.to_string())?;
    if arguments.threshold.is_some_and(|threshold| !threshold.is_finite()) {
        return Err("--threshold is a number".to_owned());
    }
    let inputs: Vec<&Path> =
        iter::once(&arguments.data).chain(&arguments.artefact).map(|path| &**path).collect();
    let report: Vec<&Path> = arguments.report.iter().map(|path| &**path).collect();
    outputs::prepare(&report, &inputs)?;
    let bar = Bar::new();
    let measured = runtime()?.block_on(async {
        let systems = systems::find(arguments)?;
        let schema = schema(arguments, &systems, &csv)?;
        let mut measured = Vec::with_capacity(systems.len());
        for system in &systems {
            let told = system.score(&csv, arguments, &bar).await;
            let scores = told.map_err(|why| format!("{}: {why}", system.name()))?;
            measured.push(judge(system, &schema, &csv, &scores, arguments)?);
        }
        Ok::<_, String>((systems, schema, measured))
    });
    bar.clear();
    let (systems, schema, measured) = measured?;
    let json = arguments.json.then(|| format!("{:#}\n", as_json(&systems, &measured)));
    let subject = subject(arguments, &schema, &csv, &systems, measured);
    if let Some(path) = &arguments.report {
        outputs::write(path, &report::html(&subject))?;
    }
    if let Some(json) = json {
        return print(&json);
    }
    print(&report::text(&subject))?;
    match &arguments.report {
        Some(path) => print(&format!("\nthe report is in {}\n", path.display())),
        None => Ok(()),
    }
}

/// What the outcome is: as the first model file says, or as the options do.
fn schema(arguments: &Arguments, systems: &[System], csv: &Csv) -> Result<Schema, String> {
    let known = systems.iter().find_map(System::schema);
    let column = arguments.target.clone().or_else(|| known.map(|schema| schema.outcome.column.clone()));
    let column =
        column.ok_or("no deployment here knows the column with the outcome: name it with --target")?;
    if let (Some(OutcomeKind::Classes { negative, positive }), Some(asked)) =
        (known.map(|schema| &schema.outcome.kind), &arguments.positive)
        && negative == asked
    {
        return Err(format!(
            "the model's scores are the probability of `{positive}`, not of `{asked}` (--positive)"
        ));
    }
    if let Some(known) = known.filter(|_| arguments.positive.is_none()) {
        let outcome = Outcome { column, ..known.outcome.clone() };
        return Ok(Schema { features: Vec::new(), outcome });
    }
    let options =
        prepare::CleanOptions { positive: arguments.positive.clone(), ..prepare::CleanOptions::default() };
    let cleaned = prepare::clean(&csv.table, &column, &options).map_err(|error| error.to_string())?;
    Ok(Schema { features: Vec::new(), ..cleaned.schema })
}

fn judge(
    system: &System,
    schema: &Schema,
    csv: &Csv,
    scores: &[f64],
    arguments: &Arguments,
) -> Result<Evaluation, String> {
    let column = csv.table.column(&schema.outcome.column).ok_or_else(|| {
        format!(
            "{} has no column `{}`: name the outcome with --target",
            arguments.data.display(),
            schema.outcome.column
        )
    })?;
    let outcome = outcome(schema, column).map_err(|error| locate(error, &arguments.data).to_string())?;
    let classes = matches!(schema.outcome.kind, OutcomeKind::Classes { .. });
    let groups = groups(&csv.table, &schema.outcome.column, &arguments.decision.sensitive)?;
    let scored = Scored {
        outcome: &outcome,
        scores,
        work: if classes { Work::Classes } else { Work::Numbers },
        groups: &groups,
    };
    let costs = arguments.decision.costs()?;
    if !classes && (costs.is_some() || arguments.threshold.is_some()) {
        return Err("a threshold and costs are about classes, but the outcome is a number".to_owned());
    }
    let cheapest = || {
        let known =
            outcome.iter().zip(scores).filter(|(outcome, score)| outcome.is_finite() && score.is_finite());
        let (outcome, scores): (Vec<f64>, Vec<f64>) =
            known.map(|(outcome, score)| (*outcome, *score)).unzip();
        Some(cheapest(&outcome, &scores, costs?)?.threshold)
    };
    let options = EvalOptions {
        threshold: arguments.threshold.or_else(cheapest).or_else(|| system.threshold()).unwrap_or(0.5),
        positive: arguments.decision.positive(),
        costs,
        resamples: arguments.resamples,
        seed: arguments.seed,
        ..EvalOptions::default()
    };
    Ok(measure(&scored, &options))
}

/// The outcomes; NaN where there is none, and an error if there is none anywhere.
fn outcome(schema: &Schema, column: &Column) -> Result<Vec<f64>, TableError> {
    let known: Vec<usize> = (0..column.len()).filter(|row| !column.is_missing(*row)).collect();
    if known.is_empty() {
        return prepare::outcome(schema, column);
    }
    let values = prepare::outcome(schema, &column.select(&known)).map_err(|error| error.selected(&known))?;
    let mut outcome = vec![f64::NAN; column.len()];
    for (row, value) in known.into_iter().zip(values) {
        if let Some(place) = outcome.get_mut(row) {
            *place = value;
        }
    }
    Ok(outcome)
}

fn groups(table: &Table, target: &str, names: &[String]) -> Result<Vec<(String, Vec<String>)>, String> {
    if names.iter().any(|name| name == target) {
        return Err(format!("`{target}` is the outcome; its groups cannot be measured (--sensitive)"));
    }
    match names.iter().find(|name| table.column(name).is_none()) {
        Some(absent) => Err(format!("the data has no column `{absent}` (--sensitive)")),
        None => Ok(prepare::groups(table, names)),
    }
}

fn as_json(systems: &[System], measured: &[Evaluation]) -> Value {
    let one = |(system, evaluation): (&System, &Evaluation)| json!({ "name": system.name(), "version": system.version(), "evaluation": evaluation });
    json!({ "systems": systems.iter().zip(measured).map(one).collect::<Vec<_>>() })
}

fn subject(
    arguments: &Arguments,
    schema: &Schema,
    csv: &Csv,
    systems: &[System],
    measured: Vec<Evaluation>,
) -> Subject {
    let title = arguments.model.clone().unwrap_or_else(|| "model evaluation".to_owned());
    let system = |(system, evaluation): (&System, Evaluation)| report::System {
        name: system.name().to_owned(),
        facts: system.facts(arguments.folds),
        evaluation,
        importance: system.importance(),
    };
    let on_these_rows = arguments.threshold.is_none() && arguments.decision.chooses();
    let chosen = on_these_rows.then(|| {
        "the costs chose the threshold on these very rows: on others decisions may cost more.".to_owned()
    });
    let thresholds = measured.iter().filter_map(|one| Some(one.classes()?.threshold));
    let differ = thresholds.clone().zip(thresholds.skip(1)).any(|(one, next)| one != next).then(|| {
        "the thresholds differ: accuracy, precision, recall, F1 and groups do not compare; --threshold sets one for all.".to_owned()
    });
    Subject {
        title,
        outcome: subject::outcome(&schema.outcome),
        facts: vec![
            subject::fact("data", &csv.fingerprint.file),
            subject::fact("rows", &csv.fingerprint.rows.to_string()),
            subject::fact("SHA-256 of the data", &csv.fingerprint.sha256),
            subject::fact("measured by", concat!("aigate ", env!("CARGO_PKG_VERSION"))),
        ],
        systems: systems.iter().zip(measured).map(system).collect(),
        notes: (systems.iter().filter_map(|system| system.caution(arguments.folds)))
            .chain(chosen)
            .chain(differ)
            .collect(),
    }
}
