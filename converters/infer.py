"""From names and shapes to kinds, each with its evidence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ptformat import paths
from ptformat.paths import Segments
from ptformat.tree import Alias, Entry, Node, TensorInfo, Value

from .conventions import ESSENTIAL, KINDS, RIVALS, Axes, Convention, spelled
from .problems import Problem

# Words in a module's name that speak for a kind, and against its rivals; WEAK ones only where the module itself is
# called so, and not a list that it is the n-th of.
WORDS: dict[str, tuple[str, ...]] = {
    "embedding": ("emb", "embed", "embedding", "embeddings", "embedder", "wte", "wpe", "lookup", "shared", "vocab"),
    "linear": (
        *("linear", "dense", "fc", "lin", "proj", "projection", "head", "query", "key", "value", "classifier", "mlp"),
        *("q", "k", "v", "o", "gate", "up", "down", "out", "output", "logits", "predictions", "decoder"),
    ),
    "norm": ("norm", "ln", "layernorm", "rmsnorm", "groupnorm", "batchnorm", "bn", "gn"),
}
WEAK = frozenset(
    (
        *("shared", "vocab", "lookup", "head", "query", "key", "value", "classifier", "mlp", "decoder"),
        *("q", "k", "v", "o", "gate", "up", "down", "out", "output", "logits", "predictions"),
    )
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor, or a second name of one, seen from its module.

    Attributes:
        entry: The source's entry.
        dtype: Of the tensor.
        shape: Of the tensor, in the alias' order of axes for an alias.
        collection: The root it stands under, empty where the framework has none.
        module: Segments of the module's path, without the collection.
        name: Its last segment.
    """

    entry: TensorInfo | Alias
    dtype: str
    shape: tuple[int, ...]
    collection: str
    module: Segments
    name: str

    @property
    def path(self) -> str:
        """The source's dotted path."""
        return self.entry.path


@dataclass(slots=True)
class Module:
    """The leaves of one module that some kind could own, and what the source says of it."""

    path: Segments
    leaves: dict[tuple[str, str], Leaf] = field(default_factory=dict)
    node: Node | None = None


