//! Pulls against a stand-in of the Hub, in this process and in others.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "pull/stand_in.rs"]
mod stand_in;

#[path = "pull/cache.rs"]
mod cache;
#[path = "pull/process.rs"]
mod process;
#[path = "pull/refused.rs"]
mod refused;
#[path = "pull/resume.rs"]
mod resume;
#[path = "pull/trust.rs"]
mod trust;

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use aigate_hub::{Cache, Options, Progress, PullError, Reference};
use stand_in::{COMMIT, File, StandIn, TOKEN};

/// A folder that is removed again.
pub(crate) struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("aigate-hub-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn cache(&self) -> Cache {
        Cache::at(self.0.join("hub"))
    }

    fn repository(&self) -> PathBuf {
        self.0.join("hub/models--o--r")
    }

    fn incomplete(&self, file: &File) -> PathBuf {
        self.repository().join(format!("blobs/{}.incomplete", file.etag))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Keeps what it is told.
#[derive(Default)]
pub(crate) struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn has(&self, part: &str) -> bool {
        self.all().iter().any(|note| note.contains(part))
    }
}

impl Progress for Notes {
    fn begin(&self, file: &str, size: u64) {
        self.note(&format!("begin {file} {size}"));
    }
    fn at(&self, bytes: u64) {
        self.note(&format!("at {bytes}"));
    }
    fn end(&self) {
        self.note("end");
    }
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// Options for the stand-in, with waits of milliseconds.
fn options(hub: &StandIn, more: &[(&str, &str)]) -> Options {
    options_for(&hub.endpoint(), more)
}

fn options_for(endpoint: &str, more: &[(&str, &str)]) -> Options {
    let mut options = Options::from_lookup(&|name| match name {
        "HF_ENDPOINT" => Some(endpoint.into()),
        "HF_TOKEN_PATH" => Some("/nonexistent/token".into()),
        _ => more.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()),
    })
    .unwrap();
    options.backoff = Duration::from_millis(1);
    options
}

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

async fn pull(text: &str, folder: &Folder, options: &Options) -> Result<PathBuf, PullError> {
    pull_with(text, folder, options, &Notes::default()).await
}

async fn pull_with(
    text: &str,
    folder: &Folder,
    options: &Options,
    notes: &Notes,
) -> Result<PathBuf, PullError> {
    aigate_hub::pull(&reference(text), &folder.cache(), options, notes).await
}

/// Bytes that differ everywhere.
fn bytes(count: usize) -> Vec<u8> {
    (0..count as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u8).collect()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn a_file_is_pulled_into_the_layout_of_the_hubs_own_cache() {
    let model = File::large("dir/model.gguf", bytes(100_000));
    let hub = StandIn::start(vec![File::small("README.md", b"hello"), model.clone()]).await;
    let (folder, notes) = (Folder::new(), Notes::default());
    let path = pull_with("hf:o/r/dir/model.gguf", &folder, &options(&hub, &[]), &notes).await.unwrap();
    let repository = folder.repository();
    assert_eq!(path, repository.join(format!("snapshots/{COMMIT}/dir/model.gguf")));
    assert_eq!(std::fs::read_link(&path).unwrap(), PathBuf::from(format!("../../../blobs/{}", model.etag)));
    assert_eq!(read(&path), model.content);
    assert_eq!(read(&repository.join("refs/main")), COMMIT.as_bytes());
    assert!(!folder.incomplete(&model).exists());
    assert_eq!(notes.all().first().unwrap(), "begin dir/model.gguf 100000");
    assert_eq!(notes.all().last().unwrap(), "end");
    assert_eq!(folder.cache().find(&reference("hf:o/r/dir/model.gguf")).unwrap(), Some(path.clone()));

    let before = hub.contents().len();
    assert_eq!(pull("hf:o/r/dir/model.gguf", &folder, &options(&hub, &[])).await.unwrap(), path);
    assert_eq!(hub.contents().len(), before, "what is there is not fetched again");
}

#[tokio::test]
async fn an_encoder_is_pulled_with_just_what_it_needs_and_shown_when_it_is_whole() {
    let names = ["config.json", "modules.json", "tokenizer.json", "vocab.txt", "1_Pooling/config.json"];
    let mut files: Vec<File> = names.iter().map(|name| File::small(name, name.as_bytes())).collect();
    // The same content under two names: one blob.
    files.push(File::small("special_tokens_map.json", b"config.json"));
    files.push(File::large("model.safetensors", bytes(50_000)));
    files.push(File::large("pytorch_model.bin", bytes(60_000)));
    files.push(File::large("onnx/model.onnx", bytes(70_000)));
    let hub = StandIn::start(files).await;
    let folder = Folder::new();
    hub.faults().cuts = [0; 5].into();
    pull("hf:o/r", &folder, &options(&hub, &[])).await.unwrap_err();
    assert_eq!(folder.cache().find(&reference("hf:o/r")).unwrap(), None, "a part of a model is none");
    let path = pull("hf:o/r", &folder, &options(&hub, &[])).await.unwrap();
    assert_eq!(path, folder.repository().join(format!("snapshots/{COMMIT}")));
    for name in names.into_iter().chain(["special_tokens_map.json", "model.safetensors"]) {
        assert!(path.join(name).is_file(), "{name}");
    }
    assert!(!path.join("pytorch_model.bin").exists() && !path.join("onnx").exists());
    assert_eq!(read(&path.join("1_Pooling/config.json")), b"1_Pooling/config.json");
    assert_eq!(folder.cache().find(&reference("hf:o/r")).unwrap(), Some(path));
}

#[tokio::test]
async fn of_several_models_one_must_be_named_and_the_only_one_is_taken() {
    let one = File::large("a.gguf", bytes(10));
    let hub = StandIn::start(vec![one.clone(), File::small("README.md", b"x")]).await;
    let folder = Folder::new();
    let path = pull("hf:o/r", &folder, &options(&hub, &[])).await.unwrap();
    assert!(path.ends_with("a.gguf"));
    assert_eq!(folder.cache().find(&reference("hf:o/r")).unwrap(), Some(path));

    let hub = StandIn::start(vec![one, File::large("b.gguf", bytes(2_500_000))]).await;
    let folder = Folder::new();
    let error = pull("hf:o/r", &folder, &options(&hub, &[])).await.unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("2.5 MB  b.gguf"), "{error}");
    assert!(!folder.repository().exists());
}

#[tokio::test]
async fn the_token_is_sent_to_the_hub_and_not_to_the_cdn() {
    let hub = StandIn::start(vec![File::large("a.gguf", bytes(1000))]).await;
    let folder = Folder::new();
    pull("hf:o/r/a.gguf", &folder, &options(&hub, &[("HF_TOKEN", TOKEN)])).await.unwrap();
    assert!(hub.seen().len() >= 3 && hub.seen().iter().all(|seen| seen.token), "{:?}", hub.seen());
    assert!(hub.at_cdn().len() == 1 && !hub.at_cdn()[0].token, "{:?}", hub.at_cdn());
}
