//! Pictures, sound and documents in a message.
//!
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/image-understanding>

use aigate_contract::{Error, ErrorKind, Result, Trail};
use aigate_transport::{Fetched, Fetcher, Inline, parse_data_uri};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::Value;

use crate::site::Api;

/// Content that is not text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Media {
    /// Sent along.
    #[serde(rename_all = "camelCase")]
    InlineData { mime_type: String, data: String },
    /// Read by Google itself.
    #[serde(rename_all = "camelCase")]
    FileData { mime_type: &'static str, file_uri: String },
}

impl From<Inline> for Media {
    fn from(inline: Inline) -> Self {
        Self::InlineData { mime_type: inline.media_type, data: STANDARD.encode(&inline.bytes) }
    }
}

/// A picture, or whatever else lies at a URL.
pub(super) async fn at_url(
    url: &str,
    param: &str,
    api: &Api,
    fetcher: &Fetcher,
    trail: &Trail,
) -> Result<Media> {
    match fetcher.resolve(url, param, trail).await? {
        Fetched::Inline(inline) => Ok(inline.into()),
        Fetched::Reference(reference) if reference.scheme() == "gs" && matches!(api, Api::Vertex { .. }) => {
            let mime_type = type_of_name(url).ok_or_else(|| {
                Error::unsupported(param, "the object's name must end with what it is, such as `.png`")
            })?;
            Ok(Media::FileData { mime_type, file_uri: url.to_owned() })
        }
        Fetched::Reference(reference) => {
            let why = format!("`{}:` URLs cannot be read here: use https or a data URI", reference.scheme());
            Err(Error::unsupported(param, &why))
        }
    }
}

/// `input_audio`: `{"data": base64, "format": …}`.
pub(super) fn audio(value: &Value, param: &str) -> Result<Media> {
    let invalid = |why: &str| Error::new(ErrorKind::Invalid, why.to_owned()).with_param(param);
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let (Some(data), Some(format)) = (text("data"), text("format")) else {
        return Err(invalid("expected {\"data\": base64, \"format\": \"wav\" or \"mp3\"}"));
    };
    let mime_type = match format {
        "wav" => "audio/wav",
        "mp3" => "audio/mp3",
        "aac" => "audio/aac",
        "aiff" => "audio/aiff",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        other => return Err(Error::unsupported(param, &format!("gemini does not hear `{other}`"))),
    };
    let bytes = STANDARD.decode(data).map_err(|_| invalid("`data` is not base64"))?;
    Ok(Media::InlineData { mime_type: mime_type.to_owned(), data: STANDARD.encode(bytes) })
}

/// `file`: `{"file_data": data URI, "filename": …}`.
pub(super) fn document(value: &Value, param: &str) -> Result<Media> {
    let invalid = |why: String| Error::new(ErrorKind::Invalid, why).with_param(param);
    if value.get("file_id").is_some_and(|id| !id.is_null()) {
        return Err(Error::unsupported(
            param,
            "files that were uploaded elsewhere cannot be read: use `file_data`",
        ));
    }
    match value.get("file_data").and_then(Value::as_str) {
        Some(uri) => parse_data_uri(uri).map(Media::from).map_err(invalid),
        None => Err(invalid("expected {\"file_data\": \"data:application/pdf;base64,…\"}".to_owned())),
    }
}

/// What an object's name says it is. <https://cloud.google.com/vertex-ai/generative-ai/docs/models>
fn type_of_name(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "wav" => "audio/wav",
        "mp3" => "audio/mp3",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        "aac" => "audio/aac",
        "mp4" => "video/mp4",
        "mov" => "video/mov",
        "webm" => "video/webm",
        "mpeg" | "mpg" => "video/mpeg",
        _ => return None,
    })
}
