//! `aigate demo`: the gateway in front of three simulated clouds that break one after another while calls go on.

mod decision;
mod show;
mod stage;
mod tour;

use super::{out::print, runtime, serve::wait_for_signal};

/// Options of the demo.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The port for callers; 0 lets the system choose.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Stay up after the tour, until Ctrl-C. The default in a terminal; in a pipe the demo ends with the tour.
    #[arg(long)]
    stay: bool,
    /// End with the tour, also in a terminal.
    #[arg(long, conflicts_with = "stay")]
    once: bool,
}

pub(super) fn demo(arguments: &Arguments) -> Result<(), String> {
    let show = show::Show::new();
    runtime()?.block_on(run(arguments, &show))
}

async fn run(arguments: &Arguments, show: &show::Show) -> Result<(), String> {
    let stage = stage::Stage::set(arguments.port).await?;
    print(&show.welcome(stage.url(), stage.operations_url(), stage.own.as_deref()))?;
    let tour = tour::tour(&stage, show);
    let tally = tokio::select! {
        tally = tour => tally,
        stopped = wait_for_signal() => {
            stage.clear().await;
            return stopped;
        }
    };
    let tally = match tally {
        Ok(tally) => tally,
        Err(why) => {
            stage.clear().await;
            return Err(why);
        }
    };
    print(&show.farewell(&tally))?;
    if arguments.stay || (show.is_terminal() && !arguments.once) {
        print("The gateway stays up until Ctrl-C.\n")?;
        wait_for_signal().await?;
    }
    stage.clear().await;
    if tally.surprises == 0 {
        Ok(())
    } else {
        Err(format!("{} calls did not go as the demo promises", tally.surprises))
    }
}
