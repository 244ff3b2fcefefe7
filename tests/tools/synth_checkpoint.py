#!/usr/bin/env python3
"""Writes a Hugging Face checkpoint of DeepSeek-V2-Lite's or V2's shape with random BF16 weights.

For measuring how fast and in how little memory `minke convert` works; its answers are noise.
Needs numpy. All of V2-Lite's 27 layers take 31.4 GB, one dense layer and one of experts 2.0 GB; the
236 billion weights of V2 are 472 GB, which --sparse leaves as holes, for --dry-run:

    tests/tools/synth_checkpoint.py DIR --layers 2 --shards 4
    tests/tools/synth_checkpoint.py DIR --shape v2 --shards 55 --sparse
"""
import argparse
import json
import pathlib
import shutil
import struct

import numpy as np

SHAPES = {
    "v2-lite": dict(layers=27, hidden=2048, heads=16, q_rank=None, dense=10944, expert=1408,
                    experts=64, groups=1, groups_used=1, method="greedy", scale=1.0, mscale=0.707),
    "v2": dict(layers=60, hidden=5120, heads=128, q_rank=1536, dense=12288, expert=1536,
               experts=160, groups=8, groups_used=3, method="group_limited_greedy", scale=16.0,
               mscale=1.0),
}
NOPE, ROPE, V, LATENT, VOCAB, SHARED = 128, 64, 128, 512, 102400, 2
TINY = pathlib.Path(__file__).resolve().parent.parent / "data" / "tiny-lite"


def mlp(prefix, hidden, width):
    yield prefix + "gate_proj", (width, hidden)
    yield prefix + "up_proj", (width, hidden)
    yield prefix + "down_proj", (hidden, width)


def tensors(m, n_layers):
    """Names without ".weight", and shapes."""
    hidden, heads = m["hidden"], m["heads"]
    yield "model.embed_tokens", (VOCAB, hidden)
    for layer in range(n_layers):
        p = f"model.layers.{layer}."
        yield p + "input_layernorm", (hidden,)
        if m["q_rank"] is None:
            yield p + "self_attn.q_proj", (heads * (NOPE + ROPE), hidden)
        else:
            yield p + "self_attn.q_a_proj", (m["q_rank"], hidden)
            yield p + "self_attn.q_a_layernorm", (m["q_rank"],)
            yield p + "self_attn.q_b_proj", (heads * (NOPE + ROPE), m["q_rank"])
        yield p + "self_attn.kv_a_proj_with_mqa", (LATENT + ROPE, hidden)
        yield p + "self_attn.kv_a_layernorm", (LATENT,)
        yield p + "self_attn.kv_b_proj", (heads * (NOPE + V), LATENT)
        yield p + "self_attn.o_proj", (hidden, heads * V)
        yield p + "post_attention_layernorm", (hidden,)
        if layer == 0:
            yield from mlp(p + "mlp.", hidden, m["dense"])
            continue
        yield p + "mlp.gate", (m["experts"], hidden)
        for expert in range(m["experts"]):
            yield from mlp(f"{p}mlp.experts.{expert}.", hidden, m["expert"])
        yield from mlp(p + "mlp.shared_experts.", hidden, SHARED * m["expert"])
    yield "model.norm", (hidden,)
    yield "lm_head", (VOCAB, hidden)


def n_bytes(shape):
    return 2 * int(np.prod(shape))


def write_shard(path, entries, random, sparse):
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
        if sparse:
            out.truncate(8 + len(text) + at)
            return
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
    parser.add_argument("--shape", choices=SHAPES, default="v2-lite")
    parser.add_argument("--layers", type=int, help="fewer than the model has")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--sparse", action="store_true", help="holes in the place of weights")
    args = parser.parse_args()
    m = SHAPES[args.shape]
    n_layers = args.layers or m["layers"]
    args.directory.mkdir(parents=True)

    config = json.loads((TINY / "config.json").read_text())
    config.update(
        hidden_size=m["hidden"], num_attention_heads=m["heads"], num_key_value_heads=m["heads"],
        q_lora_rank=m["q_rank"], kv_lora_rank=LATENT, qk_nope_head_dim=NOPE, qk_rope_head_dim=ROPE,
        v_head_dim=V, vocab_size=VOCAB, intermediate_size=m["dense"],
        moe_intermediate_size=m["expert"], n_routed_experts=m["experts"], num_experts_per_tok=6,
        n_group=m["groups"], topk_group=m["groups_used"], topk_method=m["method"],
        routed_scaling_factor=m["scale"], n_shared_experts=SHARED, num_hidden_layers=n_layers,
        torch_dtype="bfloat16")
    config["rope_scaling"].update(mscale=m["mscale"], mscale_all_dim=m["mscale"])
    (args.directory / "config.json").write_text(json.dumps(config, indent=2))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TINY / name, args.directory)

    entries = [(name + ".weight", shape) for name, shape in tensors(m, n_layers)]
    total = sum(n_bytes(shape) for _, shape in entries)
    random = np.random.default_rng(1)
    weight_map, shard, done = {}, [], 0
    for index in range(args.shards):
        path = f"model-{index + 1:05}-of-{args.shards:05}.safetensors"
        while entries and (done < total * (index + 1) // args.shards or index == args.shards - 1):
            shard.append(entries.pop(0))
            done += n_bytes(shard[-1][1])
            weight_map[shard[-1][0]] = path
        write_shard(args.directory / path, shard, random, args.sparse)
        shard = []
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (args.directory / "model.safetensors.index.json").write_text(json.dumps(index))


if __name__ == "__main__":
    main()
