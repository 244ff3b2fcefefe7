"""The hyperparameters of a model, and the config.json that says them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """The fields of a DeepSeek-V2 config.json that change the mathematics."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    intermediate_size: int
    moe_intermediate_size: int
    n_routed_experts: int
    n_shared_experts: int
    num_experts_per_tok: int
    topk_method: str
    n_group: int
    topk_group: int
    routed_scaling_factor: float
    rope_factor: float
    rope_original_context: int
    mscale: float
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-6
    first_k_dense_replace: int = 1

    def to_hf(self, bos: int, eos: int, dtype: str) -> dict[str, object]:
        """Return the config.json of the checkpoint, with the names the real ones use."""
        return {
            "architectures": ["DeepseekV2ForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "aux_loss_alpha": 0.001,
            "bos_token_id": bos,
            "eos_token_id": eos,
            "first_k_dense_replace": self.first_k_dense_replace,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "kv_lora_rank": self.kv_lora_rank,
            "max_position_embeddings": int(self.rope_original_context * self.rope_factor),
            "model_type": "deepseek_v2",
            "moe_intermediate_size": self.moe_intermediate_size,
            "moe_layer_freq": 1,
            "n_group": self.n_group,
            "n_routed_experts": self.n_routed_experts,
            "n_shared_experts": self.n_shared_experts,
            "norm_topk_prob": False,
            "num_attention_heads": self.num_attention_heads,
            "num_experts_per_tok": self.num_experts_per_tok,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_attention_heads,
            "q_lora_rank": self.q_lora_rank,
            "qk_nope_head_dim": self.qk_nope_head_dim,
            "qk_rope_head_dim": self.qk_rope_head_dim,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": {
                "beta_fast": 32,
                "beta_slow": 1,
                "factor": self.rope_factor,
                "mscale": self.mscale,
                "mscale_all_dim": self.mscale,
                "original_max_position_embeddings": self.rope_original_context,
                "type": "yarn",
            },
            "rope_theta": self.rope_theta,
            "routed_scaling_factor": self.routed_scaling_factor,
            "scoring_func": "softmax",
            "seq_aux": True,
            "tie_word_embeddings": False,
            "topk_group": self.topk_group,
            "topk_method": self.topk_method,
            "torch_dtype": dtype,
            "use_cache": True,
            "v_head_dim": self.v_head_dim,
            "vocab_size": self.vocab_size,
        }
