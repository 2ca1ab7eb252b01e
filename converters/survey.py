"""A tree seen through a framework's table: its leaves grouped by the module that they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ptformat import paths
from ptformat.paths import Segments
from ptformat.tree import Alias, Entry, Node, TensorInfo, Value

from . import operations as ops
from .conventions import Convention, Form, Kind, Sizes, Slot
from .layout import sizes_of
from .operations import Given, Operation
from .problems import ConversionError, Problem

_REMEMBERED = 10_000  # modules of different names or shapes
# torch's recurrent layers keep the cells of all layers and directions side by side.
_CELL = re.compile(r"(.+)_(l\d+(?:_reverse)?)")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor, or a second name of one, seen from its module.

    Attributes:
        entry: The source's entry.
        made: How it is made of the source's tensors: as it is, with its axes moved for an alias, or one of those that
            are stacked in a tensor.
        collection: The root it stands under, empty where the framework has none.
        module: Segments of the module's path, without the collection.
        name: The rest of its path; with dots where it stands below a module of several parts.
    """

    entry: TensorInfo | Alias
    made: Operation
    collection: str
    module: Segments
    name: str

    @property
    def path(self) -> str:
        """The source's dotted path."""
        return self.entry.path

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the leaf."""
        return self.made.shape

    @property
    def dtype(self) -> str:
        """Of its elements."""
        return self.made.dtype

    @property
    def tied(self) -> bool:
        """Whether it is a second name of a tensor, all of it."""
        return isinstance(self.entry, Alias)


@dataclass(slots=True)
class Module:
    """The leaves of one module that some kind could own, by collection and name, and what the source says of it."""

    path: Segments
    leaves: dict[tuple[str, str], Leaf] = field(default_factory=dict)
    node: Node | None = None

    @property
    def text(self) -> str:
        """Its leaves with their shapes."""
        return ", ".join(f"{name} {leaf.shape}" for (_, name), leaf in self.leaves.items())


@dataclass(frozen=True, slots=True)
class Fit:
    """A kind and form that a module's leaves fit.

    Attributes:
        kind: Neutral kind.
        form: The framework's form of it.
        held: Its slots with the leaves in them.
        sizes: What the shapes tell of the sizes of axes.
    """

    kind: Kind
    form: Form
    held: Mapping[Slot, Leaf]
    sizes: Sizes

    @property
    def shapes(self) -> dict[Slot, tuple[int, ...]]:
        """Of the leaves."""
        return {slot: leaf.shape for slot, leaf in self.held.items()}


@dataclass(frozen=True, slots=True)
class Unstacked:
    """Where a tree holds equal layers stacked in tensors.

    Attributes:
        path: Of the module whose tensors are stacked, without the collection.
        axis: Along which.
        count: Of layers, or None to take it from the tensors.
        also: Further axes that have as many, where nothing else tells which it is.
    """

    path: Segments
    axis: int = 0
    count: int | None = None
    also: tuple[int, ...] = ()


@dataclass(slots=True)
class Survey:
    """A tree seen through a framework's table.

    Attributes:
        convention: The framework's table.
        modules: By path, in order of first appearance.
        loose: Leaves that no kind has a name for: parameters of the user's own, buffers.
        values: Leaves that are no tensors.
        nodes: What the source says of its inner nodes, by module path.
        rooted: Whether the tree has the collections as its roots.
        leaves: All leaves in order.
    """

    convention: Convention
    modules: dict[Segments, Module] = field(default_factory=dict)
    loose: list[Leaf] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    nodes: dict[Segments, Node] = field(default_factory=dict)
    rooted: bool = False
    leaves: list[Leaf] = field(default_factory=list)

    def claim(self, modules: Iterable[Module]) -> None:
        """Take modules that are made of several as one each: their leaves belong to no other any more."""
        loose = {id(leaf): leaf for leaf in self.loose}
        for module in modules:
            taken = {id(leaf) for leaf in module.leaves.values()}
            # A leaf is held by its own module, or by one above it that is made of several.
            holding = dict.fromkeys([module.path])
            for leaf in module.leaves.values():
                holding.update((leaf.module[:depth], None) for depth in range(len(leaf.module) + 1))
            for path in holding:
                other = self.modules.get(path)
                if other is None or other is module:
                    continue
                other.leaves = {at: leaf for at, leaf in other.leaves.items() if id(leaf) not in taken}
                if path == module.path:
                    loose.update((id(leaf), leaf) for leaf in other.leaves.values())
                if not other.leaves or path == module.path:
                    del self.modules[path]
            for each in taken:
                loose.pop(each, None)
            self.modules[module.path] = module
        self.loose = [*loose.values()]
        order = {id(leaf.entry): row for row, leaf in enumerate(self.leaves)}
        self.modules = dict(sorted(self.modules.items(), key=lambda item: _first(item[1], order)))


def _first(module: Module, order: Mapping[int, int]) -> int:
    return min(order[id(leaf.entry)] for leaf in module.leaves.values())


def survey(entries: Sequence[Entry], convention: Convention, stacked: Sequence[Unstacked] = ()) -> Survey:
    """Group the leaves of a tree by module.

    Args:
        entries: Of the tree.
        convention: Its framework's table.
        stacked: Where layers are stacked; each gets a path of its own.

    Raises:
        ConversionError: `ambiguous`, where two tensors would be the same one of a module.
        ValueError: Where tensors are not stacked as said.
    """
    tensors = {entry.path: entry for entry in entries if isinstance(entry, TensorInfo)}
    split = [(entry, paths.parse(entry.path)) for entry in entries]
    tops = {segments[0] for _, segments in split if segments}
    found = Survey(convention)
    # Without `params` too, where a net has running statistics alone.
    found.rooted = bool(convention.collections and tops) and (
        convention.home in tops or tops <= {*convention.collections}
    )
    for entry, segments in split:
        if isinstance(entry, Value):
            found.values.append(entry)
            continue
        collection = convention.home
        if found.rooted and segments:
            collection, segments = segments[0], segments[1:]
        if isinstance(entry, Node):
            if entry.form in ("map", "part", "flat", "keys") and (not found.rooted or collection == convention.home):
                found.nodes[segments] = entry
            continue
        target = tensors[entry.target] if isinstance(entry, Alias) else entry
        made: Operation = Given(target.path, target.shape, target.dtype)
        if isinstance(entry, Alias) and entry.perm:
            made = ops.permute(made, entry.perm)
        module, name = seen(segments, convention)
        found.leaves += _unstacked(Leaf(entry, made, collection, module, name), stacked)
    for leaf in found.leaves:
        if (leaf.collection, leaf.name) in convention.names:
            inner = found.modules.setdefault(leaf.module, Module(leaf.module))
            other = inner.leaves.setdefault((leaf.collection, leaf.name), leaf)
            if other is not leaf:
                raise _twice(other, leaf, convention)
        else:
            found.loose.append(leaf)
    for path, inner in list(found.modules.items()):
        inner.node = node_of(found, path)
        if ({name for _, name in inner.leaves} == {"bias"} and not fits(inner, convention)) or _ruleless(inner):
            found.loose += found.modules.pop(path).leaves.values()  # a bias of the user's own, the weights of a loss
    return found


def _twice(one: Leaf, other: Leaf, convention: Convention) -> ConversionError:
    """Two tensors that would be one of a module: of a recurrent layer and of its submodule `l0`, say."""
    both = [convention.separator.join(paths.parse(leaf.path)) for leaf in (one, other)]
    where = convention.separator.join(one.module) or "the root"
    text = f"{both[0]} and {both[1]} are both {one.name} of {where}. Try --drop '{both[1]}'"
    return ConversionError([Problem("ambiguous", other.path, text)])


def _ruleless(module: Module) -> bool:
    """Whether a module is recorded as one of torch's losses, whose weights are nothing that is learnt."""
    return bool(module.node and (module.node.class_ or "").startswith("torch.nn.modules.loss."))


