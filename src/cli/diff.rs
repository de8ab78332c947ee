//! `aigate diff OLD NEW`

use std::path::PathBuf;

use super::out::print;
use crate::config::{self, Source};

/// Prints what changes from one configuration file to another, in words. Both must be right in form; exit code 0 whether or
/// not they differ.
pub(super) fn diff(old: PathBuf, new: PathBuf) -> Result<(), String> {
    let load = |file: PathBuf| {
        config::load(&Source::File(file.clone()))
            .map_err(|faults| format!("{}:\n{}", file.display(), config::report(&faults)))
    };
    let (old, new) = (load(old)?, load(new)?);
    let changes = old.tree.changes(&new.tree);
    print(&match changes.len() {
        0 => "no difference\n".to_owned(),
        _ => changes.join("\n") + "\n",
    })
}
