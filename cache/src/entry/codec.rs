//! Entries as bytes: a version, when the answer was given, who gave it, the answer, and a checksum over all of it and the
//! entry's fingerprint, so that no entry is taken for another's.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aigate_contract::{
    Facts, FinishReason, Streamed, Target, Usage,
    chat::{ChatChunk, ChatReply},
    embed::EmbedReply,
    predict::{Data, Datatype, PredictReply, Tensor},
};
use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Answer, Entry, Origin};
use crate::Fingerprint;

const VERSION: u8 = 1;
/// Bytes of the checksum.
const CHECK: usize = 16;
/// The longest entry that is written or read, in bytes. What replicas share takes no larger ones (`aigate-replicas`).
const LONGEST: usize = 1024 * 1024;

pub(super) fn write(entry: &Entry, fingerprint: &Fingerprint, now: SystemTime) -> Option<Vec<u8>> {
    if entry.answer.content() > LONGEST {
        return None;
    }
    let mut out = Writer(Vec::with_capacity(entry.size.min(LONGEST)));
    out.byte(VERSION);
    let given = now.checked_sub(entry.age()).and_then(|given| given.duration_since(UNIX_EPOCH).ok());
    out.long(given.map_or(0, |given| u64::try_from(given.as_millis()).unwrap_or(u64::MAX)));
    out.origin(&entry.origin);
    match &entry.answer {
        Answer::Chat(reply) => {
            out.byte(0);
            out.bytes(&reply.json);
            out.facts(&reply.facts);
        }
        Answer::ChatStream(chunks, facts) => {
            out.byte(1);
            out.list(chunks, Writer::chunk);
            out.facts(facts);
        }
        Answer::Embed(reply) => {
            out.byte(2);
            out.bytes(&reply.json);
            out.facts(&reply.facts);
        }
        Answer::Predict(reply) => {
            out.byte(3);
            out.bytes(reply.version.as_bytes());
            out.table(&reply.parameters);
            out.list(&reply.outputs, Writer::tensor);
            out.facts(&reply.facts);
        }
    }
    seal(&mut out.0, fingerprint);
    Some(out.0).filter(|bytes| bytes.len() <= LONGEST)
}

/// Appends the checksum.
pub(super) fn seal(body: &mut Vec<u8>, fingerprint: &Fingerprint) {
    let check = checksum(body, fingerprint);
    body.extend_from_slice(&check);
}

pub(super) fn read(bytes: &[u8], fingerprint: &Fingerprint, now: SystemTime) -> Option<Entry> {
    if bytes.len() > LONGEST {
        return None;
    }
    let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK)?)?;
    if body.first() != Some(&VERSION) || checksum(body, fingerprint) != check {
        return None;
    }
    let mut read = Reader(&body[1..]);
    let given = UNIX_EPOCH.checked_add(Duration::from_millis(read.long()?))?;
    let origin = Arc::new(read.origin()?);
    let answer = match read.byte()? {
        0 => Answer::Chat(ChatReply { json: read.json()?, facts: read.facts()? }),
        1 => Answer::ChatStream(read.list(Reader::chunk)?, read.facts()?),
        2 => Answer::Embed(EmbedReply { json: read.json()?, facts: read.facts()? }),
        3 => Answer::Predict(PredictReply {
            version: read.text()?,
            parameters: read.table()?,
            outputs: read.list(Reader::tensor)?,
            facts: read.facts()?,
        }),
        _ => return None,
    };
    let age = now.duration_since(given).unwrap_or(Duration::ZERO);
    read.0.is_empty().then(|| Entry::aged(answer, origin, age))
}

fn checksum(body: &[u8], fingerprint: &Fingerprint) -> [u8; CHECK] {
    let digest = Sha256::new().chain_update(fingerprint.as_bytes()).chain_update(body).finalize();
    let mut check = [0; CHECK];
    check.copy_from_slice(&digest[..CHECK]);
    check
}

