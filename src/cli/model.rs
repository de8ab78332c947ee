//! `aigate model …`: train, evaluate and explain models over tables.

mod bar;
mod evaluate;
mod explain;
mod options;
mod score;
mod subject;
mod train;

use std::path::PathBuf;

use aigate_tabular::artefact::Artefact;
use clap::Subcommand;

use super::out::print;

/// Models over tables: train one from a CSV file, measure it beside the clouds', explain its scores.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Train a model from a CSV file: clean, compare algorithms by cross-validation, fit the best, write one file.
    Train(Box<train::Arguments>),
    /// Measure models on a CSV file whose outcomes are known: a model file, or the deployments of a model in the
    /// configuration, on the same rows.
    Evaluate(Box<evaluate::Arguments>),
    /// Say what moves a model's scores, over all rows or for single ones.
    Explain(explain::Arguments),
    /// Print the model card (Markdown) of a model file.
    Card {
        /// The model file. Default: the sample that is built in.
        file: Option<PathBuf>,
    },
}

pub(super) fn model(command: Command) -> Result<(), String> {
    match command {
        Command::Train(arguments) => train::train(&arguments),
        Command::Evaluate(arguments) => evaluate::evaluate(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Card { file } => print(&load(file.as_ref())?.card()),
    }
}

/// A model file, or the built-in sample.
fn load(file: Option<&PathBuf>) -> Result<Artefact, String> {
    match file {
        Some(file) => Artefact::load(file),
        None => Artefact::read(aigate_local::sample()),
    }
    .map_err(|error| error.to_string())
}

/// Writes a report, whole or not at all.
fn write(path: &std::path::Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