def node_of(tree: Survey, path: Segments) -> Node | None:
    """What the tree says of the module at a path; of a cell of torch's, what it says of the layer."""
    node = tree.nodes.get(path)
    if node is None and path and re.fullmatch(r"l\d+(_reverse)?", path[-1]):
        node = tree.nodes.get(path[:-1])
    return node


def seen(segments: Segments, convention: Convention) -> tuple[Segments, str]:
    """(module, name) of a leaf's path. A cell of a recurrent layer is a module; a magnitude belongs to its layer."""
    if not segments:
        return (), ""
    *module, name = segments
    if convention.follows == "torch" and (cell := _CELL.fullmatch(name)) and cell[1] in convention.cell_names:
        return (*module, cell[2]), cell[1]
    if convention.follows == "linen" and name.endswith("/kernel/scale") and module:
        return (*module[:-1], *name.split("/")[:-2]), "kernel/scale"
    return tuple(module), name


def _unstacked(leaf: Leaf, stacked: Sequence[Unstacked]) -> list[Leaf]:
    """A leaf, or the leaves that are stacked in it."""
    leaves = [leaf]
    for rule in stacked:
        length = len(rule.path)
        result: list[Leaf] = []
        for one in leaves:
            if one.module[:length] != rule.path:
                result.append(one)
                continue
            rank = len(one.shape)
            if rule.axis >= rank or (rule.count is not None and one.shape[rule.axis] != rule.count):
                layers = f" of {rule.count} layers" if rule.count is not None else ""
                raise ValueError(f"{leaf.path} {one.shape} is no stack{layers} on axis {rule.axis}")
            result += [
                replace(one, made=ops.index(one.made, rule.axis, i), module=(*rule.path, str(i), *one.module[length:]))
                for i in range(one.shape[rule.axis])
            ]
        leaves = result
    return leaves


