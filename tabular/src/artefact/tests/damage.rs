//! Files that are not what was written: refused with a reason, whatever they hold, and without a panic.

use super::*;

/// A model file around a changed model, with the checksum that fits it.
fn sealed(model: &Value) -> Vec<u8> {
    let model = serde_json::to_string(model).unwrap();
    let digest: String = Sha256::digest(model.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{{\"format\":\"{FORMAT}\",\"format_version\":1,\"checksum\":\"sha256:{digest}\",\"model\":{model}}}"
    )
    .into()
}

fn model_of(form: Form) -> Value {
    let file: Value = serde_json::from_slice(&artefact(form).write().unwrap()).unwrap();
    file["model"].clone()
}

fn refused(bytes: &[u8]) -> String {
    Artefact::read(bytes).expect_err("it was taken for a model").to_string()
}

/// That whatever was read is as good as a model that was trained.
fn use_it(artefact: Artefact) {
    artefact.card();
    artefact.write().unwrap();
    let predictor = Predictor::new(artefact);
    if let Ok(scores) = predictor.score(&table()) {
        assert_eq!(scores.len(), predictor.explain(&table()).unwrap().len());
    }
}

#[test]
fn bytes_that_are_flipped_cut_or_inserted_are_noticed() {
    let original = artefact(forms()[2].clone());
    let bytes = original.write().unwrap();
    let original = Artefact::read(&bytes).unwrap();
    let check = |bytes: &[u8], how: &str, at: usize| match Artefact::read(bytes) {
        Err(error) => assert!(!error.to_string().is_empty()),
        // White space outside the model, or capital letters in the checksum.
        Ok(read) => assert_eq!(read, original, "{how} at {at}"),
    };
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= [1, 0x20, 0x80][at % 3];
        check(&flipped, "flipped", at);
        let inserted = [&bytes[..at], &[b"0\"}x\xff"[at % 5]], &bytes[at..]].concat();
        check(&inserted, "inserted", at);
        let without = [&bytes[..at], &bytes[(at + 1 + at % 40).min(bytes.len())..]].concat();
        check(&without, "cut out", at);
        if at + 2 < bytes.len() {
            assert!(Artefact::read(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}

/// Every place of a value, as the keys and indices that lead there.
fn places(value: &Value, way: &str, found: &mut Vec<String>) {
    found.push(way.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| places(item, &format!("{way}/{at}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(key, field)| places(field, &format!("{way}/{key}"), found));
        }
        _ => {}
    }
}

fn shorter(value: &mut Value) -> bool {
    value.as_array_mut().is_some_and(|items| items.pop().is_some())
}

fn longer(value: &mut Value) -> bool {
    let Some(items) = value.as_array_mut() else { return false };
    let last = items.last().cloned();
    items.extend(last);
    true
}

#[test]
fn content_that_was_edited_with_a_fitting_checksum_is_refused_or_works() {
    let odd = [
        json!(-1),
        json!(0),
        json!(1),
        json!(3),
        json!(2_147_483_647),
        json!(4_294_967_295_u64),
        json!(1e308),
        json!(null),
        json!(""),
        json!([]),
        json!({}),
        json!(true),
        json!([[]]),
    ];
    let mut works = 0;
    for form in forms() {
        let model = model_of(form);
        let mut all = Vec::new();
        places(&model, "", &mut all);
        // The curves and groups of the metrics are many and alike.
        all.retain(|place| !place.starts_with("/metrics/") || place.len() < 30);
        for place in &all {
            let mut edited = model.clone();
            for odd in &odd {
                *edited.pointer_mut(place).unwrap() = odd.clone();
                if let Ok(read) = Artefact::read(&sealed(&edited)) {
                    works += 1;
                    use_it(read);
                }
            }
            for change in [shorter, longer] {
                let mut edited = model.clone();
                if edited.pointer_mut(place).is_some_and(change) {
                    let _ = Artefact::read(&sealed(&edited)).map(use_it);
                }
            }
        }
    }
    // Other thresholds, names and the like are models too.
    assert!(works > 50, "{works}");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let edits: [(usize, &str, Value, &str); 22] = [
        (2, "/model/form/trees/trees/1/feature/0", json!(5), "trees[1]: node 0 asks for column 5 of 5"),
        (2, "/model/form/trees/trees/0/left/1", json!(0), "trees[0]: node 1 has the children 0 and 1"),
        (2, "/model/form/trees/trees/0/left/1", json!(4), "node 1 has the children 4 and 5"),
        (2, "/model/form/trees/trees/0/left/0", json!(2), "node 1 is not below a node before it"),
        (2, "/model/form/trees/trees/0/feature/1", json!(-1), "node 3 is not below a node before it"),
        (2, "/model/form/trees/trees/0/cover", json!([1]), "1 covers instead of 5"),
        (2, "/model/form/trees/trees/0/cover/0", json!(-1), "a cover is negative: -1"),
        (2, "/model/form/trees/trees", json!([]), "there is no tree"),
        (2, "/model/form/trees/trees/0/value/0", json!(null), "invalid type: null"),
        (0, "/model/form/linear/weights", json!([1, 2]), "2 weights instead of 5"),
        (0, "/encoder/blocks/0/scale", json!(0), "encoder.blocks[0]: its scale is 0"),
        (0, "/encoder/blocks", json!([]), "there are 0 for 2 features"),
        (0, "/encoder/blocks/1/levels", json!(["a", "a"]), "the level `a` is there twice"),
        (0, "/encoder/blocks/1/levels", json!(["a"]), "5 weights instead of 4"),
        (0, "/schema/features/1/name", json!("age"), "the name `age` is there twice"),
        (0, "/schema/outcome/positive", json!("0"), "both classes are `0`"),
        (0, "/threshold", json!(1.5), "threshold: 1.5 is not between 0 and 1"),
        (0, "/unheard_of", json!(1), "unknown field `unheard_of`"),
        (1, "/model/form/kernel/coefficients", json!([1]), "1 coefficients instead of 2"),
        (1, "/model/form/kernel/vectors/0", json!([1]), "1 numbers in a row instead of 5"),
        (1, "/model/form/kernel/background", json!([]), "it has no background rows"),
        (1, "/model/form/kernel/gamma", json!(-1), "its gamma -1 is negative"),
    ];
    for (form, place, value, reason) in edits {
        let mut model = model_of(forms()[form].clone());
        match model.pointer_mut(place) {
            Some(found) => *found = value,
            None => {
                model.as_object_mut().unwrap().insert(place.trim_start_matches('/').to_owned(), value);
            }
        }
        let error = refused(&sealed(&model));
        assert!(
            error.starts_with("the model file is inconsistent: ") && error.contains(reason),
            "{place}: {error}"
        );
    }
}

#[test]
fn a_tree_deeper_than_can_be_walked_is_refused() {
    let depth = super::super::check::DEEPEST + 1;
    let mut tree = Tree::default();
    for question in 0..=depth {
        let inner = question < depth;
        tree.feature.extend(if inner { vec![0, -1] } else { vec![-1] });
        tree.left.extend(if inner { vec![u32::try_from(2 * question + 1).unwrap(), 0] } else { vec![0] });
    }
    let nodes = tree.feature.len();
    (tree.threshold, tree.value, tree.cover) = (vec![0.0; nodes], vec![0.0; nodes], vec![1.0; nodes]);
    let error =
        artefact(Form::Trees(Trees { base: 0.0, factor: 1.0, trees: vec![tree] })).write().unwrap_err();
    assert!(error.to_string().contains("deeper than 512 questions"), "{error}");
}

#[test]
fn foreign_newer_and_damaged_files_are_told_apart() {
    let whole = artefact(forms()[0].clone()).write().unwrap();
    let text = String::from_utf8(whole).unwrap();
    let start = |rest: &str| format!("{{\"format\":\"aigate-model\",\"format_version\":{rest}}}");
    let cases = [
        (Vec::new(), "not an aigate model file: it is not a JSON object"),
        (b"age,job\n1,2\n".to_vec(), "not an aigate model file: it is not a JSON object"),
        (b"\x08\x07\xff\xfe".to_vec(), "not an aigate model file: it is not text"),
        (b"{}".to_vec(), "not an aigate model file: missing field `format`"),
        (
            b"{\"format\":\"other\",\"format_version\":1}".to_vec(),
            "its `format` is `other`, not `aigate-model`",
        ),
        (b"{\"nodes\":[".to_vec(), "not an aigate model file: it is not whole JSON"),
        (start("2,\"x\":1").into_bytes(), "format version 2; this program reads up to 1"),
        (start("0").into_bytes(), "`format_version` is 0"),
        (start("1").into_bytes(), "damaged: missing field `checksum`"),
        (text.as_bytes()[..text.len() / 2].to_vec(), "damaged: it ends too early"),
        (text.replace("0.3", "0.4").into_bytes(), "damaged: its checksum is `sha256:"),
    ];
    for (bytes, reason) in cases {
        let error = refused(&bytes);
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn nothing_is_written_that_could_not_be_read() {
    let mut artefact = artefact(forms()[0].clone());
    artefact.comparison[0].seconds = f64::NAN;
    assert!(matches!(artefact.write(), Err(ArtefactError::Inconsistent { .. })));
    artefact.comparison[0].seconds = 1.0;
    artefact.threshold = f64::NAN;
    let error = artefact.write().unwrap_err().to_string();
    assert!(error.contains("threshold: NaN is not a finite number"), "{error}");
}
