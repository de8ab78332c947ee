"""Writes small GGUF files with random weights, the same ones each time.

    python make_gguf.py FOLDER              the tiny files: every family and every tensor type
    python make_gguf.py --bench FOLDER      files with the shapes of Llama-3.2-1B and Qwen2.5-0.5B, for benchmarks
    python make_gguf.py --only NAME FOLDER  one file
    python make_gguf.py --list              their names

Needs the packages `gguf` and `numpy`. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
Tiny files are named FAMILY-TYPE.gguf. Their weights are scaled so that what a layer adds outweighs the token's own
embedding, and so that the logits spread over some units: greedy text then varies and its ties are rare.
"""

import argparse
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

import blocks
import templates
import vocabulary
from vocabulary import CONTROL, UNKNOWN, USER, Vocabulary

LLAMA3_CONTROLS = [
    "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>",
    "<|python_tag|>",
]  # fmt: skip
QWEN_CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"]
LLAMA2_FIRST = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
GEMMA_FIRST = [("<pad>", CONTROL), ("<eos>", CONTROL), ("<bos>", CONTROL), ("<unk>", UNKNOWN)]
GEMMA_LATER = [
    ("<start_of_turn>", CONTROL), ("<end_of_turn>", CONTROL), ("\n", USER), ("\n\n", USER), ("\n\n\n", USER),
    ("▁▁", USER), ("▁▁▁▁", USER), ("\t", USER),
]  # fmt: skip


@dataclass(frozen=True)
class Family:
    """One architecture as its files describe it, with the scales of its random weights."""

    arch: str
    vocabulary: str
    hidden: int = 256
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    head: int = 64
    ffn: int = 512
    context: int = 2048
    eps: float = 1e-5
    rope_base: float = 10000.0
    rope_factors: bool = False
    rope_scaling: float | None = None
    tied: bool = True
    qkv_bias: bool = False
    qk_norm: bool = False
    post_norm: float | None = None
    window: int | None = None
    attention_cap: float | None = None
    final_cap: float | None = None
    size: int | None = None
    # Standard deviations: of the embedding, of the logits' spread, of what attention and the network add to a layer.
    embedding: float = 0.25
    output_norm: float = 1.5
    sharpness: float = 1.3
    gain: float = 2.5
    speaks_end: float = 0.1


LLAMA = Family("llama", "llama-bpe", rope_base=500000.0)
GEMMA = Family(
    "gemma", "gemma", head=128, eps=1e-6, kv_heads=1, embedding=0.06, output_norm=6.0, gain=8.0
)  # fmt: skip
FAMILIES = {
    "llama": LLAMA,
    "llama-rope": replace(LLAMA, rope_factors=True, tied=False, layers=4),
    "llama2": replace(LLAMA, vocabulary="llama-spm", rope_base=10000.0, kv_heads=4, tied=False, layers=2),
    "qwen2": Family("qwen2", "qwen2", rope_base=1e6, eps=1e-6, qkv_bias=True),
    "llama-ends": replace(LLAMA, rope_factors=True, tied=False, layers=4, speaks_end=1.5),
    "qwen3": Family("qwen3", "qwen2", rope_base=1e6, eps=1e-6, head=128, qk_norm=True),
    "gemma": GEMMA,
    "gemma2": replace(
        GEMMA, arch="gemma2", layers=4, kv_heads=2, window=48, attention_cap=5.0, final_cap=20.0, post_norm=8.0
    ),
    "gemma3": replace(
        GEMMA, arch="gemma3", layers=7, rope_base=1e6, rope_scaling=8.0, window=48, qk_norm=True, post_norm=8.0
    ),
    "llama-1b": replace(
        LLAMA, hidden=2048, layers=16, heads=32, kv_heads=8, head=64, ffn=8192, context=131072, rope_factors=True,
        size=128256,
    ),
    "qwen2-0.5b": Family(
        "qwen2", "qwen2", hidden=896, layers=24, heads=14, kv_heads=2, ffn=4864, context=32768, rope_base=1e6,
        eps=1e-6, qkv_bias=True, size=151936,
    ),
}  # fmt: skip

