//! A chat model of a few kilobytes with random weights, made in a moment: what it says has no sense.

use aigate_neural::gguf::{Array, NewTensor, Value, write};

const WIDTH: usize = 32;
const FEED: usize = 64;
/// The unknown token, the beginning, the end, and the 256 bytes.
const VOCABULARY: usize = 3 + 256;

/// The file's bytes. It was trained, as it says, for `context` tokens.
pub(crate) fn model(context: u32) -> Vec<u8> {
    let mut tokens = vec!["<unk>".to_owned(), "<s>".to_owned(), "</s>".to_owned()];
    tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    // As in llama.cpp: unknown, control, control, bytes.
    let kinds = [2, 3, 3].into_iter().chain([6; 256]).collect();
    let metadata = [
        ("general.architecture", Value::String("llama".to_owned())),
        ("llama.block_count", Value::U32(1)),
        ("llama.embedding_length", Value::U32(WIDTH as u32)),
        ("llama.attention.head_count", Value::U32(2)),
        ("llama.context_length", Value::U32(context)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("tokenizer.ggml.model", Value::String("llama".to_owned())),
        ("tokenizer.ggml.tokens", Value::Array(Array::String(tokens))),
        ("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.0; VOCABULARY]))),
        ("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds))),
        ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ("tokenizer.ggml.unknown_token_id", Value::U32(0)),
        ("tokenizer.ggml.add_space_prefix", Value::Bool(false)),
        ("tokenizer.chat_template", Value::String(TEMPLATE.to_owned())),
    ];
    let mut random = Random(7);
    let mut tensors = vec![
        random.tensor("token_embd.weight", [WIDTH, VOCABULARY]),
        random.tensor("output.weight", [WIDTH, VOCABULARY]),
        ones("output_norm.weight"),
        ones("blk.0.attn_norm.weight"),
        ones("blk.0.ffn_norm.weight"),
        random.tensor("blk.0.ffn_gate.weight", [WIDTH, FEED]),
        random.tensor("blk.0.ffn_up.weight", [WIDTH, FEED]),
        random.tensor("blk.0.ffn_down.weight", [FEED, WIDTH]),
    ];
    for part in ["attn_q", "attn_k", "attn_v", "attn_output"] {
        tensors.push(random.tensor(&format!("blk.0.{part}.weight"), [WIDTH, WIDTH]));
    }
    write(metadata, &tensors)
}

const TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:";

fn ones(name: &str) -> NewTensor {
    let data = [1f32; WIDTH].iter().flat_map(|number| number.to_le_bytes()).collect();
    NewTensor { name: name.to_owned(), shape: vec![WIDTH as u64], kind: 0, data }
}

/// A linear congruential generator: enough for weights.
struct Random(u64);

impl Random {
    fn tensor(&mut self, name: &str, [columns, rows]: [usize; 2]) -> NewTensor {
        let data = (0..columns * rows).flat_map(|_| self.number().to_le_bytes()).collect();
        NewTensor { name: name.to_owned(), shape: vec![columns as u64, rows as u64], kind: 0, data }
    }

    /// Between -0.5 and 0.5.
    fn number(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 24) as f32 - 0.5
    }
}
