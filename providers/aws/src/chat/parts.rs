//! The parts of a message as content blocks: text, pictures, documents, sound, and marks for the prompt cache.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html>

use std::collections::HashSet;

use aigate_contract::{
    Call, Error, ErrorKind, Result, Task,
    chat::{Content, ImageUrl, Message as Said, Part},
};
use aigate_transport::{Fetched, Fetcher};
use aws_sdk_bedrockruntime::{
    primitives::Blob,
    types::{
        AudioBlock, AudioFormat, AudioSource, CachePointBlock, CachePointType, CacheTtl, ContentBlock,
        DocumentBlock, DocumentFormat, DocumentSource, ImageBlock, ImageFormat, ImageSource, S3Location,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::{fields::CACHE_CONTROL, unbuilt};

/// Longest name of a document.
const MAX_NAME: usize = 200;

/// Reads messages' parts for one call.
#[derive(Debug)]
pub(super) struct Parts<'a, T: Task> {
    call: &'a Call<T>,
    fetcher: &'a Fetcher,
    /// Names given to documents: Converse wants each to be unlike the others.
    names: HashSet<String>,
}

/// A document, as OpenAI writes it.
#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    file_data: Option<String>,
    #[serde(default)]
    filename: Option<String>,
    #[serde(default)]
    file_id: Option<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// Recorded sound, as OpenAI writes it.
#[derive(Debug, Deserialize)]
struct Audio {
    data: String,
    format: String,
}

impl<'a, T: Task> Parts<'a, T> {
    pub(super) fn new(call: &'a Call<T>, fetcher: &'a Fetcher) -> Self {
        Self { call, fetcher, names: HashSet::new() }
    }

    pub(super) fn call(&self) -> &'a Call<T> {
        self.call
    }

    /// A message's content as blocks. Empty texts are left out: Converse refuses them.
    ///
    /// # Errors
    /// A part that Converse cannot take, naming it.
    pub(super) async fn read(&mut self, message: &Said, at: &str) -> Result<Vec<ContentBlock>> {
        let mut blocks = Vec::new();
        match &message.content {
            Some(Content::Text(text)) => blocks.extend(text_block(text)),
            Some(Content::Parts(parts)) => {
                for (index, part) in parts.iter().enumerate() {
                    self.part(part, &format!("{at}.content[{index}]"), &mut blocks).await?;
                }
            }
            None => {}
        }
        let point = cache_point(self.call, message.extra.get(CACHE_CONTROL), at)?;
        blocks.extend(point.map(ContentBlock::CachePoint));
        Ok(blocks)
    }

    async fn part(&mut self, part: &Part, at: &str, blocks: &mut Vec<ContentBlock>) -> Result<()> {
        let mut control = None;
        match part {
            Part::Text(part) => {
                control = part.cache_control.as_ref();
                blocks.extend(text_block(&part.text));
            }
            Part::ImageUrl { image_url, cache_control, .. } => {
                control = cache_control.as_ref();
                blocks.extend(self.image(image_url, at).await?.map(ContentBlock::Image));
            }
            Part::File { file, .. } => {
                blocks.extend(self.document(file, &format!("{at}.file")).await?.map(ContentBlock::Document));
            }
            Part::InputAudio { input_audio, .. } => {
                let sound = self.audio(input_audio, &format!("{at}.input_audio"))?;
                blocks.extend(sound.map(ContentBlock::Audio));
            }
            Part::Refusal { refusal, .. } => blocks.extend(text_block(refusal)),
            // Refused, or left out and named, by `refuse_unknown`.
            Part::Other => {}
        }
        blocks.extend(cache_point(self.call, control, at)?.map(ContentBlock::CachePoint));
        Ok(())
    }

    async fn image(&self, image: &ImageUrl, at: &str) -> Result<Option<ImageBlock>> {
        if image.detail.as_deref().is_some_and(|detail| detail != "auto") {
            self.call.leave_out(&format!("{at}.image_url.detail"));
        }
        let at = format!("{at}.image_url.url");
        let (kind, source) = match self.fetcher.resolve(&image.url, &at, &self.call.trail).await? {
            Fetched::Inline(inline) => (inline.media_type, ImageSource::Bytes(blob(inline.bytes))),
            Fetched::Reference(url) => match s3(&url)? {
                Some(location) => (extension(url.path()), ImageSource::S3Location(location)),
                None => return self.refuse(&at, "Bedrock reads `s3:` URLs only"),
            },
        };
        let format = match kind.strip_prefix("image/").unwrap_or(&kind) {
            "png" => ImageFormat::Png,
            "jpeg" | "jpg" => ImageFormat::Jpeg,
            "gif" => ImageFormat::Gif,
            "webp" => ImageFormat::Webp,
            _ => return self.refuse(&at, "Bedrock takes png, jpeg, gif and webp pictures"),
        };
        ImageBlock::builder().format(format).source(source).build().map(Some).map_err(unbuilt)
    }

    async fn document(&mut self, file: &Value, at: &str) -> Result<Option<DocumentBlock>> {
        let file = File::deserialize(file).map_err(|error| invalid(at, &error.to_string()))?;
        for name in file.extra.keys() {
            self.call.unsupported(&format!("{at}.{name}"), "Bedrock has nothing like it")?;
        }
        if file.file_id.is_some() {
            return self.refuse(&format!("{at}.file_id"), "files are not stored here: send `file_data`");
        }
        let Some(data) = &file.file_data else {
            return Err(invalid(at, "expected `file_data`, a data URI"));
        };
        let data_at = format!("{at}.file_data");
        let (kind, source) = match self.fetcher.resolve(data, &data_at, &self.call.trail).await? {
            Fetched::Inline(inline) => (inline.media_type, DocumentSource::Bytes(blob(inline.bytes))),
            Fetched::Reference(url) => match s3(&url)? {
                Some(location) => (extension(url.path()), DocumentSource::S3Location(location)),
                None => return self.refuse(&data_at, "Bedrock reads `s3:` URLs only"),
            },
        };
        let named = file.filename.as_deref().map(extension);
        let Some(format) = document_format(&kind).or_else(|| document_format(&named?)) else {
            let why = "Bedrock takes pdf, csv, doc, docx, xls, xlsx, html, txt and md documents";
            return self.refuse(&data_at, why);
        };
        let name = self.name(file.filename.as_deref());
        DocumentBlock::builder().format(format).name(name).source(source).build().map(Some).map_err(unbuilt)
    }

    fn audio(&self, audio: &Value, at: &str) -> Result<Option<AudioBlock>> {
        let audio = Audio::deserialize(audio).map_err(|error| invalid(at, &error.to_string()))?;
        let Ok(format) = AudioFormat::try_parse(&audio.format) else {
            return self.refuse(&format!("{at}.format"), "Bedrock does not know this format of sound");
        };
        let data = STANDARD
            .decode(audio.data.trim())
            .map_err(|error| invalid(&format!("{at}.data"), &format!("the base64 is damaged: {error}")))?;
        let source = AudioSource::Bytes(Blob::new(data));
        AudioBlock::builder().format(format).source(source).build().map(Some).map_err(unbuilt)
    }

    /// Refuses the part, or leaves it out where the deployment says so.
    fn refuse<B>(&self, at: &str, why: &str) -> Result<Option<B>> {
        self.call.unsupported(at, why).map(|()| None)
    }

    /// The document's name with the characters that Converse allows, unlike every other in the request.
    fn name(&mut self, filename: Option<&str>) -> String {
        let stem =
            filename.map(|name| name.rsplit_once('.').map_or(name, |(stem, _)| stem)).unwrap_or_default();
        let mut name = String::with_capacity(stem.len());
        for character in stem.chars().take(MAX_NAME - 16) {
            match character {
                '-' | '(' | ')' | '[' | ']' => name.push(character),
                _ if character.is_ascii_alphanumeric() => name.push(character),
                _ if name.ends_with(' ') => {}
                _ => name.push(' '),
            }
        }
        let name = match name.trim() {
            "" => "document",
            name => name,
        };
        let mut unlike = name.to_owned();
        let mut number = 1_u32;
        while !self.names.insert(unlike.clone()) {
            number = number.saturating_add(1);
            unlike = format!("{name} ({number})");
        }
        unlike
    }
}

