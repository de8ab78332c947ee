//! `aigate model pull hf:OWNER/REPO[@REV] [FILE]`

use std::{
    io::{IsTerminal, stderr},
    sync::{Mutex, PoisonError},
};

use aigate_hub::{Cache, Options, Progress, PullError, Reference, size};
use clap::{Args, error::ErrorKind};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::{
    out::{complain, print},
    runtime,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The model on the Hugging Face Hub, like hf:Qwen/Qwen3-0.6B-GGUF; a revision may follow: hf:OWNER/REPO@REVISION.
    #[arg(value_name = "hf:OWNER/REPO[@REVISION]", value_parser = Reference::parse)]
    model: Reference,
    /// The file to fetch. Default: the repository's only GGUF file, or the files of its encoder.
    #[arg(value_name = "FILE")]
    file: Option<String>,
}

pub(super) fn pull(arguments: &Arguments) -> Result<(), String> {
    let model = named(&arguments.model, arguments.file.as_deref());
    let (cache, options) = (Cache::from_environment()?, Options::from_environment()?);
    let shown = Shown::new();
    let pulled = runtime()?.block_on(aigate_hub::pull(&model, &cache, &options, &*shown));
    shown.end();
    match pulled {
        Ok(path) => {
            // What came is what the Hub has; whether a model is in it is another question.
            if (path.is_dir() || path.extension().is_some_and(|ending| ending == "gguf"))
                && let Err(why) = aigate_local::language_facts(&path, false)
            {
                complain(&format!("note: this program cannot run it: {why}"));
            }
            print(&format!("{}\n", path.display()))
        }
        Err(error) if error.is_usage() => wrong(&choice(&model, &error)),
        Err(error) => Err(error.to_string()),
    }
}

/// The reference with the file that is named beside it.
pub(super) fn named(model: &Reference, file: Option<&str>) -> Reference {
    match file.map(|file| model.clone().with_file(file)) {
        Some(Err(why)) => wrong(&why),
        Some(Ok(named)) => named,
        None => model.clone(),
    }
}

/// Ends the program as for wrong arguments.
pub(super) fn wrong(why: &str) -> ! {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{why}\n")).exit()
}

fn choice(model: &Reference, error: &PullError) -> String {
    format!("{error}\nusage: {} FILE", model.pull_command())
}

/// Shows a pull on standard error: a bar on a terminal, lines elsewhere.
enum Shown {
    Bar(Mutex<ProgressBar>),
    Lines,
}

impl Shown {
    fn new() -> Box<Self> {
        Box::new(if stderr().is_terminal() {
            Self::Bar(Mutex::new(ProgressBar::hidden()))
        } else {
            Self::Lines
        })
    }

    fn with(&self, act: impl FnOnce(&mut ProgressBar)) {
        if let Self::Bar(bar) = self {
            act(&mut bar.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Progress for Shown {
    fn begin(&self, file: &str, bytes: u64) {
        match self {
            Self::Lines => complain(&format!("pulling {file} ({})", size(bytes))),
            Self::Bar(_) => self.with(|bar| {
                let form = "{msg:<40!} [{bar:20}] {decimal_bytes:>9}/{decimal_total_bytes} {decimal_bytes_per_sec} (left: {eta})";
                let style =
                    ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
                *bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr()).with_style(style);
                bar.set_message(file.to_owned());
            }),
        }
    }

    fn at(&self, bytes: u64) {
        self.with(|bar| bar.set_position(bytes));
    }

    fn end(&self) {
        self.with(|bar| bar.finish_and_clear());
    }

    fn note(&self, text: &str) {
        match self {
            Self::Lines => complain(text),
            Self::Bar(_) => self.with(|bar| bar.suspend(|| complain(text))),
        }
    }
}
