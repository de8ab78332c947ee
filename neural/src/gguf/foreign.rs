//! Names what a file is that is not GGUF, from its first bytes.

/// How many of a file's first bytes are enough to tell.
pub(super) const ENOUGH: usize = 64;

/// What the file is, as a clause, from its first [`ENOUGH`] bytes (fewer if it is shorter).
pub(super) fn describe(start: &[u8]) -> String {
    let known = match start {
        [] => Some("it is empty"),
        _ if start.starts_with(b"version https://git-lfs") => {
            Some("this is a Git LFS pointer, not the file; fetch it with git lfs pull")
        }
        [b'P', b'K', 3, 4, ..] => Some("this is a zip archive, the form of PyTorch's checkpoints"),
        [0x80, 2..=5, ..] => Some("this is a Python pickle, the form of PyTorch's older checkpoints"),
        [0x1f, 0x8b, ..] => Some("this is gzip-compressed"),
        _ if is_safetensors(start) => Some("this is a safetensors file"),
        _ if is_html(start) => Some("this is an HTML page, perhaps a site's answer to a failed download"),
        [b't' | b'f' | b'l', b'j' | b'm', b'g', b'g', ..] => Some("this is a ggml file from before GGUF"),
        [b'{', ..] => Some("this is JSON text"),
        _ => None,
    };
    match known {
        Some(what) => what.to_owned(),
        None => format!("it begins with \"{}\"", start.get(..4).unwrap_or(start).escape_ascii()),
    }
}

/// A safetensors file begins with its header's length, 8 bytes, and the header, a JSON object.
fn is_safetensors(start: &[u8]) -> bool {
    matches!(start, [_, _, _, _, _, 0, 0, 0, b'{', b'"' | b'}' | b' ', ..])
}

fn is_html(start: &[u8]) -> bool {
    let start = start.trim_ascii_start();
    ["<!doctype html", "<html"].iter().any(|tag| {
        start.get(..tag.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(tag.as_bytes()))
    })
}
