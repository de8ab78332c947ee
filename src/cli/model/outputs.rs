//! Where results go: looked at before the work, so that no result is lost and no input is overwritten.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Makes the folders of files that are to be written.
///
/// # Errors
/// A file that cannot be written, that is read as well, or that is to hold two results.
pub(super) fn prepare(outputs: &[&Path], inputs: &[&Path]) -> Result<(), String> {
    for (at, output) in outputs.iter().enumerate() {
        writable(output)?;
        let same = |other: &&&Path| place(other) == place(output);
        if inputs.iter().any(|input| same(&input)) {
            return Err(format!("{} is read as well: write to another file", output.display()));
        }
        if outputs.iter().take(at).any(|other| same(&other)) {
            return Err(format!("{} is to hold two results: name two files", output.display()));
        }
    }
    Ok(())
}

/// Writes a report, whole or not at all.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write(path: &Path, text: &str) -> Result<(), String> {
    let part = beside(path);
    fs::write(&part, text).and_then(|()| fs::rename(&part, path)).map_err(|error| {
        // The first error is the one to tell; without this a half-written file would stay behind.
        let _ = fs::remove_file(&part);
        format!("cannot write {}: {error}", path.display())
    })
}

fn writable(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Err(format!("cannot write {}: it is a folder, not a file", path.display()));
    }
    if path.exists() && !path.is_file() {
        return Err(format!("cannot write {}: it is not an ordinary file", path.display()));
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)
            .map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))?;
    }
    let probe = beside(path);
    File::create(&probe)
        .and_then(|_| fs::remove_file(&probe))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// A name of this process's own in the same folder.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

/// The file that a path leads to, whatever the way, even if it is not there yet.
fn place(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok().or_else(|| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(fs::canonicalize(folder).ok()?.join(path.file_name()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("aigate-outputs-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn an_input_is_not_overwritten_whatever_the_way_to_it() {
        let folder = folder("input");
        let data = folder.join("a.csv");
        fs::write(&data, "a\n1\n").unwrap();
        let again = folder.join("sub/../a.csv");
        fs::create_dir_all(folder.join("sub")).unwrap();
        for output in [&data, &again] {
            assert!(prepare(&[output], &[&data]).unwrap_err().contains("is read as well"));
        }
        assert_eq!(fs::read_to_string(&data).unwrap(), "a\n1\n");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn two_results_do_not_share_a_file_and_a_folder_is_none() {
        let folder = folder("two");
        let (new, same) = (folder.join("deep/m.json"), folder.join("deep/../deep/m.json"));
        assert!(prepare(&[&new, &same], &[]).unwrap_err().contains("two results"));
        assert!(prepare(&[&folder], &[]).unwrap_err().ends_with("it is a folder, not a file"));
        assert!(prepare(&[&new], &[]).is_ok() && folder.join("deep").is_dir() && !new.exists());
        let below = folder.join("file");
        fs::write(&below, "").unwrap();
        assert!(prepare(&[&below.join("m.json")], &[]).unwrap_err().contains("cannot make the folder"));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_report_takes_the_place_of_an_older_one_and_leaves_nothing_behind() {
        let folder = folder("report");
        let report = folder.join("r.html");
        fs::write(&report, "old").unwrap();
        write(&report, "new").unwrap();
        assert_eq!(fs::read_to_string(&report).unwrap(), "new");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
