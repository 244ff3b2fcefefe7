"""DeepSeek-V2 in plain PyTorch, arranged for training small models quickly on a CPU.

Matrix shapes must repeat from batch to batch: oneDNN compiles a kernel for every new shape, and that
costs more than running it. So batches have few shapes, and the tokens of an expert are padded to a
round number. Padding tokens of the batch are not routed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from config import Config
from torch import Tensor, nn

FUSED_FROM = 256  # up to this width the fused attention kernel is slower than plain products
BLOCK_STEP = 64  # the rows of an expert's block are a multiple of this


def yarn_frequencies(config: Config, beta_fast: float = 32, beta_slow: float = 1) -> Tensor:
    """Return YaRN's rotation frequency of each pair of the rotary dimensions."""
    dim, theta = config.qk_rope_head_dim, config.rope_theta

    def correction(rotations: float) -> float:
        return dim * math.log(config.rope_original_context / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(correction(beta_fast)), 0)
    high = min(math.ceil(correction(beta_slow)), dim - 1)
    pair = torch.arange(dim // 2, dtype=torch.float64)
    extrapolated = theta ** (-2 * pair / dim)
    ramp = ((pair - low) / max(high - low, 0.001)).clamp(0, 1)
    return (extrapolated / config.rope_factor * ramp + extrapolated * (1 - ramp)).float()


def softmax_scale(config: Config) -> float:
    """Return the factor of the attention scores, YaRN's squared m included."""
    m = 0.1 * config.mscale * math.log(config.rope_factor) + 1 if config.rope_factor > 1 else 1.0
    return m * m / math.sqrt(config.qk_nope_head_dim + config.qk_rope_head_dim)


@dataclass(frozen=True)
class Layout:
    """What the layers need to know of a batch of (rows, width) tokens."""

    rotation: tuple[Tensor, Tensor]  # cos and sin, (rows, width, 1, pairs)
    mask: Tensor | None  # added to the scores, (rows, 1, width, width); None: only the future is hidden
    real: Tensor  # which of the rows * width tokens are not padding


def lay_out(segments: Tensor, frequencies: Tensor) -> Layout:
    """Describe a batch in which `segments` numbers the texts of each row from 1; padding is 0.

    Texts of one row do not see each other, and each begins at position 0. Wide rows hold one text.
    """
    width = segments.size(1)
    place = torch.arange(width)
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    positions = place - torch.where(begins, place, 0).cummax(1).values
    angles = (positions.float().unsqueeze(-1) * frequencies).unsqueeze(2)
    mask = None
    if width <= FUSED_FROM:
        visible = (segments.unsqueeze(2) == segments.unsqueeze(1)) & (place.unsqueeze(1) >= place)
        mask = torch.zeros(visible.shape).masked_fill(~visible, -torch.inf).unsqueeze(1)
    elif int(segments.max()) > 1:
        raise ValueError("a wide row holds more than one text")
    return Layout((angles.cos(), angles.sin()), mask, (segments > 0).flatten())


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate adjacent pairs of the last dimension of (rows, width, heads, dim)."""
    cos, sin = rotation
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).type_as(x)


class RmsNorm(nn.Module):
    """x / rms(x) * weight, computed in f32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, self.weight, self.eps).type_as(x)


