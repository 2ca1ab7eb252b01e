"""Proof of a conversion: a torch and a flax model give the same outputs, or which layer is the first that does not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ptformat.dtypes import Array

from .proof_layers import Compared, Layer
from .proof_numbers import Apart, ProofError, arrays, measure

if TYPE_CHECKING:
    import torch

# How many axes an array has that is moved between NC… and N…C: one to three spatial ones.
_IMAGES = range(3, 6)
_SHOWN = 5  # lines of the text about layers that could not be compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Apart):
    """What both models returned at one place.

    Attributes:
        path: Where, dotted: "" for the only one, else a name or number as torch has it, such as `logits` or `1.0`.
    """

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """How far two models are apart on one input.

    Attributes:
        outputs: Every array they returned, in torch's order.
        layers: What their layers returned, where both could be compared, in torch's order: inner layers before outer.
        left_out: Layers that have a counterpart and could not be compared, and why.
        alone: Names of torch's layers that ran and have no counterpart (activations, dropout), and paths of flax's.
        tolerance: Against which `equal` is measured.
    """

    outputs: tuple[Output, ...]
    layers: tuple[Layer, ...]
    left_out: tuple[str, ...] = ()
    alone: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    tolerance: float

    @property
    def equal(self) -> bool:
        """Whether all outputs are equal within the tolerance."""
        return all(output.equal for output in self.outputs)

    @property
    def first(self) -> Layer | None:
        """The first layer where the models part, if they do, in torch's order; their outputs may be equal all the same.

        Of the layers up to the first whose difference is beyond the tolerance, the one at which it grew most: what
        another activation does is small at first. The model itself, named "", when only the outputs part; None when
        they do and no layer was compared.
        """
        beyond = next((i for i, layer in enumerate(self.layers) if not layer.equal), None)
        if beyond is not None:
            return _grown(self.layers[: beyond + 1], max(self.tolerance / 100, 1e-12))
        if self.equal or not self.layers:
            return None
        worst = max(self.outputs, key=lambda output: (not output.equal, output.nan, output.relative))
        return Layer(torch="", flax="", call=0, **_facts(worst))

    def text(self) -> str:
        """A line per output, aligned, and whether they are equal or where the models part first."""
        rows: list[tuple[str, ...]] = [("output", "shape", "largest", "max abs", "max rel", "")]
        for output in self.outputs:
            numbers = (f"{number:.2g}" for number in (output.largest, output.absolute, output.relative))
            rows.append((output.path or "-", str(output.shape), *numbers, _note(output)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        return "\n".join([*lines, *self._verdict()])

    def _verdict(self) -> Iterator[str]:
        within = f"within {np.format_float_scientific(self.tolerance, trim='-', exp_digits=2)}"
        count = len(self.layers)
        layers = f"{count} call{'s' if count != 1 else ''} of layers compared"
        first = self.first
        if self.equal and first is None:
            worst = max((layer.absolute for layer in self.layers), default=0.0)
            yield f"equal {within}" + (f"; {layers}, {worst:.2g} apart at most" if count else "")
            return
        yield f"{'equal' if self.equal else 'not equal'} {within}; {layers if count else 'no layer was compared'}"
        if first is not None:
            nan = f", {first.nan} NaN against a number" if first.nan else ""
            layout = f", {first.layout}" if first.layout else ""
            yield f"the first layer where they part: {first}: {first.absolute:.2g} (output {first.shape}{layout}{nan})"
        yield from (f"not compared: {reason}" for reason in self.left_out[:_SHOWN])
        if len(self.left_out) > _SHOWN:
            yield f"not compared: {len(self.left_out) - _SHOWN} more"


def verify_conversion(
    torch_model: torch.nn.Module,
    flax_model: Any,
    *inputs: Any,
    variables: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    torch_kwargs: Mapping[str, Any] | None = None,
    layout: Literal["same", "channels_last"] = "same",
    to_flax_inputs: Callable[..., Any] | None = None,
    to_torch_output: Callable[[Any], Any] | None = None,
    pairs: Mapping[str, str] | None = None,
    layers: bool = True,
    tolerance: float = 1e-4,
    seed: int = 0,
) -> Verified:
    """Run both models on the same input, in evaluation mode and without gradients, and compare what they return.

    Neither model is changed: torch's training flags, buffers and generator are put back, an nnx module is copied.
    While layers are watched, the classes of an nnx module's parts are wrapped: run no other thread with them.

    Args:
        torch_model: On any device.
        flax_model: An nnx module, or a linen module with `variables`.
        inputs: Arrays of any framework, in lists, tuples and dicts too; other values go as they are. Given to both:
            float64 is rounded to float32 unless torch's parameters are float64 and JAX has x64.
        variables: Of the linen module.
        kwargs: For the flax model by name; for linen those of `apply` too, such as `rngs`. A linen module that trains
            by default needs its flag here, such as `{"train": False}`.
        torch_kwargs: For the torch model by name.
        layout: `channels_last` moves axis 1 of inputs with 3 to 5 axes to the end for flax, and the last axis of its
            outputs with 3 to 5 axes back to 1, but for those which have torch's shape only as they are.
        to_flax_inputs: Makes flax's inputs of `inputs`, all of them, in place of `layout`: a tuple, or the only one.
        to_torch_output: Makes of what flax returned what torch returns, in place of `layout`.
        pairs: Name of a layer in torch -> path of it in flax, for all below it too, where names alone do not tell.
        layers: Whether to compare layers. It needs memory for what all layers of the flax model return.
        tolerance: The largest `relative` that is equal, for outputs and layers.
        seed: Of torch's generator.

    Raises:
        ProofError: When a model is not as expected or has no values; when they return no arrays, other numbers of them,
            or other shapes; for names in `pairs` that are not there. What a model itself raises passes, with a note.
        ImportError: When torch or flax is not installed.
    """
    from . import proof_flax, proof_torch

    if layout not in ("same", "channels_last"):
        raise ProofError(f"layout is {layout!r}, expected 'same' or 'channels_last'")
    model = proof_torch.checked(torch_model)
    wide = proof_torch.is_wide(model)
    plain, by_name, flax_by_name = (
        proof_torch.mapped(lambda leaf: _rounded(leaf, wide), proof_flax.plain(each))
        for each in (inputs, torch_kwargs or {}, kwargs or {})
    )
    moved = _flax_inputs(plain, layout, to_flax_inputs, proof_torch.mapped)
    with _told("flax"):
        ran = proof_flax.run(
            flax_model, variables, proof_flax.given(moved), proof_flax.given(flax_by_name), watch=layers
        )
    compared = None
    if layers:
        compared = Compared(proof_torch.names(model), ran.names, ran.calls, pairs or {}, tolerance, proof_flax.array)
        ran.calls.clear()  # each is let go when it is compared
    with _told("torch"):
        tensors, named = proof_torch.given(plain, model), proof_torch.given(by_name, model)
        returned = proof_torch.run(model, tensors, named, seed, compared)
    output = to_torch_output(ran.output) if to_torch_output else ran.output
    mine = {name: proof_torch.array(leaf) for name, leaf in arrays(returned, proof_torch.is_array, "torch").items()}
    theirs = {name: proof_flax.array(leaf) for name, leaf in arrays(output, proof_flax.is_array, "flax").items()}
    moving = layout == "channels_last" and to_torch_output is None
    outputs = tuple(_compare(_together(mine, theirs), moving, tolerance))
    if compared is None:
        return Verified(outputs=outputs, layers=(), tolerance=tolerance)
    compared.finish()
    unseen = (ran.unseen,) if ran.unseen else ()
    alone = tuple(compared.alone[0]), tuple("/".join(path) for path in compared.alone[1])
    return Verified(
        outputs=outputs,
        layers=tuple(compared.layers),
        left_out=(*unseen, *compared.left_out),
        alone=alone,
        tolerance=tolerance,
    )


def _rounded(leaf: Any, wide: bool) -> Any:
    """A float64 array with the numbers that both models can take, in torch's type."""
    if not isinstance(leaf, np.ndarray) or leaf.dtype != np.float64:
        return leaf
    import jax

    if wide and jax.dtypes.canonicalize_dtype(np.float64) == np.float64:
        return leaf
    return leaf.astype(np.float32).astype(np.float64 if wide else np.float32)


