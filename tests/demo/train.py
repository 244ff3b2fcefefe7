"""Train a demo model from nothing and write it as a Hugging Face checkpoint.

    python train.py demo OUT_FOLDER --minutes 65
    python train.py lite OUT_FOLDER --minutes 20

The learning rate follows the steps or the clock, whichever is further along, so a busy machine gets
a model with fewer steps but never one whose schedule was cut off. Several processes of one thread
each share the work and meet once a step: a thread pool would meet at every operation, and wait each
time for the core that something else is using.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

import data
import tokenizer as tokenizer_files
import torch
import torch.nn.functional as F
from checkpoint import read_weights, write_json, write_weights
from config import Config
from model import FUSED_FROM, Model
from muon import Muon
from tokenizers import Tokenizer
from torch import Tensor, distributed, multiprocessing, nn

VOCAB_SIZE = 4096

CONFIGS: dict[str, Config] = {
    # The path of the 236B model: low-rank query, groups of experts, a scaling factor.
    "demo": Config(
        vocab_size=VOCAB_SIZE, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, q_lora_rank=128,
        kv_lora_rank=128, qk_nope_head_dim=64, qk_rope_head_dim=32, v_head_dim=64, intermediate_size=768,
        moe_intermediate_size=128, n_routed_experts=32, n_shared_experts=2, num_experts_per_tok=4,
        topk_method="group_limited_greedy", n_group=8, topk_group=3, routed_scaling_factor=2.5,
        rope_factor=8, rope_original_context=512, rope_theta=1000, mscale=0.707,
    ),
    # The path of V2-Lite: one query matrix, no groups, no scaling. See lite.py.
    "lite": Config(
        vocab_size=VOCAB_SIZE, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, q_lora_rank=None,
        kv_lora_rank=128, qk_nope_head_dim=64, qk_rope_head_dim=32, v_head_dim=64, intermediate_size=768,
        moe_intermediate_size=128, n_routed_experts=32, n_shared_experts=2, num_experts_per_tok=4,
        topk_method="greedy", n_group=1, topk_group=1, routed_scaling_factor=1.0,
        rope_factor=8, rope_original_context=512, rope_theta=1000, mscale=0.707,
    ),
}  # fmt: skip


# Rows of a batch are this wide, and short dialogues share a row: every batch is of one of three shapes.
WIDTHS = (96, 256, 768)
OPEN_ROWS = 48  # rows of one width that are filled at the same time
WANTED_STEP = 256  # the number of learned tokens is rounded up to a multiple, for the same reason
IGNORED = -100


@dataclass(frozen=True)
class Batch:
    """Rows of dialogues, numbered in `segments`; `wanted` are the flat places whose successor is learned."""

    tokens: Tensor
    segments: Tensor
    wanted: Tensor
    targets: Tensor


Row = tuple[list[int], list[int]]  # token ids, and the positions whose next token is learned


class Encoder:
    """Turn dialogues into token ids just as the runtime will: each text between special tokens at once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.bos = tokenizer.token_to_id(tokenizer_files.BOS)
        self.eos = tokenizer.token_to_id(tokenizer_files.EOS)

    def prompt(self, text: str) -> list[int]:
        """Return the ids of a one-turn conversation up to where the answer begins."""
        return [self.bos, *self.tokenizer.encode(f"User: {text}\n\nAssistant:", add_special_tokens=False).ids]

    def dialogues(self, dialogues: list[data.Dialogue]) -> list[Row]:
        """Return, for each dialogue, its ids and the positions whose next token is learned."""
        prefixes, texts, owners = [], [], []
        for owner, dialogue in enumerate(dialogues):
            for index, turn in enumerate(dialogue.turns):
                system = f"{dialogue.system}\n\n" if dialogue.system and index == 0 else ""
                prefix = f"{system}User: {turn.prompt}\n\nAssistant:"
                prefixes.append(len(prefix))
                texts.append(f"{prefix} {turn.answer}")
                owners.append(owner)
        encoded = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        result: list[Row] = [([self.bos], []) for _ in dialogues]
        for owner, prefix_length, encoding in zip(owners, prefixes, encoded, strict=True):
            ids, learned = result[owner]
            for token, (start, _) in zip(encoding.ids, encoding.offsets, strict=True):
                if start >= prefix_length:
                    learned.append(len(ids) - 1)
                ids.append(token)
            learned.append(len(ids) - 1)
            ids.append(self.eos)
        return result


