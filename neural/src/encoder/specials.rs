//! The special tokens that a model wants around a text, from the `post_processor` of its tokenizer.json:
//! <https://huggingface.co/docs/tokenizers/api/post-processors>.

use serde_json::Value;

/// Ids before and after a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Specials {
    pub(super) before: Vec<u32>,
    pub(super) after: Vec<u32>,
}

impl Specials {
    /// Refuses what would give the tokens of a single text another type than 0: no model read here wants that.
    pub(super) fn new(processor: &Value) -> Result<Specials, String> {
        if processor.is_null() {
            return Ok(Specials::default());
        }
        match processor.get("type").and_then(Value::as_str) {
            Some("BertProcessing" | "RobertaProcessing") => {
                let id = |name: &str| {
                    let id = processor.get(name).and_then(|pair| pair.get(1)).and_then(token);
                    id.ok_or_else(|| format!("`post_processor` has no token `{name}`"))
                };
                Ok(Specials { before: vec![id("cls")?], after: vec![id("sep")?] })
            }
            Some("TemplateProcessing") => template(processor),
            Some("Sequence") => sequence(processor),
            // Where tokens lie in the text, no more.
            Some("ByteLevel") => Ok(Specials::default()),
            _ => Err(format!("`post_processor` {processor} is not known")),
        }
    }
}

/// Each processor puts its tokens around those of the one before.
fn sequence(processor: &Value) -> Result<Specials, String> {
    let processors = processor.get("processors").and_then(Value::as_array);
    let mut all = Specials::default();
    for processor in processors.ok_or("`post_processor` has no list `processors`")? {
        let outer = match processor.get("type").and_then(Value::as_str) {
            Some("Sequence") => return Err("`post_processor` has a sequence in a sequence".into()),
            _ => Specials::new(processor)?,
        };
        all.before.splice(0..0, outer.before);
        all.after.extend(outer.after);
    }
    Ok(all)
}

fn template(processor: &Value) -> Result<Specials, String> {
    let pieces =
        processor.get("single").and_then(Value::as_array).ok_or("`post_processor` has no list `single`")?;
    let (mut before, mut after) = (Vec::new(), None);
    for piece in pieces {
        let sequence = piece.get("Sequence");
        let special = piece.get("SpecialToken");
        let inner =
            sequence.or(special).ok_or_else(|| format!("`post_processor` piece {piece} is not known"))?;
        if inner.get("type_id").is_some_and(|kind| kind != 0) {
            return Err("`post_processor` gives a single text's tokens other types than 0".into());
        }
        if sequence.is_some() {
            if inner.get("id").and_then(Value::as_str) != Some("A") || after.replace(Vec::new()).is_some() {
                return Err(ONCE.into());
            }
            continue;
        }
        after.as_mut().unwrap_or(&mut before).extend(special_ids(processor, inner)?);
    }
    Ok(Specials { before, after: after.ok_or(ONCE)? })
}

const ONCE: &str = "`post_processor` does not have the text A once";

fn special_ids(processor: &Value, special: &Value) -> Result<Vec<u32>, String> {
    let name = special.get("id").and_then(Value::as_str).unwrap_or_default();
    let ids =
        processor.get("special_tokens").and_then(|all| all.get(name)).and_then(|token| token.get("ids"));
    let ids: Option<Vec<u32>> = ids.and_then(Value::as_array).and_then(|ids| ids.iter().map(token).collect());
    ids.ok_or_else(|| format!("`post_processor` has no ids for the special token `{name}`"))
}

fn token(id: &Value) -> Option<u32> {
    id.as_u64().and_then(|id| u32::try_from(id).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_processor_gives_its_tokens() {
        let around =
            |before: &[u32], after: &[u32]| Ok(Specials { before: before.to_vec(), after: after.to_vec() });
        let bert = json!({"type": "BertProcessing", "sep": ["[SEP]", 102], "cls": ["[CLS]", 101]});
        let template = json!({"type": "TemplateProcessing", "special_tokens": {"<s>": {"ids": [0]}, "</s>": {"ids": [2, 3]}},
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}}]});
        let both = json!({"type": "Sequence", "processors": [{"type": "ByteLevel"}, bert, template]});
        assert_eq!(Specials::new(&Value::Null), around(&[], &[]));
        assert_eq!(Specials::new(&bert), around(&[101], &[102]));
        assert_eq!(Specials::new(&template), around(&[0], &[2, 3]));
        assert_eq!(Specials::new(&both), around(&[0, 101], &[102, 2, 3]));
        assert!(Specials::new(&json!({"type": "Other"})).is_err());
    }
}
