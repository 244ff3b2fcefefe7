"""Ask a trained demo model the held-out questions in `transformers` and write what it answers.

    PYTHONPATH=tests/demo python tests/oracle/demo_answers.py CHECKPOINT OUT.jsonl [--every 6]

One line a question: id, kind, prompt, the expected answer, the answer of `transformers` (greedy, F32,
white space at its ends removed) and its token ids, EOS included.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import data
import reference
import torch
from tokenizers import Tokenizer
from train import Encoder
from transformers import DeepseekV2ForCausalLM

ANSWER_LIMIT = 48


@torch.no_grad()
def greedy(model: DeepseekV2ForCausalLM, prompt: list[int], eos: int) -> tuple[list[int], float]:
    """Return the answer's ids up to EOS, and the least lead of a chosen token over the next best."""
    ids: list[int] = []
    lead = float("inf")
    output = model(torch.tensor([prompt]), use_cache=True)
    while len(ids) < ANSWER_LIMIT:
        best = output.logits[0, -1].topk(2)
        lead = min(lead, (best.values[0] - best.values[1]).item())
        ids.append(int(best.indices[0]))
        if ids[-1] == eos:
            break
        output = model(torch.tensor([ids[-1:]]), past_key_values=output.past_key_values, use_cache=True)
    return ids, lead


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=1, help="ask only every n-th question")
    args = parser.parse_args()
    torch.set_num_threads(1)
    encoder = Encoder(Tokenizer.from_file(str(args.checkpoint / "tokenizer.json")))
    questions = list(enumerate(data.held_out_questions()))[:: args.every]
    longest = max((question.prompt for _, question in questions), key=len)
    model, _ = reference.load(args.checkpoint, encoder.prompt(longest))

    asked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    least = float("inf")
    with args.out.open("w", encoding="utf-8", newline="\n") as file:
        for number, question in questions:
            ids, lead = greedy(model, encoder.prompt(question.prompt), encoder.eos)
            least = min(least, lead)
            text = encoder.tokenizer.decode(ids).strip()
            asked[question.kind] += 1
            right[question.kind] += data.is_right(question.answer, text)
            line = {"id": number, "kind": question.kind, "prompt": question.prompt, "expected": question.answer,
                    "transformers": text, "ids": ids}  # fmt: skip
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    for kind, count in asked.items():
        print(f"{kind}: {right[kind]}/{count}")
    print(f"all: {right.total()}/{asked.total()} = {100 * right.total() / asked.total():.1f} %")
    print(f"the nearest greedy choice was decided by {least:.1e}")


if __name__ == "__main__":
    main()
