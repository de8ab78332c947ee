//! `aigate model evaluate --data FILE.csv (--artefact FILE | --model NAME)…`: systems measured on the same rows.

mod systems;

use std::path::PathBuf;

use aigate_tabular::{
    algorithm::Work,
    evaluate::{EvalOptions, Evaluation, Scored, evaluate as measure},
    prepare,
    report::{self, Subject},
    schema::{Outcome, OutcomeKind, Schema},
    table::{Csv, Table, read_csv},
};
use clap::Args;
use serde_json::{Value, json};

use self::systems::System;
use super::{bar::Bar, options::Decision, subject, write};
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
    #[arg(long, default_value = "score")]
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
    /// A score at or above it is a positive decision. Default: as the model file says, else 0.5.
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
    if arguments.json {
        return print(&format!("{:#}\n", as_json(&systems, &measured)));
    }
    let subject = subject(arguments, &schema, &csv, &systems, measured);
    if let Some(path) = &arguments.report {
        write(path, &report::html(&subject))?;
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
    let outcome = prepare::outcome(schema, column).map_err(|error| error.to_string())?;
    let classes = matches!(schema.outcome.kind, OutcomeKind::Classes { .. });
    let groups = groups(&csv.table, &arguments.decision.sensitive)?;
    let scored = Scored {
        outcome: &outcome,
        scores,
        work: if classes { Work::Classes } else { Work::Numbers },
        groups: &groups,
    };
    let options = EvalOptions {
        threshold: arguments.threshold.or_else(|| system.threshold()).unwrap_or(0.5),
        positive: arguments.decision.positive(),
        costs: arguments.decision.costs(),
        resamples: arguments.resamples,
        seed: arguments.seed,
        ..EvalOptions::default()
    };
    Ok(measure(&scored, &options))
}

fn groups(table: &Table, names: &[String]) -> Result<Vec<(String, Vec<String>)>, String> {
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
        notes: systems.iter().filter_map(|system| system.caution(arguments.folds)).collect(),
    }
}
