//! The bytes of a model file:
//!
//! ```json
//! {"format": "aigate-model", "format_version": 1, "checksum": "sha256:<hex>", "model": {…}}
//! ```
//!
//! The checksum is over the exact text of `model`, from its first brace to its last.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{Artefact, ArtefactError, layout};

/// What `format` says in every model file.
pub const FORMAT: &str = "aigate-model";

/// The format this program writes; it reads this one and older ones.
pub const FORMAT_VERSION: u64 = 1;

/// A larger file is refused unread.
const MOST_BYTES: u64 = 2 << 30;

/// The outer object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(rename = "format")]
    _format: &'a RawValue,
    #[serde(rename = "format_version")]
    _version: u64,
    checksum: String,
    #[serde(borrow)]
    model: &'a RawValue,
}

/// What every format version has. Read first, so that a file of a newer format is called that.
#[derive(Deserialize)]
struct Head {
    format: String,
    format_version: u64,
}

pub(super) fn write(artefact: &Artefact) -> Result<Vec<u8>, ArtefactError> {
    let unwritable = |error: serde_json::Error| ArtefactError::inconsistent("model", error.to_string());
    let model = layout::to_vec(artefact).map_err(unwritable)?;
    let checksum = checksum(&model);
    let head = format!(
        "{{\"format\": \"{FORMAT}\", \"format_version\": {FORMAT_VERSION},\n\"checksum\": \"{checksum}\",\n\"model\": "
    );
    Ok([head.as_bytes(), &model, b"}\n"].concat())
}

pub(super) fn read(bytes: &[u8]) -> Result<Artefact, ArtefactError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        if bytes.starts_with(b"{") {
            ArtefactError::Damaged(format!("byte {} is not UTF-8", error.valid_up_to()))
        } else {
            ArtefactError::Foreign("it is not text".to_owned())
        }
    })?;
    if !text.trim_start().starts_with('{') {
        return Err(ArtefactError::Foreign("it is not a JSON object".to_owned()));
    }
    let head: Head = serde_json::from_str(text).map_err(|error| headless(text, &error))?;
    if head.format != FORMAT {
        let found: String = head.format.chars().take(40).collect();
        return Err(ArtefactError::Foreign(format!("its `format` is `{found}`, not `{FORMAT}`")));
    }
    match head.format_version {
        0 => return Err(ArtefactError::Damaged("`format_version` is 0".to_owned())),
        1..=FORMAT_VERSION => {}
        newer => return Err(ArtefactError::Newer(newer)),
    }
    let damaged = |error: serde_json::Error| ArtefactError::Damaged(error.to_string());
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(damaged)?;
    let found = checksum(envelope.model.get().as_bytes());
    if !found.eq_ignore_ascii_case(&envelope.checksum) {
        let noted: String = envelope.checksum.chars().take(80).collect();
        return Err(ArtefactError::Damaged(format!("its checksum is `{found}`, but it says `{noted}`")));
    }
    // The text is what somebody wrote on purpose: what is wrong now is wrong with its content.
    serde_json::from_str(envelope.model.get())
        .map_err(|error| ArtefactError::inconsistent("model", error.to_string()))
}

/// Why a JSON object has no head: cut off, broken, or something else altogether.
fn headless(text: &str, error: &serde_json::Error) -> ArtefactError {
    if error.is_data() {
        return ArtefactError::Foreign(error.to_string());
    }
    let start = text.get(..200.min(text.len())).unwrap_or(text);
    if !start.contains(FORMAT) {
        return ArtefactError::Foreign(format!("it is not whole JSON: {error}"));
    }
    let reason = if error.is_eof() { "it ends too early" } else { "it is not whole JSON" };
    ArtefactError::Damaged(format!("{reason}: {error}"))
}

fn checksum(text: &[u8]) -> String {
    Sha256::digest(text).iter().fold("sha256:".to_owned(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

pub(super) fn load(path: &Path) -> Result<Vec<u8>, ArtefactError> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > MOST_BYTES {
        let path = path.display().to_string();
        return Err(ArtefactError::File { path, reason: "larger than 2 GiB".to_owned() });
    }
    Ok(bytes)
}

/// Written beside its place, made durable, then moved there.
pub(super) fn save(path: &Path, bytes: &[u8]) -> Result<(), ArtefactError> {
    let Some(name) = path.file_name() else {
        let path = path.display().to_string();
        return Err(ArtefactError::File { path, reason: "not the name of a file".to_owned() });
    };
    let mut beside = name.to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = path.with_file_name(beside);
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        // The first error is the one to tell; without this a half-written file would stay behind.
        let _ = fs::remove_file(&beside);
        unreadable(path, &error)
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> ArtefactError {
    ArtefactError::File { path: path.display().to_string(), reason: error.to_string() }
}
