"""config.json of real models, as far as names and shapes of tensors follow from it.

The values are those that the models' authors published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]

_DEEPSEEK_V3: Config = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "n_shared_experts": 1,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "vocab_size": 129280,
    "max_position_embeddings": 163840,
    "num_nextn_predict_layers": 1,
    "topk_method": "noaux_tc",
    "rope_theta": 10000,
    "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096},
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
}
_KIMI_K2: Config = {
    **_DEEPSEEK_V3,
    "model_type": "kimi_k2",
    "num_attention_heads": 64,
    "num_key_value_heads": 64,
    "n_routed_experts": 384,
    "first_k_dense_replace": 1,
    "vocab_size": 163840,
    "max_position_embeddings": 262144,
    "num_nextn_predict_layers": 0,
    "rope_theta": 50000,
    "rope_scaling": {"type": "yarn", "factor": 64, "original_max_position_embeddings": 4096},
}
_GLM_5: Config = {
    **{k: v for k, v in _DEEPSEEK_V3.items() if not k.startswith("rope")},
    "architectures": ["GlmMoeDsaForCausalLM"],
    "model_type": "glm_moe_dsa",
    "hidden_size": 6144,
    "intermediate_size": 12288,
    "num_hidden_layers": 78,
    "num_attention_heads": 64,
    "num_key_value_heads": 64,
    "q_lora_rank": 2048,
    "qk_nope_head_dim": 192,
    "v_head_dim": 256,
    "vocab_size": 154880,
    "max_position_embeddings": 202752,
    "index_topk": 2048,
    "index_head_dim": 128,
    "index_n_heads": 32,
    "rope_parameters": {"rope_theta": 1000000, "rope_type": "default"},
}
_QWEN3: Config = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 5120,
    "intermediate_size": 17408,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "rope_theta": 1000000,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
}
_QWEN3_MOE: Config = {
    **_QWEN3,
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "moe_intermediate_size": 1536,
    "num_hidden_layers": 94,
    "num_attention_heads": 64,
    "num_key_value_heads": 4,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
}
_VISION: Config = {
    "depth": 27,
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_heads": 16,
    "patch_size": 16,
    "temporal_patch_size": 2,
    "spatial_merge_size": 2,
    "in_channels": 3,
    "num_position_embeddings": 2304,
    "out_hidden_size": 4096,
}


def _qwen3_5(hidden: int, layers: int, heads: int, kv_heads: int, **more: Any) -> Config:
    moe = "num_experts" in more
    kind = "qwen3_5_moe" if moe else "qwen3_5"
    name = "Qwen3_5MoeForConditionalGeneration" if moe else "Qwen3_5ForConditionalGeneration"
    return {
        "architectures": [name],
        "model_type": kind,
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
        "text_config": {
            "model_type": f"{kind}_text",
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "head_dim": 256,
            "vocab_size": 248320,
            "max_position_embeddings": 262144,
            "linear_num_key_heads": 16,
            "linear_key_head_dim": 128,
            "linear_value_head_dim": 128,
            "linear_conv_kernel_dim": 4,
            "full_attention_interval": 4,
            "layer_types": [
                "linear_attention" if (n + 1) % 4 else "full_attention" for n in range(layers)
            ],
            "mtp_num_hidden_layers": 1,
            "attn_output_gate": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000000},
            "torch_dtype": "bfloat16",
            **more,
        },
        "vision_config": {**_VISION, "out_hidden_size": hidden, "model_type": kind},
    }


def _experts(number: int, active: int, size: int) -> dict[str, int]:
    return {
        "num_experts": number,
        "num_experts_per_tok": active,
        "moe_intermediate_size": size,
        "shared_expert_intermediate_size": size,
    }


ARCHITECTURES: Mapping[str, Config] = {
    "DeepSeek-R1": _DEEPSEEK_V3,
    "DeepSeek-V3.2": {
        **_DEEPSEEK_V3,
        "architectures": ["DeepseekV32ForCausalLM"],
        "model_type": "deepseek_v32",
        "index_topk": 2048,
        "index_head_dim": 128,
        "index_n_heads": 64,
    },
    "DeepSeek-V4-Flash": {
        "architectures": ["DeepseekV4ForCausalLM"],
        "model_type": "deepseek_v4",
        "hidden_size": 4096,
        "moe_intermediate_size": 2048,
        "num_hidden_layers": 43,
        "num_attention_heads": 64,
        "num_key_value_heads": 1,
        "head_dim": 512,
        "n_routed_experts": 256,
        "num_experts_per_tok": 6,
        "n_shared_experts": 1,
        "q_lora_rank": 1024,
        "o_lora_rank": 1024,
        "o_groups": 8,
        "qk_rope_head_dim": 64,
        "vocab_size": 129280,
        "max_position_embeddings": 1048576,
        "index_topk": 512,
        "index_head_dim": 128,
        "index_n_heads": 64,
        "sliding_window": 128,
        "compress_ratios": [0, 0, *(4 if n % 2 == 0 else 128 for n in range(41)), 0],
        "num_nextn_predict_layers": 1,
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
    },
    "Kimi-K2-Instruct": _KIMI_K2,
    "Kimi-K2.5": {
        "architectures": ["KimiK25ForConditionalGeneration"],
        "model_type": "kimi_k25",
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
        "text_config": _KIMI_K2,
        "vision_config": {"model_type": "kimi_k25_vision"},
    },
    "GLM-5": _GLM_5,
    "GLM-5.2": {
        **_GLM_5,
        "max_position_embeddings": 1048576,
        "rope_parameters": {"rope_theta": 8000000, "rope_type": "default"},
    },
    "MiniMax-M2": {
        "architectures": ["MiniMaxM2ForCausalLM"],
        "model_type": "minimax_m2",
        "hidden_size": 3072,
        "intermediate_size": 1536,
        "num_hidden_layers": 62,
        "num_attention_heads": 48,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "num_local_experts": 256,
        "num_experts_per_tok": 8,
        "vocab_size": 200064,
        "max_position_embeddings": 204800,
        "use_qk_norm": True,
        "use_routing_bias": True,
        "use_mtp": False,
        "num_mtp_modules": 3,
        "rope_theta": 5000000,
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
    },
    "Qwen3-8B": {
        **_QWEN3,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
    },
    "Qwen3-14B": _QWEN3,
    "Qwen3-32B": {
        **_QWEN3,
        "intermediate_size": 25600,
        "num_hidden_layers": 64,
        "num_attention_heads": 64,
    },
    "QwQ-32B": {
        **{k: v for k, v in _QWEN3.items() if k != "head_dim"},
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "intermediate_size": 27648,
        "num_hidden_layers": 64,
    },
    "Qwen3-235B-A22B": _QWEN3_MOE,
    "Qwen3-VL-235B-A22B": {
        "architectures": ["Qwen3VLMoeForConditionalGeneration"],
        "model_type": "qwen3_vl_moe",
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
        "text_config": {
            **{k: v for k, v in _QWEN3_MOE.items() if k != "architectures"},
            "model_type": "qwen3_vl_moe_text",
            "max_position_embeddings": 262144,
        },
        "vision_config": {
            **_VISION,
            "model_type": "qwen3_vl_moe",
            "deepstack_visual_indexes": [8, 16, 24],
        },
    },
    "Qwen3.5-27B": _qwen3_5(5120, 64, 24, 4, intermediate_size=17408, linear_num_value_heads=48),
    "Qwen3.5-35B-A3B": _qwen3_5(
        2048, 40, 16, 2, linear_num_value_heads=32, **_experts(256, 8, 512)
    ),
    "Qwen3.5-122B-A10B": _qwen3_5(
        3072, 48, 32, 2, linear_num_value_heads=64, **_experts(256, 8, 1024)
    ),
    "Qwen3.5-397B-A17B": _qwen3_5(
        4096, 60, 32, 2, linear_num_value_heads=64, **_experts(512, 10, 1024)
    ),
}