PLAIN = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
FILE_TYPES = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K": 12, "Q4_K": 14,
    "Q4_K_M": 15, "Q5_K": 16, "Q5_K_M": 17, "Q6_K": 18, "BF16": 32,
}  # fmt: skip
# Of each family's first ten seeds the one whose greedy text in F32 varies and has the clearest lead at each token.
SEEDS = {
    "llama": 2, "llama-rope": 1, "llama2": 1, "llama-ends": 1, "qwen2": 2, "qwen3": 6, "gemma": 3, "gemma2": 7,
    "gemma3": 4,
}  # fmt: skip
# Name of a file: its family and the types of its tensors.
TINY = {
    **{f"llama-{kind}": ("llama", kind) for kind in [*PLAIN, "Q4_K_M", "Q5_K_M"]},
    **{
        f"{family}-{kind}": (family, kind)
        for family in ("llama-rope", "llama2", "qwen2", "qwen3", "gemma", "gemma2", "gemma3")
        for kind in ("F32", "Q8_0", "Q4_K_M")
    },
    "llama-ends-F32": ("llama-ends", "F32"),
}
BENCH = {
    f"{family}-{kind}": (family, kind)
    for family in ("llama-1b", "qwen2-0.5b")
    for kind in ("Q4_0", "Q8_0", "Q4_K_M")
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER")
    parser.add_argument("--bench", action="store_true", help="the large files instead of the tiny ones")
    parser.add_argument("--only", metavar="NAME", help="one file")
    parser.add_argument("--list", action="store_true", help="the names and nothing else")
    chosen = parser.parse_args()
    files = BENCH if chosen.bench else TINY
    if chosen.list:
        print("\n".join(files))
        return
    if chosen.folder is None:
        parser.error("name the folder to write to")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    names = [chosen.only] if chosen.only else list(files)
    for name in names:
        family, kind = (TINY | BENCH)[name]
        path = chosen.folder / f"{name}.gguf"
        write(path, name, FAMILIES[family], kind, SEEDS.get(family, 1))
        print(path)


def write(path: Path, name: str, family: Family, kind: str, seed: int) -> None:
    """Writes one file."""
    writer = gguf.GGUFWriter(str(path), family.arch)
    words = make_vocabulary(family)
    writer.add_name(name)
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_quantization_version(2)
    add_shape(writer, family, len(words.tokens))
    add_vocabulary(writer, family, words)
    weights = Weights(writer, family, kind, seed)
    weights.add_all(words)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_shape(writer: gguf.GGUFWriter, family: Family, vocabulary_size: int) -> None:
    writer.add_context_length(family.context)
    writer.add_embedding_length(family.hidden)
    writer.add_block_count(family.layers)
    writer.add_feed_forward_length(family.ffn)
    writer.add_head_count(family.heads)
    writer.add_head_count_kv(family.kv_heads)
    writer.add_layer_norm_rms_eps(family.eps)
    writer.add_rope_freq_base(family.rope_base)
    if family.arch == "llama":
        writer.add_vocab_size(vocabulary_size)
        writer.add_rope_dimension_count(family.head)
    if family.arch not in ("llama", "qwen2"):
        writer.add_key_length(family.head)
        writer.add_value_length(family.head)
    if family.rope_scaling is not None:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(family.rope_scaling)
    if family.window is not None:
        writer.add_sliding_window(family.window)
    if family.attention_cap is not None:
        writer.add_attn_logit_softcapping(family.attention_cap)
    if family.final_cap is not None:
        writer.add_final_logit_softcapping(family.final_cap)


def make_vocabulary(family: Family) -> Vocabulary:
    match family.vocabulary:
        case "llama-bpe":
            return vocabulary.byte_level(LLAMA3_CONTROLS, size=family.size)
        case "qwen2":
            return vocabulary.byte_level(QWEN_CONTROLS, size=family.size)
        case "llama-spm":
            return vocabulary.sentence(LLAMA2_FIRST)
        case "gemma":
            return vocabulary.sentence(GEMMA_FIRST, later=GEMMA_LATER, prefix=False)
        case other:
            raise ValueError(f"no vocabulary {other!r}")


def add_vocabulary(writer: gguf.GGUFWriter, family: Family, words: Vocabulary) -> None:
    writer.add_tokenizer_model(words.model)
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.types)
    if words.scores is not None:
        writer.add_token_scores(words.scores)
    if words.merges is not None:
        writer.add_token_merges(words.merges)
        writer.add_tokenizer_pre(family.vocabulary)
    find = words.tokens.index
    match family.vocabulary:
        case "llama-bpe":
            writer.add_bos_token_id(find("<|begin_of_text|>"))
            writer.add_eos_token_id(find("<|eot_id|>"))
            writer.add_add_bos_token(True)
            writer.add_chat_template(templates.LLAMA32 if family.rope_factors else templates.LLAMA3)
        case "qwen2":
            writer.add_eos_token_id(find("<|im_end|>"))
            writer.add_pad_token_id(find("<|endoftext|>"))
            writer.add_bos_token_id(find("<|endoftext|>"))
            writer.add_add_bos_token(False)
            writer.add_chat_template(templates.CHATML)
        case "llama-spm":
            writer.add_bos_token_id(1)
            writer.add_eos_token_id(2)
            writer.add_unk_token_id(0)
            writer.add_add_bos_token(True)
            writer.add_add_eos_token(False)
            writer.add_chat_template(templates.LLAMA2)
        case "gemma":
            writer.add_bos_token_id(2)
            writer.add_eos_token_id(1)
            writer.add_unk_token_id(3)
            writer.add_pad_token_id(0)
            writer.add_add_bos_token(True)
            writer.add_add_space_prefix(False)
            writer.add_chat_template(templates.GEMMA3 if family.arch == "gemma3" else templates.GEMMA)


