"""How PyTorch names and lays out each kind (`torch.nn`, 2.13)."""

from __future__ import annotations

from dataclasses import replace

from .neutral import Convention, Form, Slot, slot

_NN = "torch.nn.modules."


def _form(*slots: Slot, classes: str = "", **facts: object) -> Form:
    return Form(slots, classes=tuple(_NN + name for name in classes.split()), **facts)  # type: ignore[arg-type]


def _norm(classes: str) -> Form:
    return _form(slot("weight", "scale", "features"), slot("bias", "bias", "features"), classes=classes)


_STATISTICS = (
    slot("running_mean", "mean", "features", role="buffer"),
    slot("running_var", "var", "features", role="buffer"),
    slot("num_batches_tracked", "count", "", role="buffer", fill=0, dtype="int64"),
)
_LINEAR = _form(slot("weight", "weight", "out in"), slot("bias", "bias", "out"), classes="linear.Linear")
_CONV = _form(
    slot("weight", "weight", "out in *spatial"),
    slot("bias", "bias", "out"),
    classes="conv.Conv1d conv.Conv2d conv.Conv3d",
)
_CONV_TRANSPOSE = _form(
    slot("weight", "weight", "(groups in) out *spatial"),
    slot("bias", "bias", "(groups out)"),
    classes="conv.ConvTranspose1d conv.ConvTranspose2d conv.ConvTranspose3d",
)
_OUT = (slot("out_proj.weight", "out.weight", "out (heads dim)"), slot("out_proj.bias", "out.bias", "out"))
_EXTRA = (slot("bias_k", "extra_key", "1 1 features"), slot("bias_v", "extra_value", "1 1 features"))
_BIASES = "query.bias key.bias value.bias"
_WEIGHTS = "query.weight key.weight value.weight"
_INPUTS = "in|key_in|value_in"


def _spectral(form: Form, axis: int = 0) -> tuple[Form, ...]:
    """The forms of a layer under a spectral norm, by parametrization and by hook."""
    weight, *rest = form.slots
    new, old = "parametrizations.weight.", "weight_"
    return tuple(
        Form(
            (replace(weight, name=original), slot(u, "", "u"), slot(v, "", "v"), *rest),
            name,
            fold=(u, v, axis),
        )
        for name, original, u, v in (
            ("spectral_norm", f"{new}original", f"{new}0._u", f"{new}0._v"),
            ("spectral_norm_hook", f"{old}orig", f"{old}u", f"{old}v"),
        )
    )


def _weight_norm(form: Form, rows: str) -> tuple[Form, ...]:
    """The forms of a layer under a weight norm (over all axes but the first), by parametrization and by hook."""
    weight, *rest = form.slots
    return tuple(
        Form((slot(magnitude, "magnitude", f"{rows} *1"), replace(weight, name=direction), *rest), name)
        for name, magnitude, direction in (
            ("", "parametrizations.weight.original0", "parametrizations.weight.original1"),
            ("hook", "weight_g", "weight_v"),
        )
    )


def _packed(name: str, axes: str) -> Form:
    """Attention whose three projections are one Linear."""
    slots = (
        slot("qkv.weight", _WEIGHTS, f"{axes} {_INPUTS}"),
        slot("qkv.bias", _BIASES, axes),
        slot("proj.weight", "out.weight", "out (heads dim)"),
        slot("proj.bias", "out.bias", "out"),
    )
    return _form(*slots, name=name, declared=True)