@dataclass(slots=True)
class Survey:
    """A tree seen through a framework's table.

    Attributes:
        modules: By path, in order of first appearance.
        loose: Leaves that no kind has a name for: parameters of the user's own, buffers.
        values: Leaves that are no tensors.
        nodes: What the source says of its inner nodes, by module path.
        rooted: Whether the tree has the collections as its roots.
    """

    modules: dict[Segments, Module]
    loose: list[Leaf]
    values: list[Value]
    nodes: dict[Segments, Node]
    rooted: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What a module is.

    Attributes:
        kinds: The kinds it may be; they all give the same target. Empty where there is a problem.
        evidence: Why, in words.
        guess: What else it might be, or empty.
        problem: Why nothing could be decided, or None.
    """

    kinds: tuple[str, ...]
    evidence: str
    guess: str = ""
    problem: Problem | None = None

    @property
    def kind(self) -> str:
        """One of the kinds, for its table."""
        return self.kinds[0]


def survey(entries: Sequence[Entry], convention: Convention) -> Survey:
    """Group the leaves of a tree by module."""
    tensors = {entry.path: entry for entry in entries if isinstance(entry, TensorInfo)}
    split = [(entry, paths.parse(entry.path)) for entry in entries]
    tops = {segments[0] for _, segments in split if segments}
    # Without `params` too, where a net has running statistics alone.
    rooted = bool(convention.collections and tops) and (convention.home in tops or tops <= {*convention.collections})
    found = Survey({}, [], [], {}, rooted)
    for entry, segments in split:
        if isinstance(entry, Value):
            found.values.append(entry)
            continue
        collection = convention.home
        if rooted and segments:
            collection, segments = segments[0], segments[1:]
        if isinstance(entry, Node):
            if entry.form in ("map", "part", "flat") and (not rooted or collection == convention.home):
                found.nodes[segments] = entry
            continue
        target = tensors[entry.target] if isinstance(entry, Alias) else entry
        order = entry.perm if isinstance(entry, Alias) and entry.perm else tuple(range(len(target.shape)))
        shape = tuple(target.shape[i] for i in order)
        leaf = Leaf(entry, target.dtype, shape, collection, segments[:-1], segments[-1] if segments else "")
        if convention.owners(collection, leaf.name):
            module = found.modules.setdefault(leaf.module, Module(leaf.module))
            module.leaves[collection, leaf.name] = leaf
        else:
            found.loose.append(leaf)
    for path, module in list(found.modules.items()):
        module.node = found.nodes.get(path)
        if not candidates(module, convention) and {name for _, name in module.leaves} == {"bias"}:
            found.loose += found.modules.pop(path).leaves.values()  # a bias of the user's own
    return found


def parameters(module: Module, kind: str, convention: Convention) -> dict[str, tuple[Leaf, Axes]] | None:
    """Neutral parameter -> leaf and its axes, if the module may be of that kind; else None."""
    result: dict[str, tuple[Leaf, Axes]] = {}
    for (collection, name), leaf in module.leaves.items():
        parameter = convention.owners(collection, name).get(kind)
        if parameter is None:
            return None
        axes = spelled(convention.slots[kind][parameter].axes, len(leaf.shape))
        if axes is None:
            return None
        result[parameter] = leaf, axes
    essential = ESSENTIAL[kind]
    return result if all(parameter in result for parameter in essential) else None


def candidates(module: Module, convention: Convention) -> list[str]:
    """The kinds whose names and ranks the module has."""
    return [kind for kind in KINDS if parameters(module, kind, convention) is not None]


def decide(
    module: Module,
    convention: Convention,
    target: Convention,
    rules: Iterable[tuple[str, str]] = (),
    template: Module | None = None,
) -> Decision:
    """Decide a module's kind from all the evidence there is.

    Args:
        module: The source's module.
        convention: The source's table.
        target: The target's table.
        rules: The user's (glob, kind) pairs; the glob is of the module's path as the source's framework writes it.
        template: The template's module of that place.
    """
    name = convention.separator.join(module.path) or "the root"
    fitting = candidates(module, convention)
    said: dict[str, str] = {}  # kind -> evidence that is no inference
    for glob, kind in rules:
        if fnmatchcase(convention.separator.join(module.path), glob):
            said.setdefault(kind, f"{kind}: --kind {glob}={kind}")
    node = module.node
    if node and node.module:
        said.setdefault(node.module, f"{node.module}: recorded in the file")
    if len(said) > 1:
        return _problem("contradiction", name, f"{name}: {' but '.join(said.values())}")
    if said:
        ((kind, evidence),) = said.items()
        if kind in fitting:
            return Decision((kind,), evidence)
        return _unfit(module, kind, evidence, name)
    if node and node.class_ and node.class_.startswith(convention.namespace):
        return _problem("unsupported", name, f"{name} is a {node.class_}, for which there is no rule yet")
    if not fitting:
        leaves = ", ".join(f"{leaf.name} {leaf.shape}" for leaf in module.leaves.values())
        return _problem("unsupported", name, f"{name} has {leaves}: no kind with a rule has these names and ranks")
    return _infer(module, convention, target, fitting, template, name)


def _problem(kind: str, name: str, text: str) -> Decision:
    return Decision((), "", problem=Problem(kind, name, text))


def _unfit(module: Module, kind: str, evidence: str, name: str) -> Decision:
    leaves = ", ".join(f"{leaf.name} {leaf.shape}" for leaf in module.leaves.values())
    if kind not in KINDS:
        known = ", ".join(KINDS)
        return _problem("unsupported", name, f"{name}: {evidence}; there is no rule for it yet (known: {known})")
    return _problem("contradiction", name, f"{name}: {evidence}, but it has {leaves}")


def _infer(
    module: Module, convention: Convention, target: Convention, fitting: list[str], template: Module | None, name: str
) -> Decision:
    evidence = ", ".join(f"{leaf.name} {leaf.shape}" for leaf in module.leaves.values())
    if template is not None:
        offered = candidates(template, target)
        both = [kind for kind in fitting if kind in offered]
        if not both:
            leaves = ", ".join(f"{leaf.name} {leaf.shape}" for leaf in template.leaves.values())
            text = f"{name} has {evidence}, its place in the template {leaves}: no kind has both"
            return _problem("contradiction", name, text)
        if len(both) < len(fitting):
            fitting, evidence = both, "the template's names"
    fitting, word = _by_word(fitting, module.path)
    groups = _groups(module, convention, target, fitting)
    kinds = groups[0]
    label = kinds[0] if len(kinds) == 1 else f"{kinds[0].split('_')[-1]} ({' or '.join(kinds)}: the same rule)"
    guess = _rival(module, convention, kinds, word, template)
    if len(groups) > 1:
        guess = " or ".join(group[0] for group in groups[1:])
    classed = module.node.class_ if module.node else None
    if classed and any(len(leaf.shape) > 1 for leaf in module.leaves.values()):
        guess = guess or f"something else in a {classed}"
    return Decision(kinds, f"{label}: {f'the name {word}' if word else evidence}", guess)


def _by_word(fitting: list[str], path: Segments) -> tuple[list[str], str]:
    """The kinds that a word of the module's name speaks for, and the word; all of them when none does."""
    named = next((segment for segment in reversed(path) if not segment.isdigit()), "")
    words = {word.lower() for word in _WORD.findall(named)}
    if path and path[-1].isdigit():
        words -= WEAK
    spoken = {kind: words.intersection(known) for kind, known in WORDS.items() if words.intersection(known)}
    chosen = [kind for kind in fitting if kind in spoken or ("norm" in kind and "norm" in spoken)]
    return (chosen, named) if chosen and len(chosen) < len(fitting) else (fitting, "")


