"""From the tensors of a module in one framework's layout to its neutral parameters, and from these to another's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from . import operations as ops
from .conventions import SPATIAL, Axes, Form, Kind, Sizes, Slot
from .conventions.axes import ANY, ONES, STAR, Dim, Equation, chosen, several, solve, spelled
from .operations import Operation

Shape = tuple[int, ...]
Factors = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be zero, or the conversion would lose something.

    Attributes:
        made: The elements that must be zero.
        text: What they are, and why they have no place.
    """

    made: Operation
    text: str


@dataclass(slots=True)
class Reading:
    """A module's neutral parameters, and what must hold for them to be all there is."""

    parameters: dict[str, Operation] = field(default_factory=dict)
    conditions: list[Condition] = field(default_factory=list)


def sizes_of(
    kind: Kind, held: Iterable[tuple[Form, Mapping[Slot, Shape]]], facts: Mapping[str, object]
) -> Sizes | None:
    """Sizes of the axes of a kind from the shapes of its tensors; None where shapes contradict each other or a form.

    Args:
        kind: Of the module.
        held: Forms with the shapes that they have; several for both sides of a conversion.
        facts: What is known beside the shapes; integers are sizes.
    """
    held = list(held)
    known = {name: size for name, size in facts.items() if type(size) is int}
    if any(size < 0 for size in known.values()):
        return None
    equations: list[Equation] = []
    for form, shapes in held:
        for slot, shape in shapes.items():
            if not slot.holds:
                continue
            dims = spelled(slot.dims, len(shape), known)
            found = None if dims is None else _equations(kind, form, slot, dims, shape)
            if found is None:
                return None
            equations += found
    sizes = solve(equations, known)
    for form, _ in held:
        sizes = sizes and _refined(form, sizes)
    if sizes is None or len({sizes[name] for name in kind.same if name in sizes}) > 1:
        return None
    for name, usual in kind.usual.items():
        if name not in sizes and (isinstance(usual, int) or usual in sizes):
            sizes = solve(equations, {**sizes, name: usual if isinstance(usual, int) else sizes[usual]})
            if sizes is None:
                return None
    return sizes


def _refined(form: Form, sizes: dict[str, int]) -> dict[str, int] | None:
    """Sizes with those of coarse axes and of their finer ones made to agree; None where they do not."""
    equations: list[Equation] = []
    for name, finer in form.refine.items():
        if all(one in sizes for one in finer):
            equations.append((((name,),), math.prod(sizes[one] for one in finer)))
        elif name in sizes:
            equations.append(((finer,), sizes[name]))
    return solve(equations, sizes)


def _equations(kind: Kind, form: Form, slot: Slot, dims: Sequence[Dim], shape: Shape) -> list[Equation] | None:
    own = [_own(kind, form, parameter) for parameter in slot.holds]
    found: list[Equation] = []
    for dim, size in zip(dims, shape, strict=True):
        if dim and dim[0] == STAR:
            found.append((tuple(chosen(dim[1:], names) for names in own), size))
            continue
        if STAR in dim:
            size, rest = divmod(size, len(own))
            if rest:
                return None
        bare = tuple(name for name in dim if name != STAR)
        found += [((chosen(bare, names),), size) for names in own]
    return found


def _own(kind: Kind, form: Form, parameter: str) -> Axes:
    """The names of a parameter's axes, coarse and finer."""
    axes = kind.parameters[parameter]
    return (*axes, *(one for name in axes for one in form.refine.get(name, ())))


def read(
    kind: Kind, form: Form, held: Mapping[Slot, Operation], sizes: Sizes, factors: Factors | None = None
) -> Reading:
    """The neutral parameters of a module from its tensors.

    Args:
        kind: Of the module.
        form: How its framework keeps it.
        held: Its tensors.
        sizes: Of all axes.
        factors: Facts that scales are made of, and that no axis has for its size.
    """
    result = Reading()
    found: dict[str, list[Operation]] = {}
    by_name = {slot.name: tensor for slot, tensor in held.items()}
    for slot, tensor in held.items():
        if not slot.holds:
            continue
        if form.fold and "weight" in slot.holds:
            u, v, axis = form.fold
            tensor = ops.fold(tensor, by_name[u], by_name[v], axis)
        dims = spelled(slot.dims, len(tensor.shape), sizes)
        assert dims is not None
        for parameter, piece, items in _pieces(kind, form, slot, tensor, dims, sizes):
            if slot.scale:
                piece = ops.scale(piece, 1 / _factor(slot, sizes, factors))
            found.setdefault(parameter, []).append(_neutral(kind, form, slot, parameter, piece, items, sizes, result))
    result.parameters = {name: pieces[0] if len(pieces) == 1 else ops.add_up(pieces) for name, pieces in found.items()}
    return result