TORCH = Convention(
    name="torch",
    separator=".",
    namespace="torch.nn.",
    follows="torch",
    forms={
        "linear": (
            _LINEAR,
            Form(
                (slot("weight", "weight", "in out"), slot("bias", "bias", "out")),
                "in_out",
                declared=True,
                classes=("transformers.pytorch_utils.Conv1D",),
            ),
            *_spectral(_LINEAR),
        ),
        "embedding": (_form(slot("weight", "weight", "num features"), classes="sparse.Embedding"),),
        "conv": (_CONV, *_spectral(_CONV)),
        "conv_transpose": (_CONV_TRANSPOSE, *_spectral(_CONV_TRANSPOSE, 1)),
        "layer_norm": (_norm("normalization.LayerNorm"),),
        "rms_norm": (_form(slot("weight", "scale", "features"), classes="normalization.RMSNorm"),),
        "group_norm": (_norm("normalization.GroupNorm"),),
        "instance_norm": (
            replace(
                _norm(" ".join(f"instancenorm.InstanceNorm{n}d" for n in (1, 2, 3))),
                slots=(*_norm("").slots, *_STATISTICS),
            ),
        ),
        "batch_norm": (
            replace(
                _norm(" ".join([*(f"batchnorm.BatchNorm{n}d" for n in (1, 2, 3)), "batchnorm.SyncBatchNorm"])),
                slots=(*_norm("").slots, *_STATISTICS),
            ),
        ),
        "layer_norm_spatial": (
            _form(
                slot("weight", "scale", "channels *spatial"),
                slot("bias", "bias", "channels *spatial"),
                classes="normalization.LayerNorm",
            ),
        ),
        "layer_norm_axes": (
            _form(slot("weight", "scale", "*axes"), slot("bias", "bias", "*axes"), classes="normalization.LayerNorm"),
        ),
        "prelu": (_form(slot("weight", "slope", "1"), classes="activation.PReLU"),),
        "prelu_channels": (_form(slot("weight", "slope", "channels"), classes="activation.PReLU"),),
        "attention": (
            _form(
                slot("in_proj_weight", _WEIGHTS, f"(* heads|kv_heads dim) {_INPUTS}"),
                slot("in_proj_bias", _BIASES, "(* heads|kv_heads dim)"),
                *_EXTRA,
                *_OUT,
                classes="activation.MultiheadAttention",
            ),
            _form(
                slot("q_proj_weight", "query.weight", "(heads dim) in"),
                slot("k_proj_weight", "key.weight", "(kv_heads dim) key_in"),
                slot("v_proj_weight", "value.weight", "(kv_heads dim) value_in"),
                slot("in_proj_bias", _BIASES, "(* heads|kv_heads dim)"),
                *_EXTRA,
                *_OUT,
                name="separate",
                classes="activation.MultiheadAttention",
            ),
            _packed("qkv", "(* heads|kv_heads dim)"),
            _packed("heads_qkv", "(heads|kv_heads * dim)"),
        ),
        "lstm": (
            _form(
                slot("weight_ih", "input.i input.f input.g input.o", "(* hidden) in"),
                slot("weight_hh", "hidden.i hidden.f hidden.g hidden.o", "(* hidden) inner"),
                slot("bias_ih", "bias.i bias.f bias.g bias.o", "(* hidden)"),
                slot("bias_hh", "+bias.i +bias.f +bias.g +bias.o", "(* hidden)"),
                classes="rnn.LSTM rnn.LSTMCell",
            ),
        ),
        "gru": (
            _form(
                slot("weight_ih", "input.r input.z input.n", "(* hidden) in"),
                slot("weight_hh", "hidden.r hidden.z hidden.n", "(* hidden) inner"),
                slot("bias_ih", "bias.r bias.z bias.in", "(* hidden)"),
                slot("bias_hh", "+bias.r +bias.z bias.hn", "(* hidden)"),
                classes="rnn.GRU rnn.GRUCell",
            ),
        ),
        "rnn": (
            _form(
                slot("weight_ih", "input", "hidden in"),
                slot("weight_hh", "hidden", "hidden inner"),
                slot("bias_ih", "bias", "hidden"),
                slot("bias_hh", "+bias", "hidden"),
                classes="rnn.RNN rnn.RNNCell",
            ),
        ),
        "flatten_linear": (
            _form(slot("weight", "weight", "out (channels *spatial)"), slot("bias", "bias", "out"), declared=True),
        ),
        "weight_norm_linear": _weight_norm(_LINEAR, "out"),
        "weight_norm_conv": _weight_norm(_CONV, "out"),
        "weight_norm_conv_transpose": _weight_norm(_CONV_TRANSPOSE, "(groups in)"),
        "embedding_bag": (_form(slot("weight", "weight", "num features"), declared=True),),
        "bilinear": (_form(slot("weight", "weight", "out in1 in2"), slot("bias", "bias", "out"), declared=True),),
        "lora_linear": (
            _form(
                slot("base_layer.weight", "weight", "out in"),
                slot("base_layer.bias", "bias", "out"),
                slot("lora_A.default.weight", "a", "rank in"),
                slot("lora_B.default.weight", "b", "out rank"),
            ),
        ),
    },
    unsupported={
        "weight_hr": "a recurrent layer with a projection (proj_size), which Flax does not have",
        "weight_mask": "a pruned layer: call torch.nn.utils.prune.remove first",
    },
    refused={"add_zero_attn": "adds a key and a value of zeros, which Flax's attention does not"},
    facts={"num_heads": "heads", "groups": "groups"},
)