def _groups(module: Module, convention: Convention, target: Convention, kinds: list[str]) -> list[tuple[str, ...]]:
    """The kinds, those together that give the same names and bytes."""
    groups: dict[object, list[str]] = {}
    for kind in kinds:
        found = parameters(module, kind, convention)
        assert found is not None
        effect = []
        for parameter, (leaf, axes) in found.items():
            slot = target.slots[kind].get(parameter)
            goal = spelled(slot.axes, len(leaf.shape)) if slot else None
            perm = tuple(axes.index(axis) for axis in goal) if goal else None
            effect.append((leaf.name, slot and (slot.collection, slot.name), perm))
        groups.setdefault(tuple(effect), []).append(kind)
    return [tuple(group) for group in groups.values()]


def _rival(module: Module, convention: Convention, kinds: tuple[str, ...], word: str, template: Module | None) -> str:
    """A kind without a rule that the names and shapes fit as well, or nothing."""
    words = " ".join(module.path).lower()
    if "conv" in kinds:
        found = parameters(module, "conv", convention)
        assert found is not None
        weight, axes = found["weight"]
        out, inner = weight.shape[axes.index("out")], weight.shape[axes.index("in")]
        if convention.name == "torch" and "bias" in found and found["bias"][0].shape[0] % inner:
            return ""  # a transposed convolution's bias is a multiple of its second axis
        if template is not None and out != inner:
            return ""  # the shapes of the template tell them apart
        return RIVALS["conv"]
    if "rms_norm" in kinds and convention.name == "torch" and not word:
        classed = module.node is not None and module.node.class_ is not None and "norm" in module.node.class_.lower()
        normed = any(part in words for part in ("norm", "ln"))
        return "" if classed or normed or template is not None else RIVALS["rms_norm"]
    return ""


def convention_of(entries: Sequence[Entry], tables: Mapping[str, Convention], recorded: str | None) -> str | None:
    """Whose names a tree has: as recorded, or by leaf names that only one framework has.

    None when none or both have them, and when a convention is recorded that has no table.
    """
    if recorded is not None:
        return next((name for name, table in tables.items() if table.name == recorded), None)
    last = {paths.parse(entry.path)[-1] for entry in entries if isinstance(entry, (TensorInfo, Alias)) and entry.path}
    only: dict[str, set[str]] = {}
    for name, table in tables.items():
        own = {slot.name for slots in table.slots.values() for slot in slots.values()} | set(table.unsupported)
        only[name] = own
    shared = set.intersection(*only.values())
    speaking = [name for name, own in only.items() if last & (own - shared)]
    return speaking[0] if len(speaking) == 1 else None