def _pieces(
    kind: Kind, form: Form, slot: Slot, tensor: Operation, dims: Sequence[Dim], sizes: Sizes
) -> Iterator[tuple[str, Operation, tuple[Dim, ...]]]:
    """(parameter, its part of the tensor, the items of its axes) of each that lies in a slot."""
    at = _star(dims)
    own = {parameter: _own(kind, form, parameter) for parameter in slot.holds}
    if at is None:
        for parameter, names in own.items():
            yield parameter, tensor, tuple(chosen(dim, names) for dim in dims)
        return
    star = dims[at].index(STAR)
    start = 0
    for i, (parameter, names) in enumerate(own.items()):
        before, after = chosen(dims[at][:star], names), chosen(dims[at][star + 1 :], names)
        rest = [chosen(dim, names) for dim in dims]
        if star == 0:
            stop = start + _size(after, sizes)
            yield parameter, ops.part(tensor, at, start, stop), (*rest[:at], after, *rest[at + 1 :])
            start = stop
        else:
            shape = tensor.shape
            middle = (_size(before, sizes), len(own), _size(after, sizes))
            split = ops.reshape(tensor, (*shape[:at], *middle, *shape[at + 1 :]))
            yield parameter, ops.index(split, at + 1, i), (*rest[:at], before, after, *rest[at + 1 :])


def _star(dims: Sequence[Dim]) -> int | None:
    return next((i for i, dim in enumerate(dims) if STAR in dim), None)


def _size(names: Iterable[str], sizes: Sizes) -> int:
    return math.prod(sizes[name] for name in names)


def _neutral(
    kind: Kind,
    form: Form,
    slot: Slot,
    parameter: str,
    tensor: Operation,
    dims: tuple[Dim, ...],
    sizes: Sizes,
    result: Reading,
) -> Operation:
    """A parameter with its neutral axes from a tensor whose axes are these items."""
    twice = _twice(dims)
    if twice:
        name, first, second = twice
        blocks = []
        dims = _without(dims, name, first, second)
        rows, columns = (_size(dims[axis], sizes) for axis in (first, second))
        for block in range(sizes[name]):
            row = ops.part(tensor, first, block * rows, (block + 1) * rows)
            blocks.append(ops.part(row, second, block * columns, (block + 1) * columns))
            for start, stop in ((0, block * columns), ((block + 1) * columns, row.shape[second])):
                if start < stop:
                    text = (
                        f"{slot.name}, of which a layer with {sizes[name]} groups has only the blocks on the diagonal"
                    )
                    result.conditions.append(Condition(ops.part(row, second, start, stop), text))
        flat = [name, *(one for dim in dims for one in dim)]
        tensor = ops.stack([ops.reshape(block, [sizes[one] for one in flat[1:]]) for block in blocks], 0)
    else:
        flat = [one for dim in dims for one in dim]
        tensor = ops.reshape(tensor, [sizes[one] for one in flat])
    tensor = ops.flip(tensor, _flipped(slot, flat))
    coarse, fine = _axes(kind, form, parameter, flat)
    tensor = ops.permute(tensor, [flat.index(name) for name in fine])
    return ops.reshape(tensor, [_size(form.refine.get(name, (name,)), sizes) for name in coarse])


def _twice(dims: Sequence[Dim]) -> tuple[str, int, int] | None:
    """A name that stands in two items (its blocks lie on a diagonal), and where."""
    seen: dict[str, int] = {}
    for i, dim in enumerate(dims):
        for name in dim:
            if name in seen:
                return name, seen[name], i
            seen[name] = i
    return None


def _without(dims: Sequence[Dim], name: str, *where: int) -> tuple[Dim, ...]:
    return tuple(tuple(one for one in dim if one != name or i not in where) for i, dim in enumerate(dims))


def _flipped(slot: Slot, flat: Sequence[str]) -> list[int]:
    names = {one for name in slot.flip for one in (("x", "y", "z") if name == SPATIAL else (name,))}
    return [i for i, name in enumerate(flat) if name in names]


def _axes(kind: Kind, form: Form, parameter: str, flat: Sequence[str]) -> tuple[list[str], list[str]]:
    """(a parameter's neutral axes, the same with the form's finer ones), `*spatial` spelled out as in the tensor."""
    coarse: list[str] = []
    for name in kind.parameters[parameter]:
        if name == SPATIAL:
            coarse += [one for one in ("z", "y", "x") if one in flat]
        elif name == ANY:
            coarse += [one for one in flat if one.startswith("axis")]
        else:
            coarse.append(name)
    return coarse, [one for name in coarse for one in form.refine.get(name, (name,))]


