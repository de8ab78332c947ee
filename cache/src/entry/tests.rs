use aigate_contract::{Usage, chat::ChunkWriter};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::{fingerprint, finish, origin, text};

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn facts() -> Facts {
    let usage = Usage { fresh_input: Some(7), output: Some(u64::MAX), rows: Some(0), ..Usage::default() };
    let mut facts = Facts { usage: Some(usage), ..Facts::default() };
    facts.absorb(&finish(FinishReason::Stop));
    facts.finish.push(FinishReason::Other("tired".into()));
    facts
}

fn tensors() -> Vec<Tensor> {
    let texts = vec![Bytes::from_static(b"a"), Bytes::new()];
    let all = [
        Data::Bytes(texts),
        Data::Fp32(vec![-0.0, f32::MIN_POSITIVE]),
        Data::Bool(vec![true, false]),
        Data::Int64(vec![i64::MIN, i64::MAX]),
        Data::Fp16(vec![Default::default(); 2]),
    ];
    let tensor = |data| Tensor::new("o", vec![2, 1], data).unwrap();
    let mut tensors: Vec<Tensor> = all.into_iter().map(tensor).collect();
    tensors[0].parameters.insert("p".into(), json!({"a": [1, null]}));
    tensors.push(Tensor::new("none", vec![0, 3], Data::Uint8(Vec::new())).unwrap());
    tensors
}

