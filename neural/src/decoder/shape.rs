//! The shape of a decoder, read from the file's metadata: which family it is of, how wide and deep it is, and the numbers
//! in which the families differ.
//!
//! Keys: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#llm>.

use crate::gguf::Metadata;

/// The families that are understood, by `general.architecture`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Llama 1 to 3 and all that took over its form: Mistral, TinyLlama, SmolLM2 among them.
    Llama,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3, dense.
    Qwen3,
    /// Gemma 1.
    Gemma,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3, text.
    Gemma3,
}

const FAMILIES: [(&str, Family); 6] = [
    ("llama", Family::Llama),
    ("qwen2", Family::Qwen2),
    ("qwen3", Family::Qwen3),
    ("gemma", Family::Gemma),
    ("gemma2", Family::Gemma2),
    ("gemma3", Family::Gemma3),
];

/// The numbers of a decoder.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Its family.
    pub family: Family,
    /// Layers.
    pub layers: usize,
    /// Numbers that stand for a token between layers.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Numbers a head.
    pub head_width: usize,
    /// The most tokens that it was trained for, prompt and answer together.
    pub context: usize,
    /// Of all normalisations.
    pub epsilon: f32,
    /// How positions are turned into angles, of layers that see everything.
    pub rope: Rope,
    /// The same of layers that see a window.
    pub local_rope: Rope,
    /// Queries are multiplied by it.
    pub query_scale: f32,
    /// A bound on attention scores: `cap * tanh(score / cap)`.
    pub attention_cap: Option<f32>,
    /// A bound on the logits.
    pub logit_cap: Option<f32>,
    /// How many positions a windowed layer sees, and every how many layers there is one that sees all.
    pub window: Option<(usize, usize)>,
}

/// Rotary positions: pairs of a head's numbers are turned by angles that grow with the position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// How many of a head's numbers are turned.
    pub dimensions: usize,
    /// The angles' base.
    pub base: f32,
    /// Positions are multiplied by it.
    pub scale: f32,
    /// Which numbers are a pair: neighbours, or those half a head apart.
    pub neighbours: bool,
}

impl Shape {
    /// Reads the shape.
    ///
    /// # Errors
    /// Says which family, setting or number is not understood, and what would be.
    pub fn read(metadata: &Metadata) -> Result<Self, String> {
        let keys = Keys::new(metadata)?;
        let family = keys.family;
        keys.refuse_what_is_not_understood()?;
        let (layers, width) = (keys.count("block_count")?, keys.count("embedding_length")?);
        let heads = keys.count("attention.head_count")?;
        let kv_heads = keys.optional_count("attention.head_count_kv")?.unwrap_or(heads);
        if heads % kv_heads != 0 {
            return Err(format!("{heads} heads cannot share {kv_heads} key and value heads evenly"));
        }
        let head_width = match keys.optional_count("attention.key_length")? {
            Some(width) => width,
            None if width % heads == 0 => width / heads,
            None => return Err(format!("a width of {width} is not a multiple of {heads} heads")),
        };
        if keys.optional_count("attention.value_length")?.is_some_and(|value| value != head_width) {
            return Err("keys and values of different lengths are not supported".to_owned());
        }
        let rope = keys.rope(head_width)?;
        Ok(Self {
            family,
            layers,
            width,
            heads,
            kv_heads,
            head_width,
            context: keys.count("context_length")?,
            epsilon: keys.number("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5),
            rope,
            local_rope: keys.local_rope(rope)?,
            query_scale: query_scale(family, layers, width, heads, head_width),
            attention_cap: keys.cap("attn_logit_softcapping", 50.0)?,
            logit_cap: keys.cap("final_logit_softcapping", 30.0)?,
            window: keys.window()?,
        })
    }

    /// Query heads to one key and value head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// How many positions back a layer sees, the token's own included; `None`: all.
    pub fn window_of(&self, layer: usize) -> Option<usize> {
        self.window.filter(|(_, every)| layer % every < every - 1).map(|(window, _)| window)
    }

    /// Bytes of keys and values that one token leaves in the cache.
    pub fn cache_bytes_per_token(&self) -> u64 {
        let numbers = 2 * self.layers * self.kv_heads * self.head_width;
        2 * numbers as u64
    }

    /// What a token's embedding is multiplied by.
    pub(super) fn embedding_scale(&self) -> Option<f32> {
        self.is_gemma().then(|| (self.width as f32).sqrt())
    }

    /// Gemma's feed-forward gate is a GELU, the others' a SiLU.
    pub(super) fn is_gemma(&self) -> bool {
        matches!(self.family, Family::Gemma | Family::Gemma2 | Family::Gemma3)
    }
}

/// Gemma 2 and 3 in their 27B sizes scale by the width a head, all others by the head's own.
fn query_scale(family: Family, layers: usize, width: usize, heads: usize, head_width: usize) -> f32 {
    let by_width = matches!((family, layers), (Family::Gemma2, 46) | (Family::Gemma3, 62));
    let divisor = if by_width { width / heads } else { head_width };
    1.0 / (divisor as f32).sqrt()
}

/// Metadata, read with the family's name before each key.
struct Keys<'a> {
    metadata: &'a Metadata,
    name: &'a str,
    family: Family,
}

