//! A decoder's tensors, each taken from the file by its name and checked against the shape.
//!
//! Names: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#standardized-tensor-names>.

use std::collections::HashSet;

use crate::{
    gguf::{self, File},
    kernels::{Format, Matrix},
};

use super::shape::{Family, Shape};

/// All tensors of a decoder.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) embeddings: Matrix,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Vec<f32>,
    /// `None`: the embeddings are the output's weights too.
    pub(super) output: Option<Matrix>,
    /// What slows some pairs of the rotary positions down.
    pub(super) rope_factors: Option<Vec<f32>>,
}

/// The tensors of one layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention_norm: Vec<f32>,
    pub(super) query: Matrix,
    pub(super) key: Matrix,
    pub(super) value: Matrix,
    pub(super) query_bias: Option<Vec<f32>>,
    pub(super) key_bias: Option<Vec<f32>>,
    pub(super) value_bias: Option<Vec<f32>>,
    pub(super) query_norm: Option<Vec<f32>>,
    pub(super) key_norm: Option<Vec<f32>>,
    pub(super) output: Matrix,
    pub(super) output_bias: Option<Vec<f32>>,
    pub(super) attention_post_norm: Option<Vec<f32>>,
    pub(super) feed_norm: Vec<f32>,
    pub(super) gate: Matrix,
    pub(super) up: Matrix,
    pub(super) down: Matrix,
    pub(super) feed_post_norm: Option<Vec<f32>>,
}

impl Weights {
    /// Reads all tensors into memory.
    pub(super) fn read(file: &File, shape: &Shape) -> Result<Self, String> {
        Self::take(Reader { file, read: HashSet::new(), only_checks: false }, shape)
    }

    /// Checks that all tensors are there, in the right shapes and in formats that are understood, by the file's header.
    pub(super) fn check(file: &File, shape: &Shape) -> Result<(), String> {
        Self::take(Reader { file, read: HashSet::new(), only_checks: true }, shape).map(drop)
    }

    fn take(mut reader: Reader<'_>, shape: &Shape) -> Result<Self, String> {
        let file = reader.file;
        let Shape { width, .. } = *shape;
        let vocabulary = rows(file.tensor("token_embd.weight"))?;
        let embeddings = reader.matrix("token_embd.weight", vocabulary, width)?;
        let output = match file.tensor("output.weight") {
            Some(_) => Some(reader.matrix("output.weight", vocabulary, width)?),
            None => None,
        };
        let weights = Self {
            embeddings,
            output,
            norm: reader.vector("output_norm.weight", width)?,
            rope_factors: reader.optional("rope_freqs.weight", shape.rope.dimensions / 2)?,
            layers: (0..shape.layers)
                .map(|index| Layer::read(&mut reader, index, shape))
                .collect::<Result<_, _>>()?,
        };
        reader.refuse_the_rest()?;
        Ok(weights)
    }
}

impl Layer {
    fn read(reader: &mut Reader<'_>, index: usize, shape: &Shape) -> Result<Self, String> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let Shape { width, head_width, .. } = *shape;
        let (all, shared) = (shape.heads * head_width, shape.kv_heads * head_width);
        let feed = rows(reader.file.tensor(&name("ffn_up.weight")))?;
        let post = matches!(shape.family, Family::Gemma2 | Family::Gemma3);
        let head_norms = matches!(shape.family, Family::Qwen3 | Family::Gemma3);
        let mut when = |wanted: bool, part: &str, size| match wanted {
            true => reader.vector(&name(part), size).map(Some),
            false => Ok(None),
        };
        let query_norm = when(head_norms, "attn_q_norm.weight", head_width)?;
        let key_norm = when(head_norms, "attn_k_norm.weight", head_width)?;
        let attention_post_norm = when(post, "post_attention_norm.weight", width)?;
        let feed_post_norm = when(post, "post_ffw_norm.weight", width)?;
        Ok(Self {
            attention_norm: reader.vector(&name("attn_norm.weight"), width)?,
            query: reader.matrix(&name("attn_q.weight"), all, width)?,
            key: reader.matrix(&name("attn_k.weight"), shared, width)?,
            value: reader.matrix(&name("attn_v.weight"), shared, width)?,
            query_bias: reader.optional(&name("attn_q.bias"), all)?,
            key_bias: reader.optional(&name("attn_k.bias"), shared)?,
            value_bias: reader.optional(&name("attn_v.bias"), shared)?,
            query_norm,
            key_norm,
            output: reader.matrix(&name("attn_output.weight"), width, all)?,
            output_bias: reader.optional(&name("attn_output.bias"), width)?,
            attention_post_norm,
            feed_norm: reader.vector(&name("ffn_norm.weight"), width)?,
            gate: reader.matrix(&name("ffn_gate.weight"), feed, width)?,
            up: reader.matrix(&name("ffn_up.weight"), feed, width)?,
            down: reader.matrix(&name("ffn_down.weight"), width, feed)?,
            feed_post_norm,
        })
    }
}

