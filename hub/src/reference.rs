//! Names on the Hub: `hf:OWNER/REPO[@REV][/FILE]`, checked so that none of them can lead out of the cache folder.
//!
//! The Hub's rules for names: <https://huggingface.co/docs/huggingface_hub/package_reference/hf_uris>.

use std::fmt;

/// A model on the Hub: a repository, or one file of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    owner: String,
    repo: String,
    revision: Option<String>,
    file: Option<String>,
}

/// What a reference looks like, for messages.
const FORM: &str = "hf:OWNER/REPO[@REVISION][/FILE]";

/// The longest name of an owner or a repository, in bytes; that of a folder or file is the file systems'.
const LONGEST_NAME: usize = 96;
const LONGEST_SEGMENT: usize = 255;
const LONGEST_PATH: usize = 1024;

impl Reference {
    /// Reads `hf:OWNER/REPO[@REVISION][/FILE]`. A revision is a branch, a tag or a commit without a slash, or
    /// `refs/pr/N`; a file may lie in folders.
    ///
    /// # Errors
    /// Another form, or a name that the Hub does not allow.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` is no model on the hub: {why}; its form is {FORM}");
        let rest = text.strip_prefix("hf:").ok_or_else(|| wrong("it does not begin with `hf:`"))?;
        let (owner, rest) =
            rest.split_once('/').ok_or_else(|| wrong("there is no `/` between owner and repository"))?;
        let (repo, rest) = rest.split_at(rest.find(['@', '/']).unwrap_or(rest.len()));
        check_name(owner, "owner").map_err(|why| wrong(&why))?;
        check_name(repo, "repository").map_err(|why| wrong(&why))?;
        let (revision, file) = match rest.strip_prefix('@') {
            Some(rest) => {
                let (revision, file) = split_revision(rest);
                check_revision(revision).map_err(|why| wrong(&why))?;
                (Some(revision), file)
            }
            None => (None, rest.strip_prefix('/')),
        };
        if let Some(file) = file {
            check_path(file).map_err(|why| wrong(&why))?;
        }
        Ok(Self {
            owner: owner.to_owned(),
            repo: repo.to_owned(),
            revision: revision.map(str::to_owned),
            file: file.map(str::to_owned),
        })
    }

    /// The same repository and revision with this file.
    ///
    /// # Errors
    /// A name that could lead out of the repository, or a second file.
    pub fn with_file(self, file: &str) -> Result<Self, String> {
        if let Some(first) = &self.file {
            return Err(format!("two files are named, `{first}` and `{file}`: name one"));
        }
        check_path(file)?;
        Ok(Self { file: Some(file.to_owned()), ..self })
    }

    /// The owner: a person or an organisation.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The repository's name, without its owner.
    #[must_use]
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// The revision that is named, if one is.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// The revision to take: as named, or the Hub's default.
    #[must_use]
    pub fn revision_or_main(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The file that is named, if one is, with `/` between folders.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// `OWNER/REPO`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.owner, self.repo)
    }

    /// The command that fetches it.
    #[must_use]
    pub fn pull_command(&self) -> String {
        let mut command = format!("aigate model pull hf:{}", self.id());
        if let Some(revision) = &self.revision {
            command = format!("{command}@{revision}");
        }
        match &self.file {
            Some(file) if file.contains(|c: char| !c.is_ascii_alphanumeric() && !"-_./".contains(c)) => {
                format!("{command} '{}'", file.replace('\'', r"'\''"))
            }
            Some(file) => format!("{command} {file}"),
            None => command,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}/{}", self.owner, self.repo)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        self.file.iter().try_for_each(|file| write!(f, "/{file}"))
    }
}

/// Whether this is a whole commit hash.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && is_hex(text)
}

/// Whether this is the checksum by which the Hub names a content: Git's SHA-1, or SHA-256.
pub(crate) fn is_etag(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && is_hex(text)
}

