"""Small random models of the Llama family, as Hugging Face folders."""

import json
import pathlib

import numpy as np

from common import write_safetensors

BASE = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 131,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "tie_word_embeddings": False}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}

# What the models of this family differ in, spread over few of them.
CONFIGS = {
    "plain": {**BASE, "rope_theta": 10000.0},
    "tied": {**BASE, "tie_word_embeddings": True, "rope_theta": 500000.0, "rope_scaling": LLAMA3},
    "biases": {**BASE, "attention_bias": True, "mlp_bias": True, "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0}},
    # head_dim is not hidden_size / heads, and no multiple of a vector; one head of keys and values for all
    "wide": {**BASE, "hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 20, "rope_theta": 10000.0,
             "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}},
    "window": {**BASE, "model_type": "mistral", "sliding_window": 11, "num_key_value_heads": 4, "head_dim": None,
               "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
}


def shapes(config):
    width, inner, heads, kv = (config[k] for k in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"))
    dim = config["head_dim"] or width // heads
    linears = {"self_attn.q_proj": (heads * dim, width), "self_attn.k_proj": (kv * dim, width), "self_attn.v_proj": (kv * dim, width),
               "self_attn.o_proj": (width, heads * dim), "mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width),
               "mlp.down_proj": (width, inner)}
    found = {"model.embed_tokens.weight": (config["vocab_size"], width), "model.norm.weight": (width,)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        found[at + "input_layernorm.weight"] = found[at + "post_attention_layernorm.weight"] = (width,)
        for name, shape in linears.items():
            found[f"{at}{name}.weight"] = shape
            if config.get("attention_bias" if "attn" in name else "mlp_bias"):
                found[f"{at}{name}.bias"] = shape[:1]
    if not config["tie_word_embeddings"]:
        found["lm_head.weight"] = (config["vocab_size"], width)
    return found


def weights(config, seed=1):
    """{name: float16 array}, large enough that attention looks at few tokens, and a mistake there shows in the logits."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in shapes(config).items():
        values = rng.standard_normal(shape)
        if len(shape) == 1:
            values = 1 + 0.2 * values if "norm" in name else 0.5 * values
        elif "embed" not in name:
            values *= (3 if "q_proj" in name or "k_proj" in name else 1) / np.sqrt(shape[1])
        found[name] = values.astype("<f2")
    return found


def write(folder, config, tensors=None):
    folder = pathlib.Path(folder)
    folder.mkdir()
    tensors = weights(config) if tensors is None else tensors
    write_safetensors(folder / "model.safetensors", {n: ("F16", list(v.shape), v.tobytes()) for n, v in tensors.items()})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def tokens(config, count, seed=7):
    return np.random.default_rng(seed).integers(0, config["vocab_size"], count).astype("<u2")
