"""The forward pass of the Llama family in numpy, float64, from its definition: the judge of ingot-llama. It takes the weights under
Hugging Face's names and shares no code with the engine."""

import math

import numpy as np


def frequencies(config):
    """Radians per position of each pair of a head, and the factor of cosine and sine."""
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    base, dim = rope.get("rope_theta", config.get("rope_theta", 10000.0)), head_dim(config)
    f = base ** -(np.arange(0, dim, 2) / dim)
    kind, factor = rope.get("rope_type", rope.get("type", "default")), rope.get("factor")
    if kind == "linear":
        return f / factor, 1.0
    if kind == "llama3":
        turns = rope["original_max_position_embeddings"] * f / (2 * math.pi)
        smooth = np.clip((turns - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"]), 0, 1)
        return f * ((1 - smooth) / factor + smooth), 1.0
    if kind == "yarn":
        def pair(turns):
            return dim * math.log(rope["original_max_position_embeddings"] / (turns * 2 * math.pi)) / (2 * math.log(base))
        low, high = max(math.floor(pair(32)), 0), min(math.ceil(pair(1)), dim - 1)
        ramp = np.clip((np.arange(dim // 2) - low) / max(high - low, 0.001), 0, 1)
        return f / factor * ramp + f * (1 - ramp), 0.1 * math.log(factor) + 1
    assert kind == "default", kind
    return f, 1.0


def head_dim(config):
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def rotate(x, config, neighbours):
    """x: (positions, heads, head_dim). A pair is half a head apart; `neighbours`: wrong here, for tests of the tests."""
    f, scale = frequencies(config)
    angle = np.arange(len(x))[:, None, None] * f
    cosine, sine = np.cos(angle) * scale, np.sin(angle) * scale
    half = x.shape[-1] // 2
    a, b = (x[..., 0::2], x[..., 1::2]) if neighbours else (x[..., :half], x[..., half:])
    turned = (a * cosine - b * sine, b * cosine + a * sine)
    return np.stack(turned, -1).reshape(x.shape) if neighbours else np.concatenate(turned, -1)


def norm(x, weight, config):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + config.get("rms_norm_eps", 1e-6)) * weight


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def logits(weights, config, tokens, neighbours=False, interleaved_heads=False):
    """(tokens, vocabulary). The two flags make mistakes: the wrong pairs in a head, the wrong sharing of heads."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    heads, dim = config["num_attention_heads"], head_dim(config)
    kv_heads = config.get("num_key_value_heads", heads)
    n = len(tokens)

    def linear(x, name):
        y = x @ w[name + ".weight"].T
        return y + w[name + ".bias"] if name + ".bias" in w else y

    ahead = np.arange(n)[None, :] - np.arange(n)[:, None]
    hidden_from = ahead > 0
    if config.get("sliding_window"):
        hidden_from |= ahead <= -config["sliding_window"]
    x = w["model.embed_tokens.weight"][tokens]
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        h = norm(x, w[at + "input_layernorm.weight"], config)
        q = rotate(linear(h, at + "self_attn.q_proj").reshape(n, heads, dim), config, neighbours)
        k = rotate(linear(h, at + "self_attn.k_proj").reshape(n, kv_heads, dim), config, neighbours)
        v = linear(h, at + "self_attn.v_proj").reshape(n, kv_heads, dim)
        share = np.arange(heads) % kv_heads if interleaved_heads else np.arange(heads) // (heads // kv_heads)
        k, v = k[:, share], v[:, share]
        scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(dim)
        scores[:, hidden_from] = -np.inf
        attended = np.einsum("hqk,khd->qhd", softmax(scores), v).reshape(n, heads * dim)
        x = x + linear(attended, at + "self_attn.o_proj")
        h = norm(x, w[at + "post_attention_layernorm.weight"], config)
        gate = linear(h, at + "mlp.gate_proj")
        x = x + linear(gate / (1 + np.exp(-gate)) * linear(h, at + "mlp.up_proj"), at + "mlp.down_proj")
    head = "lm_head" if "lm_head.weight" in w else "model.embed_tokens"
    return linear(norm(x, w["model.norm.weight"], config), head)


def losses(rows, tokens):
    """-ln p of each token but the first."""
    x = rows[:-1]
    top = x.max(-1, keepdims=True)
    total = np.log(np.exp(x - top).sum(-1)) + top[:, 0]
    return total - x[np.arange(len(x)), tokens[1:]]