/// Appends values: numbers in little-endian order, everything of no fixed length behind its length.
struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn long(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.long(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.long(items.len() as u64);
        items.iter().for_each(|item| write(self, item));
    }

    fn table(&mut self, fields: &Map<String, Value>) {
        self.long(fields.len() as u64);
        for (name, value) in fields {
            self.bytes(name.as_bytes());
            self.bytes(value.to_string().as_bytes());
        }
    }

    fn origin(&mut self, origin: &Origin) {
        let target = &origin.target;
        self.bytes(target.provider.as_bytes());
        self.bytes(target.deployment.as_bytes());
        self.bytes(target.model.as_bytes());
        self.option(target.version.as_ref(), |out, version| out.bytes(version.as_bytes()));
        self.byte(u8::from(target.fallback));
        self.list(&origin.dropped, |out, field| out.bytes(field.as_bytes()));
    }

    fn facts(&mut self, facts: &Facts) {
        self.option(facts.usage.as_ref(), Self::usage);
        self.list(&facts.finish, Self::finish);
        let Streamed { chunks, bytes, smallest } = facts.streamed;
        [chunks, bytes, smallest].into_iter().for_each(|number| self.long(number));
    }

    fn usage(&mut self, usage: &Usage) {
        let Usage {
            fresh_input,
            cached_read,
            cache_write,
            output,
            reasoning,
            rows,
            characters,
            pages,
            images,
            audio_ms,
        } = usage.clone();
        for number in [fresh_input, cached_read, cache_write, output, reasoning] {
            self.option(number, Self::long);
        }
        for number in [rows, characters, pages, images, audio_ms] {
            self.option(number, Self::long);
        }
    }

    fn finish(&mut self, reason: &FinishReason) {
        self.bytes(reason.as_str().as_bytes());
    }

    fn chunk(&mut self, chunk: &ChatChunk) {
        self.bytes(&chunk.json);
        self.list(&chunk.finish, Self::finish);
        self.option(chunk.usage.as_ref(), Self::usage);
        self.byte(u8::from(chunk.usage_only));
    }

    fn tensor(&mut self, tensor: &Tensor) {
        self.bytes(tensor.name.as_bytes());
        self.bytes(tensor.datatype().as_str().as_bytes());
        self.list(&tensor.shape, |out, dimension| out.long(*dimension as u64));
        let mut data = Vec::new();
        tensor.data.write_binary(&mut data);
        self.bytes(&data);
        self.table(&tensor.parameters);
    }
}

/// Takes values off the front; `None` when they are not there.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.long()?).ok()?;
        self.take(length)
    }

    fn str(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn text(&mut self) -> Option<String> {
        self.str().map(str::to_owned)
    }

    fn json(&mut self) -> Option<Bytes> {
        self.str().map(|text| Bytes::copy_from_slice(text.as_bytes()))
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }

    /// Grows as items are read: a length that lies costs nothing. Every item has at least one byte.
    fn list<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.long()?;
        (0..length).map(|_| read(self)).collect()
    }

    fn table(&mut self) -> Option<Map<String, Value>> {
        let length = self.long()?;
        (0..length).map(|_| Some((self.text()?, serde_json::from_slice(self.bytes()?).ok()?))).collect()
    }

    fn origin(&mut self) -> Option<Origin> {
        let (provider, deployment, model) = (self.str()?, self.str()?, self.str()?);
        let target = Target {
            deployment: deployment.into(),
            version: self.option(Self::str)?.map(Into::into),
            fallback: self.flag()?,
            ..Target::new(provider, model)
        };
        Some(Origin { target: Arc::new(target), dropped: self.list(Self::text)? })
    }

    fn facts(&mut self) -> Option<Facts> {
        Some(Facts {
            usage: self.option(Self::usage)?,
            finish: self.list(Self::finish)?,
            streamed: Streamed { chunks: self.long()?, bytes: self.long()?, smallest: self.long()? },
        })
    }

    fn usage(&mut self) -> Option<Usage> {
        Some(Usage {
            fresh_input: self.option(Self::long)?,
            cached_read: self.option(Self::long)?,
            cache_write: self.option(Self::long)?,
            output: self.option(Self::long)?,
            reasoning: self.option(Self::long)?,
            rows: self.option(Self::long)?,
            characters: self.option(Self::long)?,
            pages: self.option(Self::long)?,
            images: self.option(Self::long)?,
            audio_ms: self.option(Self::long)?,
        })
    }

    fn finish(&mut self) -> Option<FinishReason> {
        self.str().map(FinishReason::from)
    }

    fn chunk(&mut self) -> Option<ChatChunk> {
        Some(ChatChunk {
            json: self.json()?,
            finish: self.list(Self::finish)?,
            usage: self.option(Self::usage)?,
            usage_only: self.flag()?,
        })
    }

    fn tensor(&mut self) -> Option<Tensor> {
        let name = self.str()?;
        let datatype: Datatype = self.str()?.parse().ok()?;
        let shape = self.list(|read| usize::try_from(read.long()?).ok())?;
        let data = Data::read_binary(datatype, &Bytes::copy_from_slice(self.bytes()?)).ok()?;
        Some(Tensor { parameters: self.table()?, ..Tensor::new(name, shape, data).ok()? })
    }
}
