//! A progress bar on standard error; nothing where that is no terminal.

use std::sync::Mutex;

use aigate_tabular::progress::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar of the stage that runs.
pub(super) struct Bar(Mutex<ProgressBar>);

impl Bar {
    pub(super) fn new() -> Self {
        Self(Mutex::new(ProgressBar::hidden()))
    }

    fn with<R>(&self, act: impl FnOnce(&mut ProgressBar) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Takes the bar off the screen.
    pub(super) fn clear(&self) {
        self.with(|bar| bar.finish_and_clear());
    }
}

impl Progress for Bar {
    fn begin(&self, stage: &str, steps: u64) {
        let form = "{msg:<40} [{bar:30}] {pos}/{len} {elapsed} (left: {eta})";
        let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
        let fresh =
            ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr()).with_style(style);
        fresh.set_message(stage.to_owned());
        self.with(|bar| {
            bar.finish_and_clear();
            *bar = fresh;
        });
    }

    fn advance(&self, steps: u64) {
        self.with(|bar| bar.inc(steps));
    }
}