def written(
    kind: Kind,
    form: Form,
    slot: Slot,
    given: Mapping[str, Operation],
    sizes: Sizes,
    factors: Factors | None = None,
) -> Operation | None:
    """The tensor of a slot from neutral parameters; None where none of those that it holds is given.

    A parameter that another slot holds too, or that is missing beside others, is zero in it.
    """
    like = next((given[name] for name in slot.holds if name in given), None)
    if like is None:
        return None
    dims = _written_dims(kind, form, slot, given)
    at = _star(dims)
    pieces: list[Operation] = []
    for parameter in slot.holds:
        own = _own(kind, form, parameter)
        items = [chosen(tuple(name for name in dim if name != STAR), own) for dim in dims]
        star = 0 if at is None else dims[at].index(STAR)
        if star and at is not None:
            items[at : at + 1] = [chosen(dims[at][:star], own), chosen(dims[at][star + 1 :], own)]
        if parameter in given and parameter not in slot.addends:
            pieces.append(_laid(kind, form, slot, parameter, given[parameter], tuple(items), sizes))
        else:
            pieces.append(ops.Fill(tuple(_size(dim, sizes) for dim in items), like.dtype, 0))
    if at is None:
        (result,) = pieces
    elif dims[at][0] == STAR:
        result = ops.join(pieces, at)
    else:
        stacked = ops.stack(pieces, at + 1)
        shape = stacked.shape
        result = ops.reshape(stacked, (*shape[:at], math.prod(shape[at : at + 3]), *shape[at + 3 :]))
    return ops.scale(result, _factor(slot, sizes, factors)) if slot.scale else result


def _factor(slot: Slot, sizes: Sizes, factors: Factors | None) -> float:
    """What a slot multiplies its parameter by."""
    known = {**(factors or {}), **sizes}
    above, below = slot.scale
    return known[above] / known[below]


def _written_dims(kind: Kind, form: Form, slot: Slot, given: Mapping[str, Operation]) -> tuple[Dim, ...]:
    """A slot's items, those for several axes spelled out by the ranks of the parameters."""
    dims: list[Dim] = []
    for dim in slot.dims:
        if dim == (ONES,):
            weight = form.holding("weight")
            assert weight is not None
            dims += [()] * (len(_written_dims(kind, form, weight, given)) - 1)
            continue
        for i, name in enumerate(dim):
            if name in (SPATIAL, ANY):
                parameter = next(one for one in slot.holds if one in given)
                names = several(name, len(given[parameter].shape) - len(kind.parameters[parameter]) + 1)
                assert names is not None
                if len(dim) == 1:
                    dims += [(one,) for one in names]
                else:
                    dims.append((*dim[:i], *names, *dim[i + 1 :]))
                break
        else:
            dims.append(dim)
    return tuple(dims)


def _laid(
    kind: Kind, form: Form, slot: Slot, parameter: str, tensor: Operation, dims: tuple[Dim, ...], sizes: Sizes
) -> Operation:
    """A neutral parameter in a slot's axes: the inverse of `_neutral`."""
    twice = _twice(dims)
    bare = _without(dims, twice[0], twice[2]) if twice else dims
    flat = [one for dim in bare for one in dim]
    _, fine = _axes(kind, form, parameter, flat)
    tensor = ops.reshape(tensor, [sizes[name] for name in fine])
    if twice and sizes[twice[0]] > 1:
        name, first, second = twice
        bare = _without(dims, name, first, second)
        flat = [one for dim in bare for one in dim]
        order = [name for name in fine if name != twice[0]]
        rows = []
        columns = _size(bare[second], sizes)
        for block in range(sizes[name]):
            piece = ops.index(tensor, fine.index(name), block)
            piece = ops.flip(ops.permute(piece, [order.index(one) for one in flat]), _flipped(slot, flat))
            piece = ops.reshape(piece, [_size(dim, sizes) for dim in bare])
            rows.append(ops.pad(piece, second, block * columns, (sizes[name] - 1 - block) * columns, 0))
        return ops.join(rows, first)
    tensor = ops.permute(tensor, [fine.index(name) for name in flat])
    tensor = ops.flip(tensor, _flipped(slot, flat))
    return ops.reshape(tensor, [_size(dim, sizes) for dim in bare])


def unknown(kind: Kind, form: Form, parameters: Iterable[str], sizes: Sizes) -> list[str]:
    """Names of axes of a form's slots for these parameters whose sizes nothing tells."""
    held = set(parameters)
    names: dict[str, None] = {}
    for slot in form.slots:
        for parameter in (one for one in slot.holds if one in held):
            own = _own(kind, form, parameter)
            names.update((one, None) for dim in slot.dims for one in chosen(dim, own))
    return [name for name in names if name not in sizes and not name.startswith("*")]


def named_axes(slot: Slot, rank: int) -> Axes | None:
    """The names of a slot's axes where each is one axis, else None."""
    dims = spelled(slot.dims, rank, {})
    return tuple(dim[0] for dim in dims) if dims and all(len(dim) == 1 and "|" not in dim[0] for dim in dims) else None