def _flax_inputs(
    plain: tuple[Any, ...], layout: str, to_flax_inputs: Callable[..., Any] | None, mapped: Callable[..., Any]
) -> tuple[Any, ...]:
    if to_flax_inputs is not None:
        made = to_flax_inputs(*plain)
        return made if isinstance(made, tuple) else (made,)

    def move(leaf: Any) -> Any:
        image = isinstance(leaf, np.ndarray) and leaf.ndim in _IMAGES
        return np.moveaxis(leaf, 1, -1) if image else leaf

    inputs: tuple[Any, ...] = mapped(move, plain) if layout == "channels_last" else plain
    return inputs


def _together(mine: Mapping[str, Array], theirs: Mapping[str, Array]) -> list[tuple[str, Array, Array]]:
    """What belongs together: by path, or in order where one of the models has no names for what it returns."""
    if not mine and not theirs:
        raise ProofError("neither model returns an array")
    if mine.keys() == theirs.keys():
        return [(path, array, theirs[path]) for path, array in mine.items()]
    unnamed = any(all(path.replace(".", "").isdigit() or not path for path in side) for side in (mine, theirs))
    if not unnamed or len(mine) != len(theirs):
        said = (
            ", ".join(f"{path} {array.shape}".strip() for path, array in side.items()) or "nothing"
            for side in (mine, theirs)
        )
        raise ProofError("the models return different outputs: torch {}; flax {}".format(*said))
    return [(path, array, other) for (path, array), other in zip(mine.items(), theirs.values(), strict=True)]