def linear(inputs: int, outputs: int, gain: float = 1.0) -> nn.Linear:
    """Return a layer without bias whose outputs start with about the variance of its inputs."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs))
    return layer


class Attention(nn.Module):
    """Multi-head latent attention in its rebuilt form."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        heads, query_dim = config.num_attention_heads, config.qk_nope_head_dim + config.qk_rope_head_dim
        if config.q_lora_rank is None:
            self.q_proj = linear(config.hidden_size, heads * query_dim)
        else:
            self.q_a_proj = linear(config.hidden_size, config.q_lora_rank)
            self.q_a_layernorm = RmsNorm(config.q_lora_rank, config.rms_norm_eps)
            self.q_b_proj = linear(config.q_lora_rank, heads * query_dim)
        self.kv_a_proj_with_mqa = linear(config.hidden_size, config.kv_lora_rank + config.qk_rope_head_dim)
        self.kv_a_layernorm = RmsNorm(config.kv_lora_rank, config.rms_norm_eps)
        self.kv_b_proj = linear(config.kv_lora_rank, heads * (config.qk_nope_head_dim + config.v_head_dim))
        self.o_proj = linear(heads * config.v_head_dim, config.hidden_size, gain=0.5)
        self.scale = softmax_scale(config)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        config, heads = self.config, self.config.num_attention_heads
        if config.q_lora_rank is None:
            query = self.q_proj(x)
        else:
            query = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x)))
        nope, rope = config.qk_nope_head_dim, config.qk_rope_head_dim
        q_nope, q_pe = query.unflatten(-1, (heads, -1)).split((nope, rope), -1)
        latent, k_pe = self.kv_a_proj_with_mqa(x).split((config.kv_lora_rank, rope), -1)
        rebuilt = self.kv_b_proj(self.kv_a_layernorm(latent)).unflatten(-1, (heads, -1))
        k_nope, value = rebuilt.split((nope, config.v_head_dim), -1)
        q = torch.cat((q_nope, rotate(q_pe, layout.rotation)), -1)
        k_pe = rotate(k_pe.unsqueeze(-2), layout.rotation).expand(-1, -1, heads, -1)
        k = torch.cat((k_nope, k_pe), -1)
        q, k, v = (t.transpose(1, 2) for t in (q, k, value))
        out = self.attend(q, k, v, layout.mask)
        return self.o_proj(out.transpose(1, 2).flatten(2))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Return attention over (rows, heads, width, dim)."""
        if mask is None:
            # The fused kernel wants values as wide as keys.
            value_dim = v.size(-1)
            wide = F.pad(v, (0, q.size(-1) - value_dim))
            return F.scaled_dot_product_attention(q, k, wide, is_causal=True, scale=self.scale)[..., :value_dim]
        scores = torch.matmul(q * self.scale, k.mT) + mask.to(q.dtype)
        return torch.matmul(scores.softmax(-1), v)


class Mlp(nn.Module):
    """down(silu(gate x) * up x)."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.gate_proj = linear(hidden, width)
        self.up_proj = linear(hidden, width)
        self.down_proj = linear(width, hidden, gain=0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Experts(nn.Module):
    """The routed experts' weights, one slice an expert."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        count, width, hidden = config.n_routed_experts, config.moe_intermediate_size, config.hidden_size
        self.gate_proj = nn.Parameter(torch.randn(count, width, hidden) / math.sqrt(hidden))
        self.up_proj = nn.Parameter(torch.randn(count, width, hidden) / math.sqrt(hidden))
        self.down_proj = nn.Parameter(torch.randn(count, hidden, width) * 0.5 / math.sqrt(width))

    def forward(self, x: Tensor, heights: list[int]) -> Tensor:
        """Run expert i on its block of `heights[i]` rows; the blocks lie one after the other in x."""
        weights = (weight.to(x.dtype).mT.unbind() for weight in (self.gate_proj, self.up_proj, self.down_proj))
        blocks = zip(x.split(heights), *weights, strict=True)
        return torch.cat([(F.silu(block @ gate) * (block @ up)) @ down for block, gate, up, down in blocks])


class Moe(nn.Module):
    """Routed and shared experts. `balance` holds the balance loss of the latest call."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.gate = linear(config.hidden_size, config.n_routed_experts)
        self.experts = Experts(config)
        self.shared_experts = Mlp(config.hidden_size, config.n_shared_experts * config.moe_intermediate_size)
        self.balance: Tensor | None = None

    def route(self, x: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the chosen experts of every token, their weights, and how many tokens chose each.

        A padding token chooses an expert that does not exist.
        """
        config = self.config
        scores = F.linear(x.float(), self.gate.weight).softmax(-1)
        allowed = scores
        if config.topk_method == "group_limited_greedy":
            groups = scores.unflatten(-1, (config.n_group, -1))
            best = groups.amax(-1).topk(config.topk_group, -1).indices
            mask = torch.zeros(groups.shape[:2], dtype=torch.bool).scatter_(1, best, True)
            allowed = groups.masked_fill(~mask.unsqueeze(-1), 0.0).flatten(1)
        weights, chosen = allowed.topk(config.num_experts_per_tok, -1)
        chosen = chosen.masked_fill(~real.unsqueeze(1), config.n_routed_experts)
        counts = torch.bincount(chosen.flatten(), minlength=config.n_routed_experts + 1)[:-1]
        mean_score = scores[real].mean(0)
        self.balance = config.n_routed_experts * (counts / counts.sum() * mean_score).sum()
        return chosen, weights * config.routed_scaling_factor, counts

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        with torch.autocast("cpu", enabled=False):
            chosen, weights, counts = self.route(flat, real)
        experts = chosen.flatten()
        order = experts.argsort(stable=True)[: int(counts.sum())]
        sorted_experts = experts.index_select(0, order)
        heights = (counts + BLOCK_STEP - 1) // BLOCK_STEP * BLOCK_STEP
        first_slots = heights.cumsum(0) - heights
        first_places = counts.cumsum(0) - counts
        slots = torch.arange(len(order)) + (first_slots - first_places).index_select(0, sorted_experts)
        tokens = order // self.config.num_experts_per_tok
        blocks = flat.new_zeros(int(heights.sum()), flat.size(1))
        blocks = blocks.index_copy(0, slots, flat.index_select(0, tokens))
        out = self.experts(blocks, heights.tolist()).index_select(0, slots)
        out = out * weights.flatten().index_select(0, order).unsqueeze(1).to(out.dtype)
        return self.shared_experts(x) + torch.zeros_like(flat).index_add(0, tokens, out).view_as(x)


class Layer(nn.Module):
    """One decoder layer; the first ones are dense."""

    def __init__(self, config: Config, index: int) -> None:
        super().__init__()
        self.input_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        dense = index < config.first_k_dense_replace
        self.mlp = Mlp(config.hidden_size, config.intermediate_size) if dense else Moe(config)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        x = x + self.self_attn(self.input_layernorm(x).to(kind), layout)
        normed = self.post_attention_layernorm(x).to(kind)
        return x + (self.mlp(normed, layout.real) if isinstance(self.mlp, Moe) else self.mlp(normed))


class Model(nn.Module):
    """The whole model. Parameter names are those of the checkpoint, but for the stacked experts."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        nn.init.normal_(self.embed_tokens.weight, std=0.5)
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config.num_hidden_layers))
        self.norm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.lm_head = linear(config.hidden_size, config.vocab_size, gain=0.5)
        self.register_buffer("frequencies", yarn_frequencies(config), persistent=False)

    @torch.no_grad()
    def begin_by_looking_back(self) -> None:
        """Make the heads of the first layer look 1, 2, 3, ... tokens back, whatever the tokens are.

        Copying, spelling and adding digits all need such heads, and so few dimensions rotate fast
        enough to tell neighbours apart that finding them takes most of a short training. A constant
        in dimension 0 of every embedding gives queries and keys something to hold on to.
        """
        config, layer = self.config, self.layers[0].self_attn
        rope, heads = config.qk_rope_head_dim, config.num_attention_heads
        constant, strength = 2.0, 9.0
        self.embed_tokens.weight[:, 0] = constant
        rms = self.embed_tokens.weight.square().mean().sqrt()
        level = constant / rms
        key = torch.zeros(rope // 2, 2)
        fast = rope // 5  # slower pairs do not distinguish neighbours
        key[:fast, 0] = strength
        layer.kv_a_proj_with_mqa.weight[config.kv_lora_rank :] = 0
        layer.kv_a_proj_with_mqa.weight[config.kv_lora_rank :, 0] = key.flatten() / level
        if config.q_lora_rank is None:
            query_weight, query_column, query_level = layer.q_proj.weight, 0, level
        else:
            layer.q_a_proj.weight[0] = 0
            layer.q_a_proj.weight[0, 0] = 4.0 / level
            layer.q_a_layernorm.weight[0] = 1
            query_weight, query_column, query_level = layer.q_b_proj.weight, 0, 4.0
        by_head = query_weight.unflatten(0, (heads, -1))
        for head in range(heads):
            angle = (head + 1) * self.frequencies
            query = torch.stack((angle.cos(), -angle.sin()), -1)
            query[fast:] = 0
            by_head[head, config.qk_nope_head_dim :] = 0
            by_head[head, config.qk_nope_head_dim :, query_column] = strength * query.flatten() / query_level

    def forward(self, tokens: Tensor, segments: Tensor, wanted: Tensor) -> Tensor:
        """Return the logits after some of (rows, width) tokens; `wanted` indexes them flattened."""
        layout = lay_out(segments, self.frequencies)
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x, layout)
        return self.lm_head(self.norm(x.flatten(0, 1).index_select(0, wanted)))

    def balance_loss(self) -> Tensor:
        """Mean over the layers of N/(K T) sum f_i P_i: 1 when every expert is used alike."""
        losses = [layer.mlp.balance for layer in self.layers if isinstance(layer.mlp, Moe)]
        return torch.stack(losses).mean()

    def checkpoint_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors under the names of the published checkpoints."""
        for name, parameter in self.state_dict().items():
            prefix = "" if name.startswith("lm_head") else "model."
            if ".mlp.experts." in name:
                stem, matrix = name.rsplit(".", 1)
                for index, expert in enumerate(parameter.unbind()):
                    yield f"{prefix}{stem}.{index}.{matrix}.weight", expert
            else:
                yield prefix + name, parameter

    def load_checkpoint_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take weights that are named as `checkpoint_tensors` names them, of any float type."""
        state = self.state_dict()
        for name, parameter in state.items():
            stored = name if name.startswith("lm_head") else f"model.{name}"
            if ".mlp.experts." in name:
                stem, matrix = stored.rsplit(".", 1)
                parts = [tensors[f"{stem}.{index}.{matrix}.weight"] for index in range(len(parameter))]
                state[name] = torch.stack(parts).float()
            else:
                state[name] = tensors[stored].float()
        self.load_state_dict(state)