def pack(rows: list[Row], width: int) -> list[list[Row]]:
    """Put dialogues into rows, each where it leaves the least room among the open ones."""
    done: list[list[Row]] = []
    opened: list[tuple[int, list[Row]]] = []
    for row in rows:
        length = len(row[0])
        # A wide row holds one dialogue, for its attention knows no borders.
        fitting = [i for i, (room, _) in enumerate(opened) if length <= room and width <= FUSED_FROM]
        if fitting:
            best = min(fitting, key=lambda i: opened[i][0])
            opened[best][1].append(row)
            opened[best] = (opened[best][0] - length, opened[best][1])
        else:
            opened.append((width - length, [row]))
        if len(opened) > OPEN_ROWS:
            done.append(opened.pop(min(range(len(opened)), key=lambda i: opened[i][0]))[1])
    return done + [content for _, content in opened]


def make_batches(encoder: Encoder, seed: int, dialogues: int, tokens_per_batch: int) -> list[Batch]:
    """Generate dialogues, pack those of about the same length together, and return batches in random order.

    The last rows of a width are dropped if they are too few: they would make a batch of another shape.
    """
    rng = Random(seed)
    rows = encoder.dialogues([data.training_dialogue(rng) for _ in range(dialogues)])
    made: list[Batch] = []
    narrower = 0
    for width in WIDTHS:
        packed = pack([row for row in rows if narrower < len(row[0]) <= width], width)
        count = tokens_per_batch // width
        for start in range(0, len(packed) - count + 1, count):
            made.append(_to_batch(packed[start : start + count], width, encoder.eos))
        narrower = width
    rng.shuffle(made)
    return made


def _to_batch(rows: list[list[Row]], width: int, padding: int) -> Batch:
    tokens = torch.full((len(rows), width), padding)
    segments = torch.zeros(len(rows), width, dtype=torch.long)
    wanted: list[int] = []
    targets: list[int] = []
    for index, dialogues in enumerate(rows):
        place = 0
        for number, (ids, learned) in enumerate(dialogues, start=1):
            tokens[index, place : place + len(ids)] = torch.tensor(ids)
            segments[index, place : place + len(ids)] = number
            wanted.extend(index * width + place + position for position in learned)
            targets.extend(ids[position + 1] for position in learned)
            place += len(ids)
    missing = -len(wanted) % WANTED_STEP
    wanted += [0] * missing
    targets += [IGNORED] * missing
    return Batch(tokens, segments, torch.tensor(wanted), torch.tensor(targets))


def batches(encoder: Encoder, seed: int, tokens_per_batch: int) -> Iterator[Batch]:
    """Yield batches for ever; the next ones are made while the current ones are used."""
    dialogues = 2 * tokens_per_batch  # about a hundred batches of each group

    with ThreadPoolExecutor(1) as pool:

        def submit(index: int) -> Future[list[Batch]]:
            return pool.submit(make_batches, encoder, seed * 1_000_003 + index, dialogues, tokens_per_batch)

        index, future = 0, submit(0)
        while True:
            ready = future.result()
            index += 1
            future = submit(index)
            yield from ready


