"""How Flax linen names and lays out each kind (`flax.linen`, 0.12)."""

from .neutral import SPATIAL, Convention, Slot

_NORM = {
    "scale": Slot("scale", ("features",), "params"),
    "bias": Slot("bias", ("features",), "params"),
}

LINEN = Convention(
    name="flax.linen",
    separator="/",
    namespace="flax.linen.",
    collections=("params", "batch_stats", "buffers"),
    home="params",
    slots={
        "linear": {"weight": Slot("kernel", ("in", "out"), "params"), "bias": Slot("bias", ("out",), "params")},
        "embedding": {"weight": Slot("embedding", ("num", "features"), "params")},
        "conv": {
            "weight": Slot("kernel", (SPATIAL, "in", "out"), "params"),
            "bias": Slot("bias", ("out",), "params"),
        },
        "layer_norm": _NORM,
        "rms_norm": {"scale": _NORM["scale"]},
        "group_norm": _NORM,
        "batch_norm": {
            **_NORM,
            "mean": Slot("mean", ("features",), "batch_stats", "buffer"),
            "var": Slot("var", ("features",), "batch_stats", "buffer"),
        },
    },
    unsupported={},
)
