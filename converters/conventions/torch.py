"""How PyTorch names and lays out each kind (`torch.nn`, 2.13)."""

from .neutral import SPATIAL, Convention, Slot

_NORM = {"scale": Slot("weight", ("features",)), "bias": Slot("bias", ("features",))}

TORCH = Convention(
    name="torch",
    separator=".",
    namespace="torch.nn.",
    slots={
        "linear": {"weight": Slot("weight", ("out", "in")), "bias": Slot("bias", ("out",))},
        "embedding": {"weight": Slot("weight", ("num", "features"))},
        "conv": {"weight": Slot("weight", ("out", "in", SPATIAL)), "bias": Slot("bias", ("out",))},
        "layer_norm": _NORM,
        "rms_norm": {"scale": _NORM["scale"]},
        "group_norm": _NORM,
        "batch_norm": {
            **_NORM,
            "mean": Slot("running_mean", ("features",), role="buffer"),
            "var": Slot("running_var", ("features",), role="buffer"),
            "count": Slot("num_batches_tracked", (), role="buffer", fill=0, dtype="int64"),
        },
    },
    unsupported={
        "in_proj_weight": "packed attention",
        "q_proj_weight": "attention with other key and value widths",
        "weight_ih_l0": "a recurrent layer",
        "weight_ih": "a recurrent cell",
        "weight_g": "a weight-normed layer",
        "weight_v": "a weight-normed layer",
        "weight_orig": "a spectrally normed or pruned layer",
        "original0": "a parametrised layer",
        "original": "a parametrised layer",
    },
)