@torch.no_grad()
def answer(model: Model, encoder: Encoder, prompts: list[str], limit: int = 48) -> list[str]:
    """Return greedy answers, recomputing everything at each token: slow, but it has no cache to get wrong."""
    rows = [encoder.prompt(prompt) for prompt in prompts]
    starts = [len(row) for row in rows]
    open_rows = list(range(len(rows)))
    for _ in range(limit):
        lengths = torch.tensor([len(rows[i]) for i in open_rows])
        width = -(-int(lengths.max()) // 16) * 16
        tokens = torch.tensor([rows[i] + [encoder.eos] * (width - len(rows[i])) for i in open_rows])
        segments = (torch.arange(width) < lengths.unsqueeze(1)).long()
        best = model(tokens, segments, torch.arange(len(open_rows)) * width + lengths - 1).argmax(-1).tolist()
        for i, token in zip(open_rows, best, strict=True):
            rows[i].append(token)
        open_rows = [i for i in open_rows if rows[i][-1] != encoder.eos]
        if not open_rows:
            break
    return [encoder.tokenizer.decode(row[start:]) for row, start in zip(rows, starts, strict=True)]


def evaluate(model: Model, encoder: Encoder, questions: list[data.Question]) -> dict[str, tuple[int, int]]:
    """Return right answers and questions of every kind."""
    result: dict[str, tuple[int, int]] = {}
    by_length = sorted(questions, key=lambda question: len(question.prompt))
    for start in range(0, len(by_length), 60):
        part = by_length[start : start + 60]
        for question, text in zip(part, answer(model, encoder, [q.prompt for q in part]), strict=True):
            right, asked = result.get(question.kind, (0, 0))
            result[question.kind] = (right + data.is_right(question.answer, text), asked + 1)
    return result


def save_checkpoint(model: Model, encoder: Encoder, folder: Path) -> None:
    """Write config, tokenizer and BF16 weights as a Hugging Face checkpoint of two shards."""
    context = int(model.config.rope_original_context * model.config.rope_factor)
    tokenizer_files.save(encoder.tokenizer, folder, context)
    write_json(folder / "config.json", model.config.to_hf(encoder.bos, encoder.eos, "bfloat16"))
    write_weights(folder, {name: t.detach().bfloat16() for name, t in model.checkpoint_tensors()}, shards=2)


def split_parameters(model: Model) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the layers' matrices, which Muon trains, and the rest, which AdamW trains."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        is_matrix = name.startswith("layers.") and parameter.ndim >= 2 and not name.endswith("mlp.gate.weight")
        (matrices if is_matrix else others).append(parameter)
    return matrices, others


def learning_rate(progress: float, warmup: float = 0.01, decay: float = 0.6) -> float:
    """Return the factor of the learning rates: a short rise, level, then a straight line to zero."""
    return min(1.0, progress / warmup, max(0.0, (1 - progress) / decay))


def report(model: Model, encoder: Encoder, questions: list[data.Question]) -> str:
    """Return one line with the held-out score and every kind's."""
    scores = evaluate(model, encoder, questions)
    right = sum(r for r, _ in scores.values())
    asked = sum(n for _, n in scores.values())
    kinds = " ".join(f"{kind.replace(' ', '-')}={r}/{n}" for kind, (r, n) in sorted(scores.items()))
    return f"held-out {right}/{asked} = {100 * right / asked:.1f} %: {kinds}"


def average_gradients(parameters: list[nn.Parameter], processes: int) -> None:
    """Make every process' gradients the mean of all, exchanged as bf16."""
    flat = torch.cat([parameter.grad.flatten().bfloat16() for parameter in parameters])
    distributed.all_reduce(flat)
    flat /= processes
    for parameter, piece in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad.copy_(piece.view_as(parameter))


def share_parameters(parameters: list[nn.Parameter], processes: int) -> None:
    """Send every parameter from the process that updates it to the others."""
    for owner in range(processes):
        owned = parameters[owner::processes]
        flat = torch.cat([parameter.detach().flatten() for parameter in owned])
        distributed.broadcast(flat, owner)
        for parameter, piece in zip(owned, flat.split([p.numel() for p in owned]), strict=True):
            parameter.data.copy_(piece.view_as(parameter))


def train(rank: int, args: argparse.Namespace, rendezvous: str) -> None:
    """Run one of the training processes; the first one also evaluates, reports and saves."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=args.processes, init_method=rendezvous)
    torch.manual_seed(args.seed)
    model = Model(CONFIGS[args.config])
    if args.start:
        encoder = Encoder(Tokenizer.from_file(str(args.start / "tokenizer.json")))
        model.load_checkpoint_tensors(read_weights(args.start))
    else:
        encoder = Encoder(tokenizer_files.train(VOCAB_SIZE))
        model.begin_by_looking_back()
    parameters = list(model.parameters())
    questions = data.held_out_questions()
    matrices, others = split_parameters(model)
    # Orthogonalizing is a fifth of the work, so each process does it for its share of the matrices.
    muon = Muon(matrices[rank :: args.processes], lr=args.matrix_lr, weight_decay=0.05)
    adam = torch.optim.AdamW(others, lr=args.other_lr, betas=(0.9, 0.95), weight_decay=0.0, foreach=True)
    if rank == 0:
        print(f"{args.config}: {sum(p.numel() for p in parameters):,} parameters", flush=True)

    began = evaluated = time.monotonic()
    seen, average = 0, math.log(VOCAB_SIZE)
    source = batches(encoder, args.seed * args.processes + rank, args.tokens_per_batch)
    for step, batch in enumerate(source, start=1):
        progress = torch.tensor(max(step / args.steps, (time.monotonic() - began) / (60 * args.minutes)))
        distributed.broadcast(progress, 0)
        if progress >= 1:
            break
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(batch.tokens, batch.segments, batch.wanted)
        loss = F.cross_entropy(logits.float(), batch.targets, ignore_index=IGNORED)
        (loss + args.balance * model.balance_loss()).backward()
        average_gradients(parameters, args.processes)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer, lr in ((muon, args.matrix_lr), (adam, args.other_lr)):
            for group in optimizer.param_groups:
                group["lr"] = lr * learning_rate(progress.item())
            optimizer.step()
        share_parameters(matrices, args.processes)
        model.zero_grad(set_to_none=True)
        if rank != 0:
            continue
        seen += int(batch.segments.count_nonzero()) * args.processes
        average += 0.02 * (loss.item() - average)
        if step % 25 == 0:
            rate = seen / (time.monotonic() - began)
            balance = model.balance_loss().item()
            print(f"step {step} progress {progress:.3f} loss {average:.4f} balance {balance:.3f} "
                  f"tokens {seen / 1e6:.2f} M, {rate:.0f}/s", flush=True)  # fmt: skip
        if step % 100 == 0:
            save_checkpoint(model, encoder, args.out)
        if time.monotonic() - evaluated > 60 * args.evaluate_minutes:
            # The other processes wait meanwhile, so only a part is asked.
            print(report(model, encoder, questions[::6]), flush=True)
            evaluated = time.monotonic()

    if rank == 0:
        save_checkpoint(model, encoder, args.out)
        print(f"done: {seen:,} tokens in {(time.monotonic() - began) / 60:.1f} min", flush=True)
        print(report(model, encoder, questions), flush=True)
    distributed.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", choices=CONFIGS)
    parser.add_argument("out", type=Path)
    parser.add_argument("--start", type=Path, help="a checkpoint of the same config to go on from")
    parser.add_argument("--minutes", type=float, default=65)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=2, help="each uses one core and its own batches")
    parser.add_argument("--tokens-per-batch", type=int, default=3072, help="of one process; padding included")
    parser.add_argument("--matrix-lr", type=float, default=0.01)
    parser.add_argument("--other-lr", type=float, default=0.002)
    parser.add_argument("--balance", type=float, default=0.02, help="weight of the expert balance loss")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--evaluate-minutes", type=float, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(train, (args, f"file://{folder}/rendezvous"), nprocs=args.processes)


if __name__ == "__main__":
    main()
