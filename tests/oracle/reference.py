"""Load a checkpoint into `transformers` and make sure that it computes DeepSeek-V2, not nearly it.

transformers has had this model wrong before (the YaRN factor of the softmax scale, the pairing of
rotary dimensions, groups ignored), so nothing is taken on trust: `load` compares its logits with
tests/demo/model.py, which was written from the paper alone, and refuses to go on where they differ.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from checkpoint import read_weights
from config import Config
from model import Model
from torch import Tensor
from transformers import DeepseekV2ForCausalLM

TOLERANCE = 1e-4  # of the range of the logits


def config_from_hf(fields: dict[str, object]) -> Config:
    """Read the fields of a config.json that our own model needs."""
    yarn = fields["rope_scaling"]
    if yarn["mscale"] != yarn["mscale_all_dim"]:
        raise ValueError("the reference model assumes mscale == mscale_all_dim")
    plain = {name: fields[name] for name in Config.__dataclass_fields__ if name in fields}
    return Config(
        rope_factor=yarn["factor"],
        rope_original_context=yarn["original_max_position_embeddings"],
        mscale=yarn["mscale"],
        **plain,
    )


@torch.no_grad()
def own_logits(model: Model, tokens: list[int]) -> Tensor:
    """Return the logits after each token of one sequence."""
    return model(torch.tensor([tokens]), torch.ones(1, len(tokens)), torch.arange(len(tokens)))


@torch.no_grad()
def logits(model: DeepseekV2ForCausalLM, tokens: list[int]) -> Tensor:
    """Return transformers' logits after each token of one sequence, without a cache."""
    return model(torch.tensor([tokens]), use_cache=False).logits[0]


def load(folder: Path, check_tokens: list[int]) -> tuple[DeepseekV2ForCausalLM, Model]:
    """Return transformers' model and ours in F32, after checking that they agree.

    `check_tokens` should be longer than the original context, where rotary mistakes show.
    """
    theirs, info = DeepseekV2ForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[problem]:
            raise ValueError(f"{folder}: {problem}: {info[problem]}")
    theirs.eval()
    fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    ours = Model(config_from_hf(fields))
    ours.load_checkpoint_tensors(read_weights(folder))
    expected, got = own_logits(ours, check_tokens), logits(theirs, check_tokens)
    error = ((expected - got).abs().max() / (expected.max() - expected.min())).item()
    if error > TOLERANCE:
        raise ValueError(f"{folder}: transformers differs from the definition by {error:.2e} of the range")
    print(f"{folder.name}: transformers agrees with the definition to {error:.1e} of the logits' range")
    return theirs, ours


