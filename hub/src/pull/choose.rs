//! Which files of a repository are fetched.

use std::path::Path;

use crate::{
    cache::{is_encoder, is_gguf},
    client::{Listed, near},
    error::PullError,
    reference::Reference,
};

/// The files to fetch.
#[derive(Debug)]
pub(super) struct Chosen<'a> {
    pub(super) files: Vec<&'a Listed>,
    /// The file that is the model; none if the snapshot's folder is.
    pub(super) only: Option<&'a str>,
}

/// The file that is named; else the only GGUF file, or an encoder's files.
pub(super) fn choose<'a>(reference: &Reference, files: &'a [Listed]) -> Result<Chosen<'a>, PullError> {
    let one = |file: &'a Listed| Chosen { files: vec![file], only: Some(&file.name) };
    if let Some(name) = reference.file() {
        return files
            .iter()
            .find(|file| file.name == name)
            .map(one)
            .ok_or_else(|| missing(reference, name, files));
    }
    let models: Vec<&Listed> = files.iter().filter(|file| is_gguf(&file.name)).collect();
    let names: Vec<&str> = files.iter().map(|file| &*file.name).collect();
    if is_encoder(&names) && models.is_empty() {
        let files = files.iter().filter(|file| is_of_encoder(&file.name)).collect();
        return Ok(Chosen { files, only: None });
    }
    match &*models {
        [] => Err(PullError::NoModel { repository: reference.id(), files: sizes(files.iter()) }),
        [only] if !is_encoder(&names) => Ok(one(only)),
        _ => Err(PullError::Choose { repository: reference.id(), files: sizes(models.into_iter()) }),
    }
}

fn sizes<'a>(files: impl Iterator<Item = &'a Listed>) -> Vec<(String, Option<u64>)> {
    files.map(|file| (file.name.clone(), file.size)).collect()
}

fn missing(reference: &Reference, name: &str, files: &[Listed]) -> PullError {
    let known: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    PullError::Missing {
        what: format!("file `{name}` in `{}` at `{}`", reference.id(), reference.revision_or_main()),
        near: near(name, &known),
        maybe_private: false,
    }
}

/// Whether an encoder needs this file: settings, tokenizer and weights, at the top or in a folder of one of the model's
/// stages (`1_Pooling`); not the same weights in other forms, which lie in folders of other names.
fn is_of_encoder(name: &str) -> bool {
    let in_place = match name.rsplit_once('/') {
        None => true,
        Some((folder, _)) => folder.split_once('_').is_some_and(|(number, stage)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) && !stage.contains('/')
        }),
    };
    let path = Path::new(name);
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let own = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let words =
        matches!(own, "vocab.txt" | "merges.txt") || own.ends_with(".bpe.model") || own == "spiece.model";
    in_place && (matches!(extension, "json" | "safetensors") || words || own.starts_with("tokenizer."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(names: &[&str]) -> Vec<Listed> {
        names.iter().map(|name| Listed { name: (*name).to_owned(), size: Some(7) }).collect()
    }

    fn chosen(text: &str, names: &[&str]) -> Result<(Vec<String>, Option<String>), PullError> {
        let files = listed(names);
        let chosen = choose(&Reference::parse(text).unwrap(), &files)?;
        let names = chosen.files.iter().map(|file| file.name.clone()).collect();
        Ok((names, chosen.only.map(str::to_owned)))
    }

    #[test]
    fn of_several_gguf_files_one_must_be_named_and_a_single_one_is_taken() {
        let (files, only) = chosen("hf:a/b", &["README.md", "x.gguf"]).unwrap();
        assert_eq!((files, only), (vec!["x.gguf".to_owned()], Some("x.gguf".to_owned())));
        let error = chosen("hf:a/b", &["README.md", "x.gguf", "d/y.GGUF"]).unwrap_err();
        assert!(error.is_usage());
        let text = error.to_string();
        assert!(text.contains("x.gguf") && text.contains("d/y.GGUF") && text.contains("7 B"), "{text}");
        assert!(!text.contains("README"), "{text}");
    }

    #[test]
    fn of_an_encoder_just_what_it_needs_is_taken() {
        let needed = [
            "1_Pooling/config.json",
            "2_Dense/model.safetensors",
            "config.json",
            "model.safetensors",
            "modules.json",
            "sentencepiece.bpe.model",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.txt",
        ];
        let others = [
            "README.md",
            "pytorch_model.bin",
            "tf_model.h5",
            "flax_model.msgpack",
            "onnx/model.onnx",
            "onnx/config.json",
            "openvino/openvino_model.xml",
            "train_script.py",
            ".gitattributes",
            "rust_model.ot",
            "a_b/x.json",
        ];
        let all: Vec<&str> = needed.iter().chain(&others).copied().collect();
        let (files, only) = chosen("hf:a/b", &all).unwrap();
        assert_eq!((files.iter().map(|name| &**name).collect::<Vec<_>>(), only), (needed.to_vec(), None));
    }

    #[test]
    fn a_file_that_is_not_there_is_told_with_those_near_it() {
        let error =
            chosen("hf:a/b@v1/model-q8.gguf", &["model-Q8_0.gguf", "README.md"]).unwrap_err().to_string();
        assert!(error.contains("`model-q8.gguf`") && error.contains("`v1`"), "{error}");
        assert!(error.ends_with("near it: model-Q8_0.gguf"), "{error}");
    }

    #[test]
    fn a_repository_with_no_model_lists_its_files() {
        let error = chosen("hf:a/b", &["pytorch_model.bin"]).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("pytorch_model.bin"), "{error}");
        assert!(chosen("hf:a/b", &[]).unwrap_err().to_string().contains("no files"));
    }
}