fn answers() -> Vec<Answer> {
    let json = Bytes::from_static(b"{\"a\":\"\xc3\xa9\"}");
    let chunks = vec![
        text("hé"),
        finish(FinishReason::Stop),
        ChunkWriter::new("id", 1, "m").usage(Usage { output: Some(1), ..Usage::default() }).unwrap(),
    ];
    let parameters = json!({"b": 1, "a": {"x": "y"}}).as_object().unwrap().clone();
    vec![
        Answer::Chat(ChatReply { json: json.clone(), facts: facts() }),
        Answer::ChatStream(chunks, facts()),
        Answer::ChatStream(Vec::new(), Facts::default()),
        Answer::Embed(EmbedReply { json, facts: Facts::default() }),
        Answer::Predict(PredictReply { version: "2".into(), parameters, outputs: tensors(), facts: facts() }),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_answer_comes_back_from_its_bytes_as_it_was() {
    for answer in answers() {
        let entry = Entry::new(answer, origin());
        tokio::time::advance(Duration::from_secs(3)).await;
        let bytes = entry.to_bytes(&fingerprint(1), now()).unwrap();
        let later = now() + Duration::from_secs(4);
        let back = Entry::from_bytes(&bytes, &fingerprint(1), later).unwrap();
        // Not all of their parts can be compared: what they print can.
        assert_eq!(format!("{:?}", back.answer()), format!("{:?}", entry.answer()));
        assert_eq!((back.origin(), back.size()), (entry.origin(), entry.size()));
        assert_eq!((entry.age(), back.age()), (Duration::from_secs(3), Duration::from_secs(7)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_names_the_target_comes_back_from_bytes_and_the_rest_is_not_pretended() {
    let target = Target { version: Some("3".into()), fallback: true, ..Target::new("provider", "model") };
    let origin = Origin { target: Arc::new(target), dropped: vec!["seed".into(), "stop".into()] };
    let entry = Entry::new(answers().remove(0), Arc::new(origin.clone()));
    let bytes = entry.to_bytes(&fingerprint(1), now()).unwrap();
    assert_eq!(**Entry::from_bytes(&bytes, &fingerprint(1), now()).unwrap().origin(), origin);
}

#[tokio::test(start_paused = true)]
async fn an_entry_from_a_clock_ahead_is_new() {
    let bytes = Entry::new(answers().remove(0), origin()).to_bytes(&fingerprint(1), now()).unwrap();
    let earlier = now() - Duration::from_secs(60);
    assert_eq!(Entry::from_bytes(&bytes, &fingerprint(1), earlier).unwrap().age(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_too_large_for_replicas_to_share_is_not_written() {
    let chat = |length| Answer::Chat(ChatReply { json: vec![b' '; length].into(), facts: Facts::default() });
    let written = |answer| Entry::new(answer, origin()).to_bytes(&fingerprint(1), now());
    let around = written(chat(0)).unwrap().len();
    let largest = written(chat((1 << 20) - around)).unwrap();
    assert_eq!(largest.len(), 1 << 20);
    assert!(Entry::from_bytes(&largest, &fingerprint(1), now()).is_some());
    assert!(written(chat((1 << 20) - around + 1)).is_none());
    let tensor = Tensor::new("o", vec![1 << 18], Data::Fp64(vec![0.0; 1 << 18])).unwrap();
    let (version, parameters, facts) = ("1".into(), Map::new(), Facts::default());
    let predict = Answer::Predict(PredictReply { version, parameters, outputs: vec![tensor], facts });
    let texts = Answer::ChatStream(vec![text(&"x".repeat(1 << 18)); 4], Facts::default());
    assert!(written(chat(2 << 20)).is_none() && written(predict).is_none() && written(texts).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_entry_under_another_s_fingerprint_is_none() {
    let bytes = Entry::new(answers().remove(0), origin()).to_bytes(&fingerprint(1), now()).unwrap();
    assert!(Entry::from_bytes(&bytes, &fingerprint(2), now()).is_none());
}

#[tokio::test(start_paused = true)]
async fn bytes_with_a_right_checksum_but_a_wrong_content_are_none() {
    for answer in answers() {
        let bytes = Entry::new(answer, origin()).to_bytes(&fingerprint(1), now()).unwrap();
        let body = &bytes[..bytes.len() - 16];
        for place in 0..body.len() {
            // Cut off anywhere, and with lengths and tags that lie.
            for mut wrong in [body[..place].to_vec(), [body, &[0; 3]].concat()] {
                codec::seal(&mut wrong, &fingerprint(1));
                assert!(Entry::from_bytes(&wrong, &fingerprint(1), now()).is_none());
            }
            let mut lying = body.to_vec();
            lying[place] = lying[place].wrapping_add(0x80);
            codec::seal(&mut lying, &fingerprint(1));
            // It may be another entry, but reading it must end, and without a panic.
            let _ = Entry::from_bytes(&lying, &fingerprint(1), now());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_does_not_hold_on_to_the_buffer_that_its_answer_was_cut_from() {
    let buffer = Bytes::from(vec![b' '; 1 << 20]);
    let part = buffer.slice(..10);
    let chunk = |json: Bytes| ChatChunk { json, finish: Vec::new(), usage: None, usage_only: false };
    let predict = PredictReply {
        version: "1".into(),
        parameters: Map::new(),
        outputs: vec![Tensor::new("o", vec![1], Data::Bytes(vec![part.clone()])).unwrap()],
        facts: Facts::default(),
    };
    let entries = [
        Answer::Chat(ChatReply { json: part.clone(), facts: Facts::default() }),
        Answer::ChatStream(vec![chunk(part.clone()), chunk(part.clone())], Facts::default()),
        Answer::Embed(EmbedReply { json: part.clone(), facts: Facts::default() }),
        Answer::Predict(predict),
    ]
    .map(|answer| Entry::new(answer, origin()));
    drop(part);
    // Nobody but this test holds the buffer any more.
    assert!(buffer.is_unique());
    assert!(entries.iter().all(|entry| entry.size() < 2000));
}

#[tokio::test(start_paused = true)]
async fn the_size_grows_with_all_that_an_answer_holds() {
    let size = |answer| Entry::new(answer, origin()).size();
    let chat = |length| Answer::Chat(ChatReply { json: vec![b' '; length].into(), facts: Facts::default() });
    assert_eq!(size(chat(5000)) - size(chat(0)), 5000);
    let one = size(Answer::ChatStream(vec![text("")], Facts::default()));
    let many = size(Answer::ChatStream(vec![text(""); 11], Facts::default()));
    assert_eq!(many - one, 10 * (size_of::<ChatChunk>() + text("").json.len()));
    let predict = |parameters| {
        let outputs = vec![Tensor::new("o", vec![1000], Data::Fp64(vec![0.0; 1000])).unwrap()];
        Answer::Predict(PredictReply { version: "1".into(), parameters, outputs, facts: Facts::default() })
    };
    assert!(size(predict(Map::new())) > 8000);
    let large = json!({"a": {"b": ["x".repeat(500)]}}).as_object().unwrap().clone();
    assert!(size(predict(large)) > size(predict(Map::new())) + 500);
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_and_a_stream_are_each_given_in_both_forms_and_other_answers_in_none() {
    let chunks = vec![text("hi"), finish(FinishReason::Stop)];
    let stream = Arc::new(Entry::new(Answer::ChatStream(chunks.clone(), facts()), origin()));
    let whole = stream.chat().unwrap();
    assert!(std::str::from_utf8(&whole.json).unwrap().contains(r#""content":"hi""#));
    let whole = Arc::new(Entry::new(Answer::Chat(whole), origin()));
    assert_eq!(whole.chat_stream().unwrap().count(), 3);
    let again: Vec<Bytes> = stream.chat_stream().unwrap().map(|chunk| chunk.json).collect();
    assert_eq!(again, [chunks[0].json.clone(), chunks[1].json.clone()]);
    assert!(whole.chat().is_some());
    let embed = Answer::Embed(EmbedReply { json: Bytes::new(), facts: facts() });
    let embed = Arc::new(Entry::new(embed, origin()));
    assert!(embed.chat().is_none() && embed.chat_stream().is_none());
}

#[test]
fn an_answer_that_a_filter_cut_off_or_that_does_not_say_why_it_ended_is_not_worth_keeping() {
    let worth = |reasons: &[&str]| {
        let finish = reasons.iter().map(|word| FinishReason::from(*word)).collect();
        worth_keeping(&Facts { finish, ..Facts::default() })
    };
    assert!(worth(&["stop"]) && worth(&["length"]) && worth(&["tool_calls", "stop"]));
    assert!(
        !worth(&[])
            && !worth(&["content_filter"])
            && !worth(&["stop", "content_filter"])
            && !worth(&["error"])
    );
}

proptest! {
    #[test]
    fn no_garbage_is_read_and_none_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Entry::from_bytes(&bytes, &fingerprint(1), now()).is_none());
    }

    #[test]
    fn an_entry_with_one_bit_turned_is_none(place in any::<prop::sample::Index>(), bit in 0..8, kind in 0..5_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let mut bytes = Entry::new(answers().remove(kind), origin()).to_bytes(&fingerprint(1), now()).unwrap();
        let place = place.index(bytes.len());
        bytes[place] ^= 1_u8 << bit;
        prop_assert!(Entry::from_bytes(&bytes, &fingerprint(1), now()).is_none());
    }
}
