"""Make the small random-weight checkpoints and the logits that any right runtime gives for them.

    PYTHONPATH=tests/demo python tests/oracle/tiny_models.py tests/data

Written are tiny-lite (F32), tiny-lite-bf16, tiny-lite-fp8 (block scales), tiny-236b and
tiny-236b-0.707 (the same weights under another YaRN mscale), each a Hugging Face checkpoint with an
oracle.json and an oracle.bin beside it. The seed is searched for: a fixture in which two experts,
or the two best tokens, are nearly equal would test rounding instead of the runtime.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import reference
import tokenizer as tokenizer_files
import torch
from checkpoint import write_json, write_weights
from config import Config
from model import Model, Moe
from tokenizers import Tokenizer
from torch import Tensor

VOCAB_SIZE = 320
ROUTING_MARGIN = 2e-5  # between the last score that is chosen and the first that is not
LOGIT_MARGIN = 1e-2  # between the best token and the second, where tokens are generated
DECODE_STEPS = 8
LONG_PROMPT = 150
LONG_KEPT = 4
FP8_BLOCK = 128
SHORT_TEXT = "Sort: kite, cup 2"

LITE = Config(
    vocab_size=VOCAB_SIZE, hidden_size=96, num_hidden_layers=3, num_attention_heads=4, q_lora_rank=None,
    kv_lora_rank=32, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32, intermediate_size=224,
    moe_intermediate_size=32, n_routed_experts=8, n_shared_experts=2, num_experts_per_tok=3,
    topk_method="greedy", n_group=1, topk_group=1, routed_scaling_factor=1.0,
    rope_factor=40, rope_original_context=64, mscale=0.707,
)  # fmt: skip
BIG = Config(
    vocab_size=VOCAB_SIZE, hidden_size=64, num_hidden_layers=4, num_attention_heads=4, q_lora_rank=32,
    kv_lora_rank=32, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32, intermediate_size=160,
    moe_intermediate_size=32, n_routed_experts=24, n_shared_experts=2, num_experts_per_tok=6,
    topk_method="group_limited_greedy", n_group=8, topk_group=3, routed_scaling_factor=16.0,
    rope_factor=40, rope_original_context=64, mscale=1.0,
)  # fmt: skip


def random_tensors(config: Config, seed: int) -> dict[str, Tensor]:
    """Return weights that keep activations near one, and norms that are not all ones."""
    torch.manual_seed(seed)
    model = Model(config)
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            torch.nn.init.uniform_(parameter, 0.6, 1.4)
        elif "mlp.experts.down_proj" in name:
            parameter.data /= config.routed_scaling_factor**0.5
        elif name in ("embed_tokens.weight", "lm_head.weight"):
            parameter.data *= 2
    return {name: tensor.detach().clone() for name, tensor in model.checkpoint_tensors()}


def routing_margin(model: Model, tokens: list[int]) -> float:
    """Return the least distance of a routing decision from the opposite one, over all layers."""
    margins: list[float] = []

    def watch(module: Moe, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        config = module.config
        scores = torch.softmax(inputs[0].flatten(0, 1) @ module.gate.weight.t(), -1)
        if config.topk_method == "group_limited_greedy":
            groups = scores.unflatten(-1, (config.n_group, -1))
            ranked = groups.amax(-1).sort(-1, descending=True)
            margins.append((ranked.values[:, config.topk_group - 1] - ranked.values[:, config.topk_group]).min().item())
            best = ranked.indices[:, : config.topk_group]
            scores = groups.gather(1, best.unsqueeze(-1).expand(-1, -1, groups.size(-1))).flatten(1)
        ordered = scores.sort(-1, descending=True).values
        k = config.num_experts_per_tok
        margins.append((ordered[:, k - 1] - ordered[:, k]).min().item())

    hooks = [layer.mlp.register_forward_hook(watch) for layer in model.layers if isinstance(layer.mlp, Moe)]
    reference.own_logits(model, tokens)
    for hook in hooks:
        hook.remove()
    return min(margins)


@torch.no_grad()
def decode(model: torch.nn.Module, prompt: list[int]) -> tuple[list[int], Tensor]:
    """Generate greedily with the cache; return the new tokens and the logits that follow each."""
    output = model(torch.tensor([prompt]), use_cache=True)
    new: list[int] = []
    rows: list[Tensor] = []
    logits = output.logits[0, -1]
    for _ in range(DECODE_STEPS):
        best = logits.topk(2).values
        if best[0] - best[1] < LOGIT_MARGIN:
            raise ArithmeticError("two tokens are nearly equal")
        new.append(int(logits.argmax()))
        output = model(torch.tensor([new[-1:]]), past_key_values=output.past_key_values, use_cache=True)
        logits = output.logits[0, -1]
        rows.append(logits)
    return new, torch.stack(rows)


def prompts(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the short prompt and the one that is longer than the original context."""
    bos = tokenizer.token_to_id(tokenizer_files.BOS)
    short = [bos, *tokenizer.encode(f"User: {SHORT_TEXT}\n\nAssistant:", add_special_tokens=False).ids]
    generator = np.random.default_rng(5)
    return short, [bos, *generator.integers(0, VOCAB_SIZE - 2, LONG_PROMPT - 1).tolist()]