@dataclass
class Weights:
    """Adds a family's tensors to a file."""

    writer: gguf.GGUFWriter
    family: Family
    kind: str
    seed: int

    def add_all(self, words: Vocabulary) -> None:
        family = self.family
        spread = np.where(words.spoken, 1.0, 0.1)
        for end in ("<|im_end|>", "<|eot_id|>"):
            if end in words.tokens:
                spread[words.tokens.index(end)] = family.speaks_end
        self.matrix("token_embd", family.hidden, spread * family.embedding)
        if not family.tied:
            self.matrix("output", family.hidden, spread * family.embedding)
        self.norm("output_norm", family.hidden, family.output_norm)
        if family.rope_factors:
            self.numbers("rope_freqs", llama3_factors(family))
        for layer in range(family.layers):
            self.add_layer(f"blk.{layer}.", layer)

    def add_layer(self, at: str, layer: int) -> None:
        family = self.family
        hidden, q, kv = family.hidden, family.heads * family.head, family.kv_heads * family.head
        sharp = 1.0 if family.qk_norm else family.sharpness
        gain = 1.0 if family.post_norm is not None else family.gain
        self.norm(at + "attn_norm", hidden)
        for name, rows, scale in (("attn_q", q, sharp), ("attn_k", kv, sharp), ("attn_v", kv, 1.0)):
            self.matrix(at + name, hidden, np.full(rows, scale / hidden**0.5), layer)
            if family.qkv_bias:
                self.numbers(at + name + ".bias", 0.5 * self.noise(at + name + ".bias", rows))
        self.matrix(at + "attn_output", q, np.full(hidden, gain / q**0.5), layer)
        if family.qk_norm:
            self.norm(at + "attn_q_norm", family.head, family.sharpness)
            self.norm(at + "attn_k_norm", family.head, family.sharpness)
        if family.post_norm is not None:
            self.norm(at + "post_attention_norm", hidden, family.post_norm)
        self.norm(at + "ffn_norm", hidden)
        for name in ("ffn_gate", "ffn_up"):
            self.matrix(at + name, hidden, np.full(family.ffn, 1.4 / hidden**0.5), layer)
        self.matrix(at + "ffn_down", family.ffn, np.full(hidden, gain / family.ffn**0.5), layer)
        if family.post_norm is not None:
            self.norm(at + "post_ffw_norm", hidden, family.post_norm)

    def rng(self, name: str) -> np.random.Generator:
        """Each tensor's own numbers, which do not depend on the others nor on its type."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def noise(self, name: str, count: int) -> np.ndarray:
        return self.rng(name).standard_normal(count, dtype=np.float32)

    def matrix(self, name: str, columns: int, deviation: np.ndarray, layer: int = 0) -> None:
        """One row for each output, with its own standard deviation."""
        kind, rows, rng = self.type_of(name, columns, layer), len(deviation), self.rng(name)
        if self.family.size is None:
            numbers = rng.standard_normal((rows, columns), dtype=np.float32) * deviation.reshape(-1, 1)
            data = blocks.tensor(kind, numbers.astype(np.float32))
        else:
            data = blocks.random_rows(kind, rows, columns, deviation, rng)
        raw = kind if kind not in (Type.F32, Type.F16) else None
        self.writer.add_tensor(name + ".weight", data, raw_dtype=raw)

    def norm(self, name: str, size: int, scale: float = 1.0) -> None:
        self.numbers(name, scale * (1.0 + 0.1 * self.noise(name, size)))

    def numbers(self, name: str, values: np.ndarray) -> None:
        full = name if name.endswith(".bias") else name + ".weight"
        self.writer.add_tensor(full, values.astype(np.float32))

    def type_of(self, name: str, columns: int, layer: int) -> Type:
        """The type that llama.cpp's quantiser gives a tensor in a file of this kind."""
        base = self.kind.removesuffix("_M")
        part = name.rpartition(".")[2]
        mixed = self.kind != base or self.family.size is not None
        if mixed and base not in ("Q8_0", "F16", "F32", "BF16"):
            last = part == "output" or (part == "token_embd" and self.family.tied)
            if last or (self.kind != base and part in ("attn_v", "ffn_down") and more_bits(layer, self.family.layers)):
                base = "Q6_K"
        if columns % 256 and base.endswith("_K"):
            base = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}[base]
        return Type[base]


def more_bits(layer: int, layers: int) -> bool:
    """The layers whose most sensitive matrices get the larger type: the ends and each third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def llama3_factors(family: Family) -> np.ndarray:
    """Llama 3's rope factors (factor 32, low 1, high 4), of an original context that makes all three ranges occur."""
    original = 8192 if family.size is not None else 512
    exponent = np.arange(0, family.head, 2, dtype=np.float64) / family.head
    wavelength = 2 * np.pi * family.rope_base**exponent
    smooth = np.clip((original / wavelength - 1.0) / 3.0, 0.0, 1.0)
    return 1.0 / ((1.0 - smooth) / 32.0 + smooth)


if __name__ == "__main__":
    main()