/// Lower-case hexadecimal digits only.
pub(crate) fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Checks a file's path within a repository: relative, no way up, nothing that a file system reads in its own way.
pub(crate) fn check_path(path: &str) -> Result<(), String> {
    let odd = |c: char| c.is_control() || "\\:*?\"<>|".contains(c);
    if path.len() > LONGEST_PATH {
        return Err(format!("a file name of {} bytes; at most {LONGEST_PATH} are allowed", path.len()));
    }
    if path.contains(odd) {
        return Err(format!("the file name {path:?} has a character that is not allowed"));
    }
    let bad = |segment: &str| matches!(segment, "" | "." | "..") || segment.len() > LONGEST_SEGMENT;
    if path.split('/').any(bad) {
        return Err(format!("the file name {path:?} is no plain path within a repository"));
    }
    Ok(())
}

/// The revision and the file of `REVISION[/FILE]`. Only the Hub's own `refs/pr/N` and `refs/convert/NAME` have slashes.
fn split_revision(text: &str) -> (&str, Option<&str>) {
    let slashes = if text.starts_with("refs/pr/") || text.starts_with("refs/convert/") { 2 } else { 0 };
    match text.match_indices('/').nth(slashes) {
        Some((at, _)) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

fn check_name(name: &str, what: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let edge = |c: Option<char>| c.is_none_or(|c| "-.".contains(c));
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(allowed) {
        return Err(format!(
            "the {what} `{name}` must have 1 to {LONGEST_NAME} letters, digits, `-`, `_` or `.`"
        ));
    }
    if edge(name.chars().next()) || edge(name.chars().last()) || name.contains("--") || name.contains("..") {
        return Err(format!(
            "the {what} `{name}` must not begin or end with `-` or `.`, nor have `--` or `..`"
        ));
    }
    Ok(())
}

fn check_revision(revision: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./+".contains(c);
    if !revision.chars().all(allowed) || revision.ends_with(".lock") || revision.starts_with('-') {
        return Err(format!("the revision `{revision}` is no name of a branch, a tag or a commit"));
    }
    check_path(revision)
        .map_err(|_| format!("the revision `{revision}` is no name of a branch, a tag or a commit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_shown_as_it_was_written() {
        for text in [
            "hf:a/b",
            "hf:a/b@main",
            "hf:a/b/c.gguf",
            "hf:a/b@v1.0/dir/c.gguf",
            "hf:a/b@refs/pr/3",
            "hf:a/b@refs/pr/3/c@2.gguf",
            "hf:Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf",
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_parts_of_a_reference_are_told_apart() {
        let reference = Reference::parse("hf:o/r@refs/pr/3/sub/c.gguf").unwrap();
        assert_eq!((reference.owner(), reference.repo()), ("o", "r"));
        assert_eq!(reference.revision(), Some("refs/pr/3"));
        assert_eq!(reference.file(), Some("sub/c.gguf"));
        assert_eq!(reference.pull_command(), "aigate model pull hf:o/r@refs/pr/3 sub/c.gguf");
        let reference = Reference::parse("hf:o/r").unwrap().with_file("it's.gguf").unwrap();
        assert_eq!(reference.pull_command(), r"aigate model pull hf:o/r 'it'\''s.gguf'");
        assert_eq!(reference.revision_or_main(), "main");
    }

    #[test]
    fn names_that_could_lead_elsewhere_are_refused() {
        for text in [
            "",
            "hf:",
            "hf:a",
            "hf:/b",
            "hf:a/",
            "gpt2",
            "hf:../b",
            "hf:a/..",
            "hf:a/.b",
            "hf:a--b/c",
            "hf:a b/c",
            "hf:a/b/",
            "hf:a/b//c",
            "hf:a/b/../c",
            "hf:a/b/c/..",
            "hf:a/b/./c",
            "hf:a/b@",
            "hf:a/b@..",
            "hf:a/b@x y",
            "hf:a/b@-x",
            "hf:a/b@refs/pr/",
            "hf:a/b@v/../c",
            "hf:a/b/c\\d",
            "hf:a/b/c\0d",
            "hf:a/b/C:d",
            "hf:a/b/c\nd",
        ] {
            let error = Reference::parse(text).expect_err(text);
            assert!(error.contains(FORM), "{error}");
        }
        assert!(Reference::parse(&format!("hf:a/b/{}", "x".repeat(256))).is_err());
        assert!(Reference::parse("hf:a/b/c.gguf").unwrap().with_file("d").unwrap_err().contains("two files"));
        assert!(Reference::parse("hf:a/b").unwrap().with_file("/etc/passwd").is_err());
    }
}
