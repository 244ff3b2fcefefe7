"""Make the second model, in V2-Lite's style, from the demo model.

    python lite.py start DEMO_CHECKPOINT START
    python train.py lite TRAINED --start START --minutes 12
    python lite.py lengthen TRAINED OUT

`start` turns the demo model into something near a Lite one: the low-rank query becomes one matrix,
and the scaling factor goes into the experts. The norm between the two query matrices cannot be
expressed, and the groups are gone, which is what the training repairs.

`lengthen` puts layers before the trained ones that hardly change what passes through them. llama.cpp
tells the Lite style by the number of layers, 26 or 27, and reads no other model without a low-rank
query.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch
from checkpoint import read_weights
from model import Model
from tokenizers import Tokenizer
from torch import Tensor
from train import CONFIGS, Encoder, save_checkpoint

LENGTH = 26  # layers in all
FAINT = 0.02  # how much the added layers' outputs are scaled down


def start(demo: dict[str, Tensor]) -> Model:
    """Return a Lite model whose weights do about what the demo model's do."""
    config = CONFIGS["lite"]
    tensors: dict[str, Tensor] = {}
    for name, tensor in demo.items():
        weight = tensor.float()
        if ".mlp.experts." in name and name.endswith("down_proj.weight"):
            tensors[name] = weight * CONFIGS["demo"].routed_scaling_factor
        elif name.endswith("q_b_proj.weight"):
            stem = name.removesuffix("q_b_proj.weight")
            inner = demo[f"{stem}q_a_proj.weight"].float()
            # Of an input of mean square 1 this is the mean square of each entry between the two matrices.
            root_mean_square = inner.square().sum(1).mean().sqrt()
            norm = demo[f"{stem}q_a_layernorm.weight"].float()
            tensors[f"{stem}q_proj.weight"] = weight @ (norm.unsqueeze(1) * inner) / root_mean_square
        else:
            tensors[name] = weight
    model = Model(config)
    model.load_checkpoint_tensors(tensors)
    return model


def lengthen(trained: dict[str, Tensor], seed: int = 1) -> Model:
    """Return the trained model with dense layers before it that add next to nothing."""
    torch.manual_seed(seed)
    config = CONFIGS["lite"]
    added = LENGTH - config.num_hidden_layers
    model = Model(dataclasses.replace(
        config, num_hidden_layers=LENGTH, first_k_dense_replace=added + config.first_k_dense_replace
    ))  # fmt: skip
    tensors = dict(model.checkpoint_tensors())
    for layer in range(added):
        for output in ("self_attn.o_proj", "mlp.down_proj"):
            tensors[f"model.layers.{layer}.{output}.weight"] *= FAINT
    for name, tensor in trained.items():
        if name.startswith("model.layers."):
            index, rest = name.removeprefix("model.layers.").split(".", 1)
            name = f"model.layers.{int(index) + added}.{rest}"
        tensors[name] = tensor
    model.load_checkpoint_tensors(tensors)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("start", "lengthen"))
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    tensors = read_weights(args.source)
    model = start(tensors) if args.step == "start" else lengthen(tensors)
    encoder = Encoder(Tokenizer.from_file(str(args.source / "tokenizer.json")))
    save_checkpoint(model, encoder, args.out)
    print(f"{args.out}: {sum(p.numel() for p in model.parameters()):,} parameters")


if __name__ == "__main__":
    main()
