"""How Flax nnx names and lays out each kind (`flax.nnx`, 0.12): as linen, but for what is said here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .linen import LINEN
from .neutral import Convention, Form, Slot, slot

# Of linen's classes; None where nnx has none.
_CLASSES: dict[str, str | None] = {"Dense": "Linear", "MultiHeadDotProductAttention": None, "SelfAttention": None}


def _form(*slots: Slot, classes: str = "", **facts: Any) -> Form:
    return Form(slots, classes=tuple(f"flax.nnx.{name}" for name in classes.split()), **facts)


def _as_linen(form: Form) -> Form:
    """The same leaves without a collection: the Variable's class says what they are."""
    names = [name.rpartition(".")[2] for name in form.classes]
    return replace(
        form,
        slots=tuple(replace(slot, collection="") for slot in form.slots),
        classes=tuple(f"flax.nnx.{own}" for name in names if (own := _CLASSES.get(name, name))),
    )


_LSTM = _as_linen(LINEN.forms["lstm"][0])
_FORMS = {kind: tuple(map(_as_linen, forms)) for kind, forms in LINEN.forms.items() if kind != "layer_norm_spatial"}


def _weight_norm(form: Form) -> Form:
    """A WeightNorm holds its layer, and the magnitude as a bare array whose key, a tuple, has the label `kernel`."""
    *layer, magnitude = form.slots
    return Form(
        (
            *(replace(slot, name=f"layer_instance.{slot.name}") for slot in layer),
            replace(magnitude, name="scales.kernel", variable=""),
        ),
    )


NNX = Convention(
    name="flax.nnx",
    separator="/",
    namespace="flax.nnx.",
    follows="nnx",
    integers=True,
    forms={
        **_FORMS,
        "prelu_channels": (_form(slot("negative_slope", "slope", "channels"), classes="PReLU"),),
        "lstm": (
            replace(
                _LSTM,
                slots=tuple(
                    replace(slot, name=slot.name.replace("if.", "if_.")) if slot.name.startswith("if.") else slot
                    for slot in _LSTM.slots
                ),
                classes=("flax.nnx.LSTMCell",),
            ),
            _form(
                slot("dense_i.kernel", "input.i input.f input.g input.o", "in (* hidden)"),
                slot("dense_h.kernel", "hidden.i hidden.f hidden.g hidden.o", "inner (* hidden)"),
                slot("dense_h.bias", "bias.i bias.f bias.g bias.o", "(* hidden)"),
                name="optimized",
                classes="OptimizedLSTMCell",
            ),
        ),
        "gru": (
            _form(
                slot("dense_i.kernel", "input.r input.z input.n", "in (* hidden)"),
                slot("dense_i.bias", "bias.r bias.z bias.in", "(* hidden)"),
                slot("dense_h.kernel", "hidden.r hidden.z hidden.n", "inner (* hidden)"),
                zero=("bias.hn",),
                classes="GRUCell",
            ),
        ),
        "rnn": (
            _form(
                slot("dense_i.kernel", "input", "in hidden"),
                slot("dense_i.bias", "bias", "hidden"),
                slot("dense_h.kernel", "hidden", "inner hidden"),
                classes="SimpleCell",
            ),
        ),
        **{kind: (_weight_norm(forms[0]),) for kind, forms in _FORMS.items() if kind.startswith("weight_norm")},
        "lora_linear": (
            _form(
                slot("kernel", "weight", "in out"),
                slot("bias", "bias", "out"),
                slot("lora.lora_a", "a", "in rank", variable="LoRAParam"),
                slot("lora.lora_b", "b", "rank out", variable="LoRAParam", scale=("alpha", "rank")),
                classes="LoRALinear",
            ),
        ),
    },
    facts=LINEN.facts,
)