def write_oracle(out: Path, checkpoint: Path, tokenizer: Tokenizer) -> None:
    """Write oracle.json and oracle.bin for the model in `checkpoint`."""
    short, long = prompts(tokenizer)
    theirs, ours = reference.load(checkpoint, long)
    short_logits = reference.logits(theirs, short)
    generated, decode_logits = decode(theirs, short)
    whole = reference.logits(theirs, short + generated)[len(short) :]
    if (whole - decode_logits).abs().max() > 1e-4 * (whole.max() - whole.min()):
        raise ValueError("transformers' decode differs from its prefill")
    for tokens in (short + generated, long):
        margin = routing_margin(ours, tokens)
        if margin < ROUTING_MARGIN:
            raise ArithmeticError(f"two experts are within {margin:.1e}")
    parts = {
        "prefill": (short, list(range(len(short))), short_logits),
        "decode": (generated, list(range(len(short), len(short) + DECODE_STEPS)), decode_logits),
        "long": (long, list(range(len(long) - LONG_KEPT, len(long))), reference.logits(theirs, long)[-LONG_KEPT:]),
    }
    description: dict[str, object] = {"vocab_size": VOCAB_SIZE, "text": SHORT_TEXT, "parts": {}}
    offset = 0
    with (out / "oracle.bin").open("wb") as file:
        for name, (tokens, positions, rows) in parts.items():
            values = rows.numpy().astype("<f4")
            description["parts"][name] = {"tokens": tokens, "positions": positions, "offset": offset, "rows": len(values)}
            file.write(values.tobytes())
            offset += values.size
    write_json(out / "oracle.json", description)
    span = short_logits.max() - short_logits.min()
    print(f"{out.name}: logits span {span:.1f}, sd {short_logits.std():.2f}")


def write_checkpoint(
    folder: Path, config: Config, tensors: dict[str, Tensor], tokenizer: Tokenizer, dtype: str, shards: int = 2
) -> None:
    """Write a checkpoint folder with everything a converter reads."""
    tokenizer_files.save(tokenizer, folder, int(config.rope_original_context * config.rope_factor))
    ids = [tokenizer.token_to_id(text) for text in (tokenizer_files.BOS, tokenizer_files.EOS)]
    fields = config.to_hf(*ids, dtype)
    if dtype == "float8_e4m3fn":
        fields["torch_dtype"] = "bfloat16"
        fields["quantization_config"] = {
            "activation_scheme": "dynamic",
            "fmt": "e4m3",
            "quant_method": "fp8",
            "weight_block_size": [FP8_BLOCK, FP8_BLOCK],
        }
    write_json(folder / "config.json", fields)
    write_weights(folder, tensors, shards)


