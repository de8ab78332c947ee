//! The models of a folder, each read once.

use std::{
    collections::HashMap,
    fmt,
    path::{Component, Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use aigate_tabular::artefact::{Artefact, Predictor};
use sha2::{Digest, Sha256};

use crate::SAMPLE;

/// The sample: trained by this program on the Statlog German Credit data. Its card is beside it.
pub(crate) const SAMPLE_FILE: &[u8] = include_bytes!("../models/credit-risk.json");

/// A model that is ready to score.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) predictor: Predictor,
    /// As the model says; of an ONNX file that says none, the first twelve hexadecimal digits of the file's SHA-256.
    pub(crate) version: Arc<str>,
}

/// The models of a folder.
pub(crate) struct Models {
    folder: PathBuf,
    /// By target; why one cannot be used is kept as well.
    read: RwLock<HashMap<String, Result<Arc<Model>, String>>>,
}

impl Models {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, read: RwLock::default() }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A model, read from its file the first time: when the config is checked. Calls only look it up, beside one another.
    pub(crate) fn get(&self, target: &str) -> Result<Arc<Model>, String> {
        if let Some(known) = self.read.read().unwrap_or_else(PoisonError::into_inner).get(target) {
            return known.clone();
        }
        let model = self.load(target).map(Arc::new);
        let mut read = self.read.write().unwrap_or_else(PoisonError::into_inner);
        read.entry(target.to_owned()).or_insert(model).clone()
    }

    fn load(&self, target: &str) -> Result<Model, String> {
        if target == SAMPLE {
            let sample = Artefact::read(SAMPLE_FILE).map_err(|error| error.to_string())?;
            return Model::new(Predictor::new(sample), Path::new(SAMPLE));
        }
        let path = self.find(target)?;
        Model::new(Predictor::load(&path).map_err(|error| error.to_string())?, &path)
    }

    fn find(&self, target: &str) -> Result<PathBuf, String> {
        let plain = |part| matches!(part, Component::Normal(_));
        if target.is_empty() || !Path::new(target).components().all(plain) {
            let folder = self.folder.display();
            return Err(format!("`{target}` is not the name of a file in {folder}, such as `credit-risk`"));
        }
        let named = self.folder.join(target);
        let with = |extension: &str| self.folder.join(format!("{target}.{extension}"));
        let places = [named, with("json"), with("onnx")];
        places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| {
            let looked = self.folder.join(target);
            format!(
                "there is no model {}.json or .onnx: make one with `aigate model train --data FILE.csv --target COLUMN \
                 --out {}.json`, or name the built-in `{SAMPLE}`",
                looked.display(),
                looked.display()
            )
        })
    }
}

impl Model {
    fn new(predictor: Predictor, path: &Path) -> Result<Self, String> {
        let version = match predictor.version() {
            Some(version) => version.into(),
            None => {
                let file = std::fs::read(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                let digest = Sha256::digest(file);
                digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>().into()
            }
        };
        Ok(Self { predictor, version })
    }
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Models").field("folder", &self.folder).finish_non_exhaustive()
    }
}