/// Anthropic's `cache_control` as Converse's cache point.
///
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>
pub(super) fn cache_point<T: Task>(
    call: &Call<T>,
    control: Option<&Value>,
    at: &str,
) -> Result<Option<CachePointBlock>> {
    let Some(control) = control.filter(|control| !control.is_null()) else { return Ok(None) };
    let at = format!("{at}.{CACHE_CONTROL}");
    if control.get("type").and_then(Value::as_str) != Some("ephemeral") {
        call.unsupported(&at, "expected {\"type\":\"ephemeral\"}, with a `ttl` of `5m` or `1h` if any")?;
        return Ok(None);
    }
    let ttl = match control.get("ttl") {
        None | Some(Value::Null) => None,
        Some(Value::String(ttl)) if ttl == "5m" => Some(CacheTtl::FiveMinutes),
        Some(Value::String(ttl)) if ttl == "1h" => Some(CacheTtl::OneHour),
        Some(_) => {
            call.unsupported(&format!("{at}.ttl"), "Bedrock caches for `5m` or `1h`")?;
            None
        }
    };
    CachePointBlock::builder().r#type(CachePointType::Default).set_ttl(ttl).build().map(Some).map_err(unbuilt)
}

fn text_block(text: &str) -> Option<ContentBlock> {
    (!text.is_empty()).then(|| ContentBlock::Text(text.to_owned()))
}

fn blob(bytes: Bytes) -> Blob {
    Blob::new(Vec::from(bytes))
}

fn s3(url: &Url) -> Result<Option<S3Location>> {
    if url.scheme() != "s3" {
        return Ok(None);
    }
    S3Location::builder().uri(url.as_str()).build().map(Some).map_err(unbuilt)
}

/// The ending of a file's name, lower case.
fn extension(path: &str) -> String {
    path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default()
}

/// A document's format, from its media type or its file's ending.
fn document_format(kind: &str) -> Option<DocumentFormat> {
    Some(match kind {
        "application/pdf" | "pdf" => DocumentFormat::Pdf,
        "text/csv" | "csv" => DocumentFormat::Csv,
        "application/msword" | "doc" => DocumentFormat::Doc,
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" | "docx" => {
            DocumentFormat::Docx
        }
        "application/vnd.ms-excel" | "xls" => DocumentFormat::Xls,
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" | "xlsx" => DocumentFormat::Xlsx,
        "text/html" | "html" | "htm" => DocumentFormat::Html,
        "text/plain" | "txt" => DocumentFormat::Txt,
        "text/markdown" | "md" => DocumentFormat::Md,
        _ => return None,
    })
}

fn invalid(at: &str, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, why.to_owned()).with_param(at)
}
