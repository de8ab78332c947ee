//! `aigate model …`: train, evaluate and explain models over tables; fetch, list, show and remove language models.

mod bar;
mod evaluate;
mod explain;
#[cfg(feature = "language")]
mod list;
mod options;
mod outputs;
#[cfg(feature = "language")]
mod pull;
#[cfg(feature = "language")]
mod rm;
mod score;
#[cfg(feature = "language")]
mod show;
mod subject;
mod train;

use std::path::{Path, PathBuf};

use aigate_tabular::{
    artefact::{Artefact, ArtefactError, PredictError, onnx::OnnxError},
    table::locate,
};
use clap::Subcommand;

use super::out::print;

/// Models of this machine. Over tables: train one from a CSV file, measure it beside the clouds', explain its scores. Language
/// models: fetch them, list, show and remove them.
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
    /// Fetch a language model from the Hugging Face Hub into its cache folder.
    #[cfg(feature = "language")]
    Pull(pull::Arguments),
    /// List the language models in the Hub's cache folder.
    #[cfg(feature = "language")]
    List(list::Arguments),
    /// Remove a language model from the Hub's cache folder.
    #[cfg(feature = "language")]
    Rm(rm::Arguments),
    /// Say what a language model is and what it needs; measure how fast it is here.
    #[cfg(feature = "language")]
    Show(show::Arguments),
}

pub(super) fn model(command: Command) -> Result<(), String> {
    match command {
        Command::Train(arguments) => train::train(&arguments),
        Command::Evaluate(arguments) => evaluate::evaluate(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Card { file } => print(&load(file.as_ref())?.card()),
        #[cfg(feature = "language")]
        Command::Pull(arguments) => pull::pull(&arguments),
        #[cfg(feature = "language")]
        Command::List(arguments) => list::list(&arguments),
        #[cfg(feature = "language")]
        Command::Rm(arguments) => rm::rm(&arguments),
        #[cfg(feature = "language")]
        Command::Show(arguments) => show::show(&arguments, aigate_local::language_facts),
    }
}

/// A model file, or the built-in sample.
fn load(file: Option<&PathBuf>) -> Result<Artefact, String> {
    let Some(file) = file else {
        return Artefact::read(aigate_local::sample()).map_err(|error| error.to_string());
    };
    if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) {
        return Err(format!(
            "{}: an onnx model gives scores only; this needs a model trained by aigate",
            file.display()
        ));
    }
    Artefact::load(file).map_err(|error| unread(file, &PredictError::Artefact(error)))
}

/// Why a model file cannot be read, with its name.
fn unread(file: &Path, error: &PredictError) -> String {
    match error {
        PredictError::Artefact(ArtefactError::File { .. }) | PredictError::Onnx(OnnxError::File { .. }) => {
            error.to_string()
        }
        _ => format!("{}: {error}", file.display()),
    }
}

/// Why rows of a data file cannot be scored or explained, with the file and the line.
fn unscored(data: &Path, error: PredictError) -> String {
    match error {
        PredictError::Table(error) => locate(error, data).to_string(),
        other => other.to_string(),
    }
}
