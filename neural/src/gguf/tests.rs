//! Files made by hand: whole, damaged and foreign.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// Reads the bytes as the header of a file `model.gguf` that holds nothing else.
fn read(bytes: &[u8]) -> Result<(Metadata, Vec<Tensor>), Error> {
    header::read(Path::new("model.gguf"), bytes, bytes.len() as u64)
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes).expect_err("refused").to_string()
}

fn tensor(name: &str, shape: &[u64], kind: u32, data: Vec<u8>) -> NewTensor {
    NewTensor { name: name.to_owned(), shape: shape.to_vec(), kind, data }
}

/// Every type of value, and two tensors.
fn sample() -> (Vec<(&'static str, Value)>, Vec<NewTensor>) {
    let pairs = vec![
        ("a.u8", Value::U8(200)),
        ("a.i8", Value::I8(-3)),
        ("a.u16", Value::U16(60_000)),
        ("a.i16", Value::I16(-300)),
        ("a.u32", Value::U32(4_000_000_000)),
        ("a.i32", Value::I32(-70_000)),
        ("a.u64", Value::U64(u64::MAX)),
        ("a.i64", Value::I64(i64::MIN)),
        ("a.f32", Value::F32(1.5)),
        ("a.f64", Value::F64(0.1)),
        ("a.bool", Value::Bool(true)),
        ("a.text", Value::String("Grüße".to_owned())),
        ("a.texts", Value::Array(Array::String(vec!["one".to_owned(), String::new()]))),
        ("a.numbers", Value::Array(Array::U16(vec![1, 65_535]))),
        ("a.floats", Value::Array(Array::F32(vec![0.5, -2.0]))),
        ("a.nested", Value::Array(Array::Array(vec![Array::Bool(vec![true, false]), Array::I8(vec![])]))),
    ];
    let tensors = vec![
        tensor("rows", &[32, 2], 8, (0..68).collect()),
        tensor("vector", &[3], 0, [1.0_f32, 2.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect()),
    ];
    (pairs, tensors)
}

fn on_disk(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).expect("written");
    (folder, path)
}

#[test]
fn a_written_file_is_read_back_whole() {
    let (pairs, tensors) = sample();
    let bytes = write(pairs.clone(), &tensors);
    let (_folder, path) = on_disk(&bytes);
    let file = File::open(&path).expect("opens");
    assert_eq!(*file.metadata(), pairs.into_iter().collect());
    assert_eq!(file.length(), bytes.len() as u64);
    let names: Vec<_> = file.tensors().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["rows", "vector"]);
    for wrote in &tensors {
        let found = file.tensor(&wrote.name).expect("found");
        assert_eq!(
            (&found.shape, found.kind, found.bytes),
            (&wrote.shape, wrote.kind, wrote.data.len() as u64)
        );
        assert_eq!(file.read(found).expect("read"), wrote.data);
    }
    assert!(file.tensor("absent").is_none());
}

#[test]
fn version_2_is_read_too() {
    let (pairs, tensors) = sample();
    let mut bytes = write(pairs, &tensors);
    bytes[4] = 2;
    assert_eq!(read(&bytes).expect("read").1.len(), 2);
}

#[test]
fn getters_take_any_width_that_fits_and_name_what_they_find() {
    let (pairs, _) = sample();
    let metadata: Metadata = pairs.into_iter().collect();
    assert_eq!(metadata.u32("a.u8").expect("fits"), Some(200));
    assert_eq!(metadata.u64("a.u64").expect("fits"), Some(u64::MAX));
    assert_eq!(metadata.f32("a.f64").expect("fits"), Some(0.1));
    assert_eq!(metadata.bool("a.bool").expect("fits"), Some(true));
    assert_eq!(metadata.text("a.text").expect("fits"), Some("Grüße"));
    assert_eq!(metadata.integers("a.numbers").expect("fits"), Some(vec![1, 65_535]));
    assert_eq!(metadata.floats("a.floats").expect("fits"), Some(vec![0.5, -2.0]));
    assert_eq!(metadata.texts("a.texts").expect("fits").map(<[String]>::len), Some(2));
    assert_eq!(metadata.u32("absent").expect("no error"), None);
    let refused = |error: Error| error.to_string();
    assert_eq!(
        refused(metadata.u32("a.i8").expect_err("negative")),
        "the file's metadata hold an i8 (-3) under a.i8, where an integer from 0 to 4294967295 is needed"
    );
    assert_eq!(
        refused(metadata.text("a.floats").expect_err("floats")),
        "the file's metadata hold an array of f32 under a.floats, where a text is needed"
    );
    assert_eq!(
        refused(metadata.require("absent", Metadata::u32).expect_err("absent")),
        "the file's metadata lack the key absent"
    );
}