def _compare(outputs: list[tuple[str, Array, Array]], moving: bool, tolerance: float) -> Iterator[Output]:
    faults: list[str] = []
    found: list[tuple[str, Array, Array]] = []
    for path, mine, theirs in outputs:
        back = np.moveaxis(theirs, -1, 1) if theirs.ndim in _IMAGES else theirs
        other = back if moving and (back.shape == mine.shape or theirs.shape != mine.shape) else theirs
        if other.shape != mine.shape:
            hint = "; try layout='channels_last'" if back.shape == mine.shape else ""
            where = f"output {path!r}" if path else "the output"
            faults.append(f"{where}: torch returned {mine.shape}, flax {theirs.shape}{hint}")
        found.append((path, mine, other))
    if faults:
        raise ProofError("\n".join(faults))
    for path, mine, other in found:
        yield Output(path=path, **_facts(measure(mine, other, tolerance)))


def _grown(layers: Sequence[Layer], noise: float) -> Layer:
    """The layer at which the relative difference grew by the largest factor, from noise on."""
    sizes = [np.inf if layer.nan else max(layer.relative, noise) for layer in layers]
    before = np.maximum.accumulate([noise, *sizes[:-1]])
    return layers[int(np.argmax(np.array(sizes) / before))]


def _facts(apart: Apart) -> dict[str, Any]:
    return {field.name: getattr(apart, field.name) for field in fields(Apart)}


def _note(output: Output) -> str:
    if output.nan:
        return f"{output.nan} NaN against a number"
    if output.largest:
        return ""
    return f"{'empty' if 0 in output.shape else 'nothing but 0 or NaN'}: this proves nothing"


@contextlib.contextmanager
def _told(which: str) -> Iterator[None]:
    """Errors of a model say which one it was."""
    try:
        yield
    except ProofError:
        raise
    except Exception as error:
        error.add_note(f"(while the {which} model ran)")
        raise