def is_fp8(name: str) -> bool:
    """Tell which tensors DeepSeek's FP8 checkpoints quantize: the layers' products, but the router."""
    return name.startswith("model.layers.") and name.endswith("_proj.weight") or "_proj_with_mqa." in name


def to_fp8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return e4m3 values and `weight_scale_inv`, the factor of each 128 x 128 block."""
    rows, columns = weight.shape
    scales = torch.empty(-(-rows // FP8_BLOCK), -(-columns // FP8_BLOCK))
    values = torch.empty(rows, columns, dtype=torch.float8_e4m3fn)
    for r in range(scales.size(0)):
        for c in range(scales.size(1)):
            block = (slice(r * FP8_BLOCK, (r + 1) * FP8_BLOCK), slice(c * FP8_BLOCK, (c + 1) * FP8_BLOCK))
            scales[r, c] = weight[block].abs().max() / torch.finfo(torch.float8_e4m3fn).max
            values[block] = (weight[block] / scales[r, c]).to(torch.float8_e4m3fn)
    return values, scales


def from_fp8(values: Tensor, scales: Tensor) -> Tensor:
    """Undo `to_fp8`, as a converter has to."""
    spread = scales.repeat_interleave(FP8_BLOCK, 0).repeat_interleave(FP8_BLOCK, 1)
    return values.float() * spread[: values.size(0), : values.size(1)]


def make_lite(out: Path, tokenizer: Tokenizer, seed: int) -> None:
    """Write the three tiny-lite checkpoints; ArithmeticError if one of them is too near a tie."""
    tensors = random_tensors(LITE, seed)
    bf16 = {name: tensor.bfloat16() for name, tensor in tensors.items()}
    fp8: dict[str, Tensor] = {}
    plain: dict[str, Tensor] = {}
    for name, tensor in bf16.items():
        if is_fp8(name):
            fp8[name], fp8[f"{name}_scale_inv"] = to_fp8(tensor.float())
            plain[name] = from_fp8(fp8[name], fp8[f"{name}_scale_inv"])
        else:
            fp8[name], plain[name] = tensor, tensor.float()
    for name, content, dtype in (
        ("tiny-lite", tensors, "float32"),
        ("tiny-lite-bf16", bf16, "bfloat16"),
        ("tiny-lite-fp8", fp8, "float8_e4m3fn"),
    ):
        write_checkpoint(out / name, LITE, content, tokenizer, dtype)
        if dtype != "float8_e4m3fn":
            write_oracle(out / name, out / name, tokenizer)
            continue
        # transformers reads FP8 on a GPU only; the decoded weights are the same model.
        with tempfile.TemporaryDirectory() as folder:
            write_checkpoint(Path(folder), LITE, plain, tokenizer, "float32")
            write_oracle(out / name, Path(folder), tokenizer)


def make_big(out: Path, tokenizer: Tokenizer, seed: int) -> None:
    """Write the two tiny-236b checkpoints; ArithmeticError if one of them is too near a tie."""
    tensors = random_tensors(BIG, seed)
    for name, mscale in (("tiny-236b", 1.0), ("tiny-236b-0.707", 0.707)):
        config = dataclasses.replace(BIG, mscale=mscale)
        write_checkpoint(out / name, config, tensors, tokenizer, "float32", shards=3)
        write_oracle(out / name, out / name, tokenizer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = tokenizer_files.train(VOCAB_SIZE)
    for make in (make_lite, make_big):
        for seed in range(1, 1000):
            try:
                make(args.out, tokenizer, seed)
            except ArithmeticError as tie:
                print(f"seed {seed}: {tie}")
            else:
                print(f"{make.__name__}: seed {seed}")
                break


if __name__ == "__main__":
    main()
