"""Write and read weights as published checkpoints hold them: several safetensors files and an index."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor


def write_json(path: Path, content: object) -> None:
    """Write readable JSON that ends in a newline."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_weights(folder: Path, tensors: dict[str, Tensor], shards: int) -> None:
    """Spread the tensors over `shards` files of about the same size, in their order."""
    total = sum(tensor.nbytes for tensor in tensors.values())
    files: list[dict[str, Tensor]] = [{} for _ in range(shards)]
    written = 0
    for name, tensor in tensors.items():
        files[min(shards - 1, written * shards // total)][name] = tensor.contiguous().clone()
        written += tensor.nbytes
    weight_map: dict[str, str] = {}
    for index, content in enumerate(files):
        path = folder / f"model-{index + 1:05d}-of-{shards:05d}.safetensors"
        save_file(content, path, metadata={"format": "pt"})
        path.chmod(0o644)
        weight_map |= dict.fromkeys(content, path.name)
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return all the tensors of a checkpoint as they are stored."""
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(path)
    return tensors
