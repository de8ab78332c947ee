"""Weights as GGUF stores them: quantised from numbers where the `gguf` package can, else random valid blocks.

The K-quants have no quantiser in Python. Their blocks are random bits with scales that make the weights have mean 0 and
the wished standard deviation, which is all that a random model needs. Block layouts:
https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
"""

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type, quants

QUANTISED_BY_PYTHON = {Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0}


def tensor(kind: Type, rows: np.ndarray) -> np.ndarray:
    """Rows of float32 weights as the bytes of `kind`; K-quants keep only each row's standard deviation."""
    if kind in QUANTISED_BY_PYTHON:
        return quants.quantize(rows.astype(np.float32), kind)
    seed = np.random.SeedSequence(rows[0, :8].view(np.uint32).tolist())
    deviation = rows.std(axis=1, dtype=np.float64)
    return random_rows(kind, rows.shape[0], rows.shape[1], deviation, np.random.default_rng(seed))


def random_rows(kind: Type, rows: int, columns: int, deviation, rng: np.random.Generator) -> np.ndarray:
    """`rows` x `columns` random weights of `kind` with mean 0 and the standard deviation of each row, as bytes."""
    values, size = GGML_QUANT_SIZES[kind]
    count = rows * columns // values
    if kind in (Type.F32, Type.F16, Type.BF16):
        noise = rng.standard_normal((rows, columns), dtype=np.float32)
        return quants.quantize(noise * np.reshape(deviation, (-1, 1)).astype(np.float32), kind)
    blocks = np.frombuffer(rng.bytes(count * size), dtype=np.uint8).reshape(count, size).copy()
    shape = SHAPES[kind]
    shape.prepare(blocks, rng)
    wished = np.repeat(np.broadcast_to(np.asarray(deviation, dtype=np.float64), rows), columns // values)
    scale = wished / unit_deviation(kind) * rng.uniform(0.8, 1.2, count)
    shape.put_scale(blocks, scale, rng)
    return blocks.reshape(rows, -1)


def unit_deviation(kind: Type) -> float:
    """The standard deviation of random blocks of `kind` whose scale is 1."""
    if kind not in UNITS:
        rng = np.random.default_rng(1)
        blocks = np.frombuffer(rng.bytes(4096 * GGML_QUANT_SIZES[kind][1]), dtype=np.uint8).reshape(4096, -1).copy()
        SHAPES[kind].prepare(blocks, rng)
        SHAPES[kind].put_scale(blocks, np.ones(4096), rng)
        UNITS[kind] = float(quants.dequantize(blocks, kind).std(dtype=np.float64))
    return UNITS[kind]


UNITS: dict[Type, float] = {}


class Shape:
    """Where a block keeps its scale, and its minimum as a multiple of the scale (None: has no minimum)."""

    def __init__(self, scale: int, minimum: int | None = None, ratio: float = 0.0, sign: float = 1.0, subscales=None):
        self.scale, self.minimum, self.ratio, self.sign, self.subscales = scale, minimum, ratio, sign, subscales

    def prepare(self, blocks: np.ndarray, rng: np.random.Generator) -> None:
        """Puts sane sub-block scales in the place of random ones."""
        if self.subscales is not None:
            self.subscales(blocks, rng)

    def put_scale(self, blocks: np.ndarray, scale: np.ndarray, rng: np.random.Generator) -> None:
        if self.minimum is None:
            # Either sign, as real files have: blocks whose numbers are not symmetric (-8 to 7) then have mean 0.
            scale = scale * rng.choice([-1.0, 1.0], len(scale))
        put(blocks, self.scale, scale)
        if self.minimum is not None:
            put(blocks, self.minimum, scale * self.ratio * self.sign)


def put(blocks: np.ndarray, at: int, numbers: np.ndarray) -> None:
    blocks[:, at : at + 2] = numbers.astype(np.float16).reshape(-1, 1).view(np.uint8)


def four_bit_scales(blocks: np.ndarray, rng: np.random.Generator) -> None:
    """Q2_K: scale and minimum of 16 sub-blocks, a nibble each."""
    scale = rng.integers(4, 16, (len(blocks), 16), dtype=np.uint8)
    blocks[:, :16] = scale | (scale << 4)


def six_bit_scales(blocks: np.ndarray, rng: np.random.Generator) -> None:
    """Q4_K and Q5_K: scale and minimum of 8 sub-blocks, 6 bits each, behind the two half floats."""
    scale = rng.integers(20, 62, (len(blocks), 8), dtype=np.uint8)
    least = scale + rng.integers(-2, 3, scale.shape, dtype=np.int8).view(np.uint8)
    low, high = scale[:, :4] | ((scale[:, 4:] >> 4) << 6), least[:, :4] | ((least[:, 4:] >> 4) << 6)
    blocks[:, 4:16] = np.concatenate([low, high, (scale[:, 4:] & 15) | ((least[:, 4:] & 15) << 4)], axis=1)


def eight_bit_scales(blocks: np.ndarray, rng: np.random.Generator) -> None:
    """Q6_K: 16 signed bytes before the half float."""
    scale = rng.integers(40, 128, (len(blocks), 16), dtype=np.int8) * rng.choice(
        np.array([-1, 1], dtype=np.int8), (len(blocks), 16)
    )
    blocks[:, 192:208] = scale.view(np.uint8)


# Q3_K's sub-block scales are 6 bits less 32: random ones have either sign and mean 0 already.
SHAPES = {
    Type.Q4_0: Shape(0),
    Type.Q4_1: Shape(0, 2, 7.5, -1.0),
    Type.Q5_0: Shape(0),
    Type.Q5_1: Shape(0, 2, 15.5, -1.0),
    Type.Q8_0: Shape(0),
    Type.Q2_K: Shape(80, 82, 1.5, subscales=four_bit_scales),
    Type.Q3_K: Shape(108),
    Type.Q4_K: Shape(0, 2, 7.5, subscales=six_bit_scales),
    Type.Q5_K: Shape(0, 2, 15.5, subscales=six_bit_scales),
    Type.Q6_K: Shape(208, subscales=eight_bit_scales),
}
