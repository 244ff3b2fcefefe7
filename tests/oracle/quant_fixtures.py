"""Write the dequantization fixtures: blocks of every GGUF type and the values they stand for.

Each type gets 64 blocks. Three quarters hold random bytes, so that every bit of the layout
matters; their f16 scales are replaced by finite ones, because a random exponent makes infinities
that compare as nothing. The rest are blocks an encoder would really write, where the `gguf`
package has an encoder, and random blocks with small scales where it has none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize

N_BLOCKS = 64
N_RANDOM = 48

# IQ1_M's f16 lies in the upper halves of bytes 49, 51, 53 and 55, lowest bits first.
IN_NIBBLES = -1

# Byte offsets of the f16 fields inside a block; everything else may be any byte.
F16_FIELDS: dict[str, tuple[int, ...]] = {
    "Q8_0": (0,),
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
    "IQ1_S": (0,),
    "IQ2_XXS": (0,),
    "IQ2_XS": (0,),
    "IQ2_S": (0,),
    "IQ3_XXS": (0,),
    "IQ3_S": (0,),
    "IQ1_M": (IN_NIBBLES,),
    "MXFP4": (),
}
PLAIN_TYPES = ("F16", "BF16")
PLAIN_BLOCK = 256  # values standing for one "block" of a type that has none


def plain_blocks(name: str, rng: np.random.Generator) -> np.ndarray:
    """Return finite 16-bit floats of every magnitude, subnormals and signed zeros among them."""
    bits = rng.integers(0, 1 << 16, size=(N_BLOCKS, PLAIN_BLOCK), dtype=np.uint16)
    exponent = 0x7C00 if name == "F16" else 0x7F80
    bits[(bits & exponent) == exponent] &= np.uint16(0xFFFF ^ exponent)
    bits[0, :2] = (0x0000, 0x8000)
    return bits.view(np.uint8)


def random_scales(rng: np.random.Generator) -> np.ndarray:
    """Return a finite f16 for every block, of either sign."""
    scales = rng.uniform(-2.0, 2.0, size=N_BLOCKS).astype(np.float16)
    scales[1] = np.float16(6e-8)  # the smallest subnormal: a slow path in many converters
    scales[2] = np.float16(0.0)
    return scales


def put_scales(blocks: np.ndarray, field: int, scales: np.ndarray) -> None:
    """Write one f16 a block into a field."""
    if field != IN_NIBBLES:
        blocks[:, field : field + 2] = scales.view(np.uint8).reshape(-1, 2)
        return
    for piece in range(4):
        at = 49 + 2 * piece
        bits = (scales.view(np.uint16) >> (4 * piece) & 15).astype(np.uint8)
        blocks[:, at] = blocks[:, at] & 15 | bits << 4


def random_blocks(name: str, rng: np.random.Generator) -> np.ndarray:
    """Return blocks of random bytes whose f16 scales are finite and of either sign."""
    _, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    blocks = rng.integers(0, 256, size=(N_BLOCKS, block_bytes), dtype=np.uint8)
    for offset in F16_FIELDS[name]:
        put_scales(blocks, offset, random_scales(rng))
    if name == "MXFP4":
        blocks[:, 0] %= 253  # A scale of 2^125: beyond, the largest code is infinite.
    return blocks


def encoded_blocks(name: str, rng: np.random.Generator) -> np.ndarray | None:
    """Return blocks encoded from normal weights, or None where `gguf` cannot encode the type."""
    qtype = gguf.GGMLQuantizationType[name]
    block_len, _ = gguf.GGML_QUANT_SIZES[qtype]
    weights = rng.normal(0.0, 0.05, size=(N_BLOCKS - N_RANDOM, block_len)).astype(np.float32)
    try:
        return quantize(weights, qtype)
    except NotImplementedError:
        return None


def make_blocks(name: str, rng: np.random.Generator) -> np.ndarray:
    """Return the 64 blocks of a type as one byte row each."""
    if name in PLAIN_TYPES:
        return plain_blocks(name, rng)
    blocks = random_blocks(name, rng)
    encoded = encoded_blocks(name, rng)
    if encoded is not None:
        blocks[N_RANDOM:] = encoded
    else:
        for offset in F16_FIELDS[name]:
            small = rng.uniform(1e-4, 1e-2, size=N_BLOCKS - N_RANDOM).astype(np.float16)
            put_scales(blocks[N_RANDOM:], offset, small)
    return blocks


def e4m3_blocks(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return blocks of Minke's F8_E4M3 (a scale, 64 finite e4m3 bytes), and torch's values."""
    codes = rng.integers(0, 256, size=(N_BLOCKS, 64), dtype=np.uint8)
    codes[(codes & 0x7F) == 0x7F] -= 1  # not-a-number
    scales = rng.uniform(-2.0, 2.0, size=(N_BLOCKS, 1)).astype("<f4")
    scales[1] = 1e-35
    scales[2] = 0.0
    numbers = torch.from_numpy(codes).view(torch.float8_e4m3fn).to(torch.float32).numpy()
    return np.concatenate([scales.view(np.uint8), codes], axis=1), numbers * scales


def write(out: Path, name: str, blocks: np.ndarray, values: np.ndarray) -> None:
    (out / f"{name}.bin").write_bytes(blocks.tobytes())
    (out / f"{name}.f32").write_bytes(values.astype("<f4").tobytes())
    print(f"{name}: {blocks.shape[0]} blocks of {blocks.shape[1]} bytes, {values.size} values")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for TYPE.bin and TYPE.f32")
    parser.add_argument("--seed", type=int, default=20240507)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate((*PLAIN_TYPES, *F16_FIELDS)):
        blocks = make_blocks(name, np.random.default_rng([args.seed, index]))
        values = dequantize(blocks, gguf.GGMLQuantizationType[name]).astype("<f4")
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: a block decodes to something infinite")
        write(args.out, name, blocks, values)
    write(args.out, "F8_E4M3", *e4m3_blocks(np.random.default_rng([args.seed, 8])))


if __name__ == "__main__":
    main()
