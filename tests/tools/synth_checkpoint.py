#!/usr/bin/env python3
"""Writes a Hugging Face checkpoint of DeepSeek-V2-Lite's shape with random BF16 weights.

For measuring how fast and in how little memory `minke convert` works; its answers are noise.
Needs numpy. All 27 layers take 31.4 GB, one dense layer and one of experts 2.0 GB:

    tests/tools/synth_checkpoint.py DIR --layers 2 --shards 4
"""
import argparse
import json
import pathlib
import shutil
import struct

import numpy as np

HIDDEN, HEADS, NOPE, ROPE, V, LATENT = 2048, 16, 128, 64, 128, 512
VOCAB, DENSE, EXPERT, EXPERTS, SHARED = 102400, 10944, 1408, 64, 2
TINY = pathlib.Path(__file__).resolve().parent.parent / "data" / "tiny-lite"


def mlp(prefix, width):
    yield prefix + "gate_proj", (width, HIDDEN)
    yield prefix + "up_proj", (width, HIDDEN)
    yield prefix + "down_proj", (HIDDEN, width)


def tensors(n_layers):
    """Names without ".weight", and shapes."""
    yield "model.embed_tokens", (VOCAB, HIDDEN)
    for layer in range(n_layers):
        p = f"model.layers.{layer}."
        yield p + "input_layernorm", (HIDDEN,)
        yield p + "self_attn.q_proj", (HEADS * (NOPE + ROPE), HIDDEN)
        yield p + "self_attn.kv_a_proj_with_mqa", (LATENT + ROPE, HIDDEN)
        yield p + "self_attn.kv_a_layernorm", (LATENT,)
        yield p + "self_attn.kv_b_proj", (HEADS * (NOPE + V), LATENT)
        yield p + "self_attn.o_proj", (HIDDEN, HEADS * V)
        yield p + "post_attention_layernorm", (HIDDEN,)
        if layer == 0:
            yield from mlp(p + "mlp.", DENSE)
            continue
        yield p + "mlp.gate", (EXPERTS, HIDDEN)
        for expert in range(EXPERTS):
            yield from mlp(f"{p}mlp.experts.{expert}.", EXPERT)
        yield from mlp(p + "mlp.shared_experts.", SHARED * EXPERT)
    yield "model.norm", (HIDDEN,)
    yield "lm_head", (VOCAB, HIDDEN)


def n_bytes(shape):
    return 2 * int(np.prod(shape))


def write_shard(path, entries, random):
    header, at = {}, 0
    for name, shape in entries:
        header[name] = {
            "dtype": "BF16",
            "shape": shape,
            "data_offsets": [at, at + n_bytes(shape)],
        }
        at += n_bytes(shape)
    text = json.dumps(header).encode()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for _, shape in entries:
            left = n_bytes(shape) // 2
            while left > 0:
                n = min(left, 1 << 22)
                values = random.standard_normal(n, dtype=np.float32) * np.float32(0.02)
                out.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
                left -= n


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=27)
    parser.add_argument("--shards", type=int, default=4)
    args = parser.parse_args()
    args.directory.mkdir(parents=True)

    config = json.loads((TINY / "config.json").read_text())
    config.update(
        hidden_size=HIDDEN, num_attention_heads=HEADS, num_key_value_heads=HEADS,
        qk_nope_head_dim=NOPE, qk_rope_head_dim=ROPE, v_head_dim=V, kv_lora_rank=LATENT,
        vocab_size=VOCAB, intermediate_size=DENSE, moe_intermediate_size=EXPERT,
        n_routed_experts=EXPERTS, num_experts_per_tok=6, n_shared_experts=SHARED,
        num_hidden_layers=args.layers, torch_dtype="bfloat16")
    (args.directory / "config.json").write_text(json.dumps(config, indent=2))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TINY / name, args.directory)

    entries = [(name + ".weight", shape) for name, shape in tensors(args.layers)]
    total = sum(n_bytes(shape) for _, shape in entries)
    random = np.random.default_rng(1)
    weight_map, shard, done = {}, [], 0
    for index in range(args.shards):
        path = f"model-{index + 1:05}-of-{args.shards:05}.safetensors"
        while entries and (done < total * (index + 1) // args.shards or index == args.shards - 1):
            shard.append(entries.pop(0))
            done += n_bytes(shard[-1][1])
            weight_map[shard[-1][0]] = path
        write_shard(args.directory / path, shard, random)
        shard = []
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (args.directory / "model.safetensors.index.json").write_text(json.dumps(index))


if __name__ == "__main__":
    main()