#[test]
fn a_file_of_another_format_is_named() {
    let told = |bytes: &[u8]| {
        let said = refusal(bytes);
        said.strip_prefix("model.gguf is not a GGUF file: ").expect("a foreign file").to_owned()
    };
    assert_eq!(told(b""), "it is empty");
    assert_eq!(told(b"GG"), r#"it begins with "GG""#);
    assert_eq!(told(b"\x00\x01ab and more"), r#"it begins with "\x00\x01ab""#);
    assert!(told(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d").contains("Git LFS pointer"));
    assert!(told(b"PK\x03\x04\x00\x00").contains("zip"));
    assert!(told(b"\x80\x02}q\x00").contains("pickle"));
    assert!(told(b"\x10\x02\x00\x00\x00\x00\x00\x00{\"__metadata__\":").contains("safetensors"));
    assert!(told(b"\n<!DOCTYPE HTML><html>").contains("HTML"));
    assert!(told(b"tjgg\x03\x00\x00\x00").contains("before GGUF"));
    assert!(told(b"{\"a\": 1}").contains("JSON"));
}

#[test]
fn other_versions_are_refused_by_number() {
    let with_version = |version: u32| {
        let mut bytes = write([], &[]);
        bytes[4..8].copy_from_slice(&version.to_le_bytes());
        refusal(&bytes)
    };
    assert_eq!(
        with_version(4),
        "model.gguf is GGUF version 4, which is newer than this program reads (2 and 3)"
    );
    assert!(with_version(1).contains("version 1"));
    assert!(with_version(3_u32.swap_bytes()).contains("big-endian"));
    assert!(with_version(0).contains("version is 0"));
}

#[test]
fn a_part_of_a_split_model_is_refused() {
    let bytes = write([("split.count", Value::U16(3)), ("split.no", Value::U16(0))], &[]);
    assert!(refusal(&bytes).contains("one of the 3 parts"), "{}", refusal(&bytes));
    assert!(read(&write([("split.count", Value::U16(1))], &[])).is_ok());
}

#[test]
fn a_file_cut_anywhere_says_where_it_ends() {
    let (pairs, tensors) = sample();
    let bytes = write(pairs, &tensors);
    for length in 4..bytes.len() {
        let said = refusal(&bytes[..length]);
        assert!(said.contains("ends"), "{length}: {said}");
    }
    let cut = &bytes[..bytes.len() - 5];
    assert_eq!(refusal(cut), "model.gguf ends 5 bytes before the end of tensor vector");
}

#[test]
fn a_file_cut_after_it_was_opened_says_so() {
    let (pairs, tensors) = sample();
    let bytes = write(pairs, &tensors);
    let (_folder, path) = on_disk(&bytes);
    let file = File::open(&path).expect("opens");
    std::fs::write(&path, &bytes[..bytes.len() - 1]).expect("cut");
    let said = file.read(file.tensor("vector").expect("found")).expect_err("cut").to_string();
    assert!(said.contains("cut after it was opened"), "{said}");
}

#[test]
fn a_tensor_of_another_file_is_refused() {
    let (pairs, tensors) = sample();
    let (_folder, path) = on_disk(&write(pairs, &tensors));
    let file = File::open(&path).expect("opens");
    let mut foreign = file.tensor("rows").expect("found").clone();
    foreign.bytes = u64::MAX;
    assert!(file.read(&foreign).expect_err("outside").to_string().contains("outside"));
}

#[test]
fn counts_larger_than_the_file_are_refused_before_memory_is_taken() {
    for at in [8, 16] {
        let mut bytes = write([("a", Value::U8(1))], &[]);
        bytes[at..at + 8].copy_from_slice(&(u64::MAX / 16).to_le_bytes());
        assert!(refusal(&bytes).contains("ends after"), "{}", refusal(&bytes));
    }
    let mut bytes = write([("a", Value::Array(Array::String(vec![])))], &[]);
    let at = bytes.len() - 8;
    bytes[at..].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(refusal(&bytes).contains("before the end of its header"), "{}", refusal(&bytes));
}

#[test]
fn arrays_in_arrays_have_a_limit() {
    let mut array = Array::U8(vec![1]);
    for _ in 0..4 {
        array = Array::Array(vec![array]);
    }
    assert!(refusal(&write([("deep", Value::Array(array))], &[])).contains("more than 4 deep"));
}

#[test]
fn a_header_that_contradicts_itself_is_damaged() {
    let said = |tensors: &[NewTensor]| refusal(&write([], tensors));
    let two = [tensor("a", &[1], 0, vec![0; 4]), tensor("a", &[1], 0, vec![0; 4])];
    assert_eq!(said(&two), "model.gguf is damaged: it has two tensors named a");
    assert!(said(&[tensor("a", &[33], 8, vec![0; 68])]).contains("whole blocks of 32"));
    assert!(said(&[tensor("a", &[4, 0], 0, vec![])]).contains("empty dimension"));
    assert!(said(&[tensor("a", &[1, 1, 1, 1, 1], 0, vec![0; 4])]).contains("5 dimensions"));
    assert!(said(&[tensor("a", &[1 << 40, 1 << 40], 0, vec![])]).contains("impossible shape"));
    assert!(said(&[tensor("a", &[32], 31, vec![])]).contains("Q4_0_4_4"));
    assert!(said(&[tensor("a", &[32], 77, vec![])]).contains("type 77"));
    let overlap = [tensor("a", &[9], 0, vec![0; 4]), tensor("b", &[16], 0, vec![0; 64])];
    assert!(said(&overlap).contains("a and b overlap"), "{}", said(&overlap));
    let twice = [("k", Value::U8(1)), ("k", Value::U8(2))];
    assert!(refusal(&write(twice, &[])).contains("the key k twice"));
    let alignment = [("general.alignment", Value::U32(24))];
    assert!(refusal(&write(alignment, &[])).contains("power of two"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
        let started = [b"GGUF\x03\0\0\0".as_slice(), &bytes].concat();
        let _ = read(&started);
    }

    #[test]
    fn no_changed_byte_makes_a_file_panic(at in 0_usize..1200, to in any::<u8>(), cut in 0_usize..1200) {
        let (pairs, tensors) = sample();
        let mut bytes = write(pairs, &tensors);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = to;
        }
        bytes.truncate(bytes.len().saturating_sub(cut / 8));
        let (_folder, path) = on_disk(&bytes);
        if let Ok(file) = File::open(&path) {
            for tensor in file.tensors() {
                let _ = file.read(tensor);
            }
        }
    }
}