/// The rows of a matrix, by the file: for sizes that only the tensors tell.
fn rows(tensor: Option<&gguf::Tensor>) -> Result<usize, String> {
    let tensor =
        tensor.ok_or("the file lacks tensors that every model has: is it one of a model's weights?")?;
    let rows = tensor.shape.get(1).copied().unwrap_or(1);
    usize::try_from(rows).map_err(|_| format!("tensor {} has {rows} rows", tensor.name))
}

/// Takes tensors from a file and notes which, so that one which nobody asked for does not go unnoticed.
struct Reader<'a> {
    file: &'a File,
    read: HashSet<&'a str>,
    /// Nothing is read: each tensor is replaced by a single zero.
    only_checks: bool,
}

impl<'a> Reader<'a> {
    fn tensor(&mut self, name: &str, shape: [usize; 2]) -> Result<&'a gguf::Tensor, String> {
        let tensor = self.file.tensor(name).ok_or_else(|| format!("the file lacks the tensor {name}"))?;
        let found = |axis: usize| tensor.shape.get(axis).copied().unwrap_or(1);
        let rest: u64 = tensor.shape.iter().skip(2).product();
        if [found(0), found(1)] != shape.map(|size| size as u64) || rest != 1 {
            let found: Vec<_> = tensor.shape.iter().map(u64::to_string).collect();
            return Err(format!(
                "tensor {name} is {}, not {} x {} as the metadata say",
                found.join(" x "),
                shape[0],
                shape[1]
            ));
        }
        self.read.insert(&tensor.name);
        Ok(tensor)
    }

    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Matrix, String> {
        let file = self.file;
        let tensor = self.tensor(name, [columns, rows])?;
        let format = format(tensor)?;
        if self.only_checks {
            return Matrix::new(Format::F32, 1, 1, vec![0; 4]);
        }
        Matrix::new(format, rows, columns, file.read(tensor)?).map_err(|why| format!("tensor {name}: {why}"))
    }

    fn vector(&mut self, name: &str, size: usize) -> Result<Vec<f32>, String> {
        let file = self.file;
        let tensor = self.tensor(name, [size, 1])?;
        let format = format(tensor)?;
        if self.only_checks {
            return Ok(Vec::new());
        }
        let matrix = Matrix::new(format, 1, size, file.read(tensor)?)
            .map_err(|why| format!("tensor {name}: {why}"))?;
        let mut values = vec![0.0; size];
        matrix.row(0, &mut values);
        Ok(values)
    }

    fn optional(&mut self, name: &str, size: usize) -> Result<Option<Vec<f32>>, String> {
        match self.file.tensor(name) {
            Some(_) => self.vector(name, size).map(Some),
            None => Ok(None),
        }
    }

    /// A tensor that was not read would change the answer, were the model computed as its makers do.
    fn refuse_the_rest(&self) -> Result<(), String> {
        match self.file.tensors().find(|tensor| !self.read.contains(tensor.name.as_str())) {
            Some(tensor) => Err(format!("the tensor {} is not understood in this family", tensor.name)),
            None => Ok(()),
        }
    }
}

fn format(tensor: &gguf::Tensor) -> Result<Format, String> {
    Format::from_ggml(tensor.kind).ok_or_else(|| {
        let kind = gguf::kind_name(tensor.kind).unwrap_or("something unknown");
        format!(
            "tensor {} is quantised as {kind}, which is not supported: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and \
             Q2_K to Q6_K are",
            tensor.name
        )
    })
}