impl<'a> Keys<'a> {
    fn new(metadata: &'a Metadata) -> Result<Self, String> {
        let name = metadata.text("general.architecture")?.ok_or("the file does not name its architecture")?;
        let found = FAMILIES.iter().find(|(known, _)| *known == name);
        let (_, family) = found.ok_or_else(|| {
            let known: Vec<_> = FAMILIES.iter().map(|(known, _)| *known).collect();
            // It comes from a file, and may be anything.
            let shown: String = name.chars().take(64).collect();
            format!("the architecture {shown:?} is not supported: {} are", known.join(", "))
        })?;
        Ok(Self { metadata, name, family: *family })
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    /// A count that may be absent; some files list it layer by layer.
    fn optional_count(&self, key: &str) -> Result<Option<usize>, String> {
        let key = self.key(key);
        let count = match self.metadata.integers(&key) {
            Ok(Some(each)) => match each.split_first() {
                Some((first, rest)) if rest.iter().all(|other| other == first) => u32::try_from(*first).ok(),
                _ => return Err(format!("`{key}` differs from layer to layer, which is not supported")),
            },
            _ => self.metadata.u32(&key)?,
        };
        match count {
            Some(0) => Err(format!("`{key}` is 0")),
            // Far beyond any model, and products of four of them still fit.
            Some(count) if count > 1 << 20 => Err(format!("`{key}` is {count}, which no model has")),
            count => Ok(count.map(|count| count as usize)),
        }
    }

    fn count(&self, key: &str) -> Result<usize, String> {
        self.optional_count(key)?.ok_or_else(|| format!("the file does not say `{}`", self.key(key)))
    }

    fn number(&self, key: &str) -> Result<Option<f32>, String> {
        let number = self.metadata.f32(&self.key(key))?;
        match number {
            Some(number) if !number.is_finite() => Err(format!("`{}` is {number}", self.key(key))),
            number => Ok(number),
        }
    }

    fn refuse_what_is_not_understood(&self) -> Result<(), String> {
        if self.metadata.u32(&self.key("expert_count"))?.is_some_and(|experts| experts > 0) {
            return Err("a mixture of experts is not supported".to_owned());
        }
        for key in ["attention.scale", "logit_scale", "residual_scale", "embedding_scale"] {
            if self.number(key)?.is_some_and(|scale| scale != 0.0) {
                return Err(format!("`{}` is not supported", self.key(key)));
            }
        }
        Ok(())
    }

    fn rope(&self, head_width: usize) -> Result<Rope, String> {
        let dimensions = self.optional_count("rope.dimension_count")?.unwrap_or(head_width);
        if dimensions > head_width || dimensions % 2 != 0 {
            return Err(format!("{dimensions} of {head_width} numbers a head cannot be turned in pairs"));
        }
        let base = self.number("rope.freq_base")?.unwrap_or(10_000.0);
        if base <= 0.0 {
            return Err(format!("`{}` is {base}", self.key("rope.freq_base")));
        }
        let neighbours = self.family == Family::Llama;
        Ok(Rope { dimensions, base, scale: self.rope_scale()?, neighbours })
    }

    fn rope_scale(&self) -> Result<f32, String> {
        let kind = self.metadata.text(&self.key("rope.scaling.type"))?;
        let factor = match self.number("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            // Its older name.
            None => self.number("rope.scale_linear")?,
        };
        match (kind, factor) {
            (None | Some("none" | "linear"), None | Some(0.0 | 1.0)) | (Some("none"), _) => Ok(1.0),
            (None | Some("linear"), Some(factor)) if factor > 0.0 => Ok(1.0 / factor),
            (None | Some("linear"), Some(factor)) => {
                Err(format!("`{}` is {factor}", self.key("rope.scaling.factor")))
            }
            (Some(other), _) => {
                Err(format!("positions scaled by `{other}` are not supported: `none` and `linear` are"))
            }
        }
    }

    /// Gemma 3's windowed layers have their own base and no scale.
    fn local_rope(&self, rope: Rope) -> Result<Rope, String> {
        if self.family != Family::Gemma3 {
            return Ok(rope);
        }
        let base = self.number("rope.freq_base_swa")?.unwrap_or(10_000.0);
        Ok(Rope { base, scale: 1.0, ..rope })
    }

    fn cap(&self, key: &str, usual: f32) -> Result<Option<f32>, String> {
        match (self.number(key)?, self.family) {
            (Some(cap), Family::Gemma2 | Family::Gemma3) => Ok((cap > 0.0).then_some(cap)),
            (Some(cap), _) if cap != 0.0 => {
                Err(format!("`{}` is not supported in this family", self.key(key)))
            }
            (None, Family::Gemma2) => Ok(Some(usual)),
            _ => Ok(None),
        }
    }

    fn window(&self) -> Result<Option<(usize, usize)>, String> {
        let window = self.optional_count("attention.sliding_window");
        match self.family {
            Family::Gemma2 => Ok(Some((window?.unwrap_or(4096), 2))),
            Family::Gemma3 => Ok(window?.map(|window| (window, 6))),
            // Others carry the number and do not use it, as the reference implementation.
            _ => Ok(None),
        }
    }
}
