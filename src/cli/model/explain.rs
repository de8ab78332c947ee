//! `aigate model explain [--model FILE] [--data FILE.csv --row N]`

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use aigate_tabular::{
    artefact::{Artefact, PredictError, Predictor},
    explain::{Contributions, Direction, Reason, reasons},
    table::{Table, read_csv},
};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{load, unscored};
use crate::cli::out::print;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The model file. Default: the sample that is built in.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Rows to explain: a CSV file with the model's inputs. Without it: what moves the scores of all training rows.
    #[arg(long, value_name = "FILE.csv")]
    data: Option<PathBuf>,
    /// A row of the data, counted from 1. Repeat it for more. Default: the first ten.
    #[arg(long, value_name = "N", requires = "data")]
    row: Vec<usize>,
    /// How many features to name.
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// Which scores are bad for the person they are about: reasons are what moved a score that way.
    #[arg(long, value_enum, default_value_t = Adverse::High)]
    adverse: Adverse,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Adverse {
    High,
    Low,
}

/// What one row's score is made of.
struct Explained {
    row: usize,
    score: f64,
    contributions: Contributions,
    reasons: Vec<Reason>,
}

pub(super) fn explain(arguments: &Arguments) -> Result<(), String> {
    let artefact = load(arguments.model.as_ref())?;
    let Some(data) = &arguments.data else { return print(&global(&artefact, arguments)) };
    let table = read_csv(data).map_err(|error| error.to_string())?.table;
    let rows = chosen(arguments, table.rows)?;
    let predictor = Predictor::new(artefact);
    let explained = each(&predictor, data, &table, &rows, arguments)?;
    print(&if arguments.json {
        as_json(&predictor, &explained)
    } else {
        as_text(&predictor, &explained, arguments)
    })
}

/// The rows that are asked for, counted from 0.
fn chosen(arguments: &Arguments, rows: usize) -> Result<Vec<usize>, String> {
    if arguments.row.is_empty() {
        return Ok((0..rows.min(10)).collect());
    }
    let one = |row: &usize| match row.checked_sub(1) {
        Some(index) if index < rows => Ok(index),
        _ => Err(format!("there is no row {row}: the data has the rows 1 to {rows}")),
    };
    arguments.row.iter().map(one).collect()
}

fn each(
    predictor: &Predictor,
    data: &Path,
    table: &Table,
    rows: &[usize],
    arguments: &Arguments,
) -> Result<Vec<Explained>, String> {
    let adverse = match arguments.adverse {
        Adverse::High => Direction::High,
        Adverse::Low => Direction::Low,
    };
    let part = table.select(rows);
    let failed = |error| match error {
        PredictError::Table(error) => unscored(data, PredictError::Table(error.selected(rows))),
        other => other.to_string(),
    };
    let scores = predictor.score(&part).map_err(failed)?;
    let contributions = predictor.explain(&part).map_err(failed)?;
    let explained = rows.iter().zip(scores).zip(contributions).enumerate();
    let one = explained.map(|(place, ((row, score), contributions))| Explained {
        row: row + 1,
        score,
        reasons: reasons(predictor.schema(), &part, place, &contributions, adverse, arguments.top),
        contributions,
    });
    Ok(one.collect())
}

fn global(artefact: &Artefact, arguments: &Arguments) -> String {
    if arguments.json {
        let list: Vec<Value> = (artefact.importance.iter())
            .map(|(feature, importance)| json!({ "feature": feature, "importance": importance }))
            .collect();
        return format!("{:#}\n", json!({ "model": artefact.name, "importance": list }));
    }
    let mut out = format!(
        "{}: what moves the raw score, over all training rows (mean of the absolute contributions)\n\n",
        artefact.name
    );
    let most = artefact.importance.first().map_or(1.0, |(_, most)| *most).max(f64::MIN_POSITIVE);
    for (feature, importance) in artefact.importance.iter().take(arguments.top.max(1)) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a bar of 0 to 40 characters"
        )]
        let bar = "█".repeat((importance / most * 40.0).round() as usize);
        // Writing into a string does not fail.
        let _ = writeln!(out, "  {feature:<28} {importance:>9.4}  {bar}");
    }
    let more = artefact.importance.len().saturating_sub(arguments.top.max(1));
    if more > 0 {
        let _ = writeln!(out, "  and {more} more: see them with --top {}", artefact.importance.len());
    }
    out
}

fn as_text(predictor: &Predictor, explained: &[Explained], arguments: &Arguments) -> String {
    let mut out = String::new();
    for Explained { row, score, contributions, reasons } in explained {
        let Contributions { base, raw, values, exact } = contributions;
        let how = if *exact { "" } else { " (approximate)" };
        // Writing into a string does not fail.
        let _ =
            writeln!(out, "row {row}: score {score:.4}; {base:+.4} and contributions{how} make {raw:+.4}");
        let mut ranked: Vec<(&str, f64)> = (predictor.schema().features.iter())
            .map(|feature| feature.name.as_str())
            .zip(values.iter().copied())
            .collect();
        ranked.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        for (feature, value) in ranked.iter().take(arguments.top) {
            let _ = writeln!(out, "  {value:>+9.4}  {feature}");
        }
        let rest: f64 = ranked.iter().skip(arguments.top).map(|(_, value)| value).sum();
        let _ = writeln!(out, "  {rest:>+9.4}  all others");
        for reason in reasons {
            let _ = writeln!(out, "  reason {}: {}", reason.rank, reason.words);
        }
    }
    out
}

fn as_json(predictor: &Predictor, explained: &[Explained]) -> String {
    let features: Vec<&str> =
        predictor.schema().features.iter().map(|feature| feature.name.as_str()).collect();
    let rows: Vec<Value> = (explained.iter())
        .map(|Explained { row, score, contributions, reasons }| {
            json!({
                "row": row, "score": score, "base": contributions.base, "raw_score": contributions.raw,
                "contributions": contributions.values, "exact": contributions.exact, "reasons": reasons,
            })
        })
        .collect();
    format!("{:#}\n", json!({ "model": predictor.name(), "features": features, "rows": rows }))
}
