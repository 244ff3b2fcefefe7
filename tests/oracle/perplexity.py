"""Compute perplexity and KL divergence of the tiny models with transformers, once.

    PYTHONPATH=tests/demo python tests/oracle/perplexity.py tests/data

Reads the tiny checkpoints of tests/data and writes perplexity.json beside them: a text, and for some
context lengths what scoring the second half of each chunk gives. All sums are in f64.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import reference
import tokenizer as tokenizer_files
import torch
from checkpoint import write_json
from tokenizers import Tokenizer
from torch import Tensor

BASE = "tiny-lite"
OTHERS = ("tiny-lite-bf16", "tiny-236b")
CONTEXTS = (64, 150)  # the second is beyond the models' original context
TEXT = (
    "The whale turned once, slowly, and the sea closed over it. Nobody on the boat spoke for a while; "
    "then 3 of them said the same thing at once: \"Did you see that?\" It was 7 in the morning.\n\n"
    "A list of what they had seen: one whale (large), two gulls, 15 waves higher than the rail. "
    "El mar está tranquilo hoy. Das Meer ist ruhig. Море спокойно. 海很平静。\n"
    "for i in range(10): print(i * i)\n"
    "Sort: kite, cup, apple, door. Monday comes after Sunday, and March before April. What is 17 + 25? 42."
)  # fmt: skip


def chunk_logits(model: torch.nn.Module, tokens: list[int], n_ctx: int, bos: int) -> tuple[Tensor, Tensor]:
    """Return f64 log probabilities of all scored predictions, and the tokens that they are about."""
    rows: list[Tensor] = []
    targets: list[int] = []
    for start in range(0, len(tokens) - n_ctx + 1, n_ctx):
        chunk = [bos, *tokens[start + 1 : start + n_ctx]]
        first = n_ctx // 2
        rows.append(reference.logits(model, chunk)[first : n_ctx - 1])
        targets += chunk[first + 1 :]
    return torch.cat(rows).double().log_softmax(-1), torch.tensor(targets)


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Return the mean and its standard error."""
    return values.mean().item(), (values.var(correction=0) / (len(values) - 1)).sqrt().item()


def perplexity(log_probs: Tensor, targets: Tensor) -> dict[str, float]:
    """Return the perplexity with its error, as exp of the mean carries it."""
    mean, error = mean_and_error(-log_probs.gather(1, targets[:, None])[:, 0])
    value = torch.tensor(mean).double().exp().item()
    return {"ppl": value, "ppl_error": value * error}


def divergence(base: Tensor, other: Tensor, targets: Tensor) -> dict[str, float]:
    """Return how far `other` is from `base`."""
    kld = (base.exp() * (base - other)).sum(-1)
    mean, error = mean_and_error(kld)
    p = [rows.gather(1, targets[:, None])[:, 0].exp() for rows in (base, other)]
    return {
        "kld": mean,
        "kld_error": error,
        "kld_median": kld.quantile(0.5).item(),
        "kld_max": kld.max().item(),
        "delta_p": (p[1] - p[0]).mean().item(),
        "delta_p_rms": (p[1] - p[0]).square().mean().sqrt().item(),
        "same_top": (base.argmax(-1) == other.argmax(-1)).double().mean().item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(args.data / BASE / "tokenizer.json"))
    bos = tokenizer.token_to_id(tokenizer_files.BOS)
    tokens = [bos, *tokenizer.encode(TEXT, add_special_tokens=False).ids]
    models = {name: reference.load(args.data / name, tokens[:150])[0] for name in (BASE, *OTHERS)}
    runs: list[dict[str, object]] = []
    for n_ctx in CONTEXTS:
        scored = {name: chunk_logits(model, tokens, n_ctx, bos) for name, model in models.items()}
        base, targets = scored[BASE]
        run: dict[str, object] = {"n_ctx": n_ctx, "n_chunks": len(tokens) // n_ctx}
        for name, (rows, _) in scored.items():
            run[name] = perplexity(rows, targets)
            if name != BASE:
                run[name] |= divergence(base, rows, targets)
        runs.append(run)
    write_json(args.data / "perplexity.json", {"text": TEXT, "n_tokens": len(tokens), "base": BASE, "runs": runs})


if __name__ == "__main__":
    main()