def fits(
    module: Module, convention: Convention, facts: Mapping[str, object] | None = None, said: str = ""
) -> list[Fit]:
    """The kinds and forms whose names, ranks and sizes a module has; of the kind that it is said to be, in part too."""
    shapes = {at: leaf.shape for at, leaf in module.leaves.items()}
    found = convention.fitting
    key = (said, *shapes.items(), *sorted((name, repr(value)) for name, value in (facts or {}).items()))
    if key not in found:
        if len(found) >= _REMEMBERED:
            found.clear()
        found[key] = list(_fitting(shapes, convention, facts or {}, said))
    result = []
    for kind, form, slots, sizes in found[key]:
        result.append(Fit(kind, form, {slot: module.leaves[slot.collection, slot.name] for slot in slots}, sizes))
    return result


def _fitting(
    shapes: Mapping[tuple[str, str], tuple[int, ...]], convention: Convention, facts: Mapping[str, object], said: str
) -> Iterator[tuple[Kind, Form, list[Slot], Sizes]]:
    """What `fits` tells of all modules whose leaves have these names and shapes: most of a model's layers are alike."""
    for name, forms in convention.forms.items():
        kind = convention.kinds[name]
        for form in forms:
            slots = {(slot.collection, slot.name): slot for slot in form.slots}
            if not shapes.keys() <= slots.keys():
                continue
            held = {slot: shapes[at] for at, slot in slots.items() if at in shapes}
            if not _essential(kind, form, held) and not (kind.parts and kind.name == said):
                continue
            sizes = sizes_of(kind, [(form, held)], facts)
            if sizes is not None:
                yield kind, form, list(held), sizes


def _essential(kind: Kind, form: Form, held: Iterable[Slot]) -> bool:
    """Whether there is all that a module of the kind cannot be without, and the vectors of a norm that it is under."""
    slots = list(held)
    if form.fold and not {*form.fold[:2]} <= {slot.name for slot in slots}:
        return False
    return {parameter for slot in slots for parameter in slot.holds}.issuperset(kind.essential)


def assemblies(tree: Survey) -> Iterator[tuple[Module, Fit]]:
    """Every module that is made of several by the forms of kinds such as attention, declared or not, with its fit."""
    by_path = {(leaf.collection, *leaf.module, *leaf.name.split(".")): leaf for leaf in tree.leaves}
    lasts = {path[-1] for path in by_path}
    for name, forms in tree.convention.forms.items():
        kind = tree.convention.kinds[name]
        for form in forms:
            if not form.whole or not any(slot.segments[-1] in lasts for slot in form.slots):
                continue
            first = form.holding(kind.essential[0])
            assert first is not None
            for path in by_path:
                length = len(first.segments)
                if path[-length:] != first.segments or path[0] != first.collection:
                    continue
                root = path[1:-length]
                module = _assembled(by_path, form, root)
                module.node = node_of(tree, root)
                found = [fit for fit in fits(module, tree.convention) if fit.form is form]
                if found and _essential(kind, form, found[0].held):
                    yield module, found[0]


def _assembled(by_path: Mapping[tuple[str, ...], Leaf], form: Form, root: Segments) -> Module:
    module = Module(root)
    for slot in form.slots:
        leaf = by_path.get((slot.collection, *root, *slot.segments))
        if leaf is not None:
            module.leaves[slot.collection, slot.name] = leaf
    return module
