"""The leaves and nodes of a tree while it is edited, and the entries that come of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ptformat import paths
from ptformat.tree import Alias, Entry, Node, TensorInfo, Value

from .match import RenameError, Renames
from .plan import compose

Report = Callable[[str, str, str], None]  # of kind, path and text of a problem
Perm = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Shared:
    """What stands behind a path: names of one key are one tensor.

    Attributes:
        key: Of the tensor.
        info: What the source says of it.
        perm: How its axes are permuted under this path.
        facts: Axes, role and trainable of this path, its own or taken over.
    """

    key: str
    info: TensorInfo
    perm: Perm
    facts: Mapping[str, Any]

    def apart(self, path: str) -> Shared:
        """The same, as a tensor of its own."""
        return replace(self, key=f"{path}\n")


class Leaves:
    """A tree whose leaves can be dropped, tied and untied.

    Attributes:
        entries: Of the source, in order.
        before: The leaves of the source.
        paths: The leaves that are left, in order.
        shared: Path -> what stands behind it, of tensors and aliases.
        notes: What changed and was not asked for.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.before = tuple(entry.path for entry in entries if not isinstance(entry, Node))
        self.paths = list(self.before)
        self.shared: dict[str, Shared] = {}
        self.notes: list[str] = []
        for entry in entries:
            if isinstance(entry, TensorInfo):
                self.shared[entry.path] = Shared(entry.path, entry, None, _facts(entry))
            elif isinstance(entry, Alias):
                self.shared[entry.path] = _through(entry, self.shared[entry.target])

    def shape(self, path: str) -> tuple[int, ...]:
        """Of the tensor as it is under a path."""
        return _permuted(self.shared[path].info.shape, self.shared[path].perm)

    def names(self, path: str) -> list[str]:
        """All paths of the tensor at one."""
        key = self.shared[path].key
        return [name for name, shared in self.shared.items() if shared.key == key]

    def join(self, left: str, right: str) -> None:
        """Make one tensor of two that are equal."""
        a, b = self.shared[left], self.shared[right]
        for name in self.names(right):
            each = self.shared[name]
            perm = each.perm
            if a.perm != b.perm:
                straight = tuple(range(len(a.info.shape)))
                back = tuple((b.perm or straight).index(axis) for axis in straight)
                perm = compose(compose(a.perm or straight, back), each.perm or straight)
            self.shared[name] = Shared(a.key, a.info, perm, each.facts)

    def remove(self, dropped: Iterable[str]) -> None:
        """Take leaves out."""
        gone = set(dropped)
        self.paths = [path for path in self.paths if path not in gone]
        self.shared = {path: shared for path, shared in self.shared.items() if path not in gone}


def _facts(entry: TensorInfo | Alias) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in ("axes", "role", "trainable")}


def _through(alias: Alias, target: Shared) -> Shared:
    own = {name: value for name, value in _facts(alias).items() if value is not None}
    axes = target.facts["axes"]
    taken = {**target.facts, "axes": _permuted(axes, alias.perm) if axes else axes}
    return Shared(target.key, target.info, alias.perm, taken | own)


def _permuted(items: tuple[Any, ...], perm: Perm) -> tuple[Any, ...]:
    return items if perm is None else tuple(items[i] for i in perm)


def emitted(
    leaves: Leaves, rules: Sequence[tuple[str, str]], kinds: Mapping[str, str], problem: Report
) -> tuple[dict[str, str], list[Entry]]:
    """(old path -> new path of the leaves that have another, the entries of the edited tree in order).

    Args:
        leaves: What is left of the source.
        rules: (regex, new) pairs.
        kinds: Key of a tensor -> its new type.
        problem: Called for each rule that does not work out.
    """
    new = _renamed(leaves, rules, problem)
    nodes = _nodes(leaves, new, rules, problem)
    heads: dict[str, TensorInfo] = {}  # key -> the tensor, at its first name
    orders: dict[str, Perm] = {}
    old = {entry.path: entry for entry in leaves.entries if isinstance(entry, Value)}
    bodies: list[Entry] = []
    for path in leaves.paths:
        if path in old:
            bodies.append(replace(old[path], path=new[path]))
            continue
        shared = leaves.shared[path]
        if shared.key not in heads:
            shape = _permuted(shared.info.shape, shared.perm)
            dtype = kinds.get(shared.key, shared.info.dtype)
            head = TensorInfo(new[path], dtype, shape, class_=shared.info.class_, attrs=shared.info.attrs)
            heads[shared.key] = head = replace(head, **shared.facts)
            orders[shared.key] = shared.perm
            bodies.append(head)
        else:
            bodies.append(_alias(new[path], heads[shared.key], shared, orders[shared.key]))
    entries = list(_ordered(bodies, nodes, leaves, new))
    entries = _mended(entries, leaves.notes)
    return {path: there for path, there in new.items() if path != there}, entries


def _alias(path: str, head: TensorInfo, shared: Shared, order: Perm) -> Alias:
    """A further name of a tensor; it does not repeat what it takes over."""
    perm = None
    if order != shared.perm:
        straight = tuple(range(len(head.shape)))
        first = order or straight
        found = tuple(first.index(axis) for axis in shared.perm or straight)
        perm = None if found == straight else found
    taken = {**_facts(head), "axes": _permuted(head.axes, perm) if head.axes else None}
    own = {name: value for name, value in shared.facts.items() if value != taken[name]}
    return Alias(path, head.path, perm, **own)


def _renamed(leaves: Leaves, rules: Sequence[tuple[str, str]], problem: Report) -> dict[str, str]:
    """Old path -> new path of every leaf that is left."""
    rename = Renames(rules, ".")
    new: dict[str, str] = {}
    for path in leaves.paths:
        new[path] = path
        try:
            segments = paths.parse(path)
            if (moved := rename(segments)) != segments:
                new[path] = paths.render(moved)
        except RenameError as error:
            problem("ambiguous", path, str(error))
    for regex, text in rules:
        if regex not in rename.used:
            problem("unused", regex, f"--rename '{regex}={text}' matches no run of whole segments")
    if any(isinstance(entry, Node) and (entry.path, entry.form) == ("", "flat") for entry in leaves.entries):
        keys = {path: paths.join_flat(paths.parse(there)) for path, there in new.items()}
        split = paths.split_flat(list(keys.values()))  # which dots divide depends on what other keys there are
        new = {path: paths.render(split[key]) for path, key in keys.items()}
    first: dict[str, str] = {}
    for path, there in new.items():
        if first.setdefault(there, path) != path:
            problem("ambiguous", path, f"{first[there]} and {path} would both be {there}")
    return new


def _nodes(
    leaves: Leaves, new: Mapping[str, str], rules: Sequence[tuple[str, str]], problem: Report
) -> dict[str, tuple[str, Node]]:
    """New path -> (old path, node) of the nodes that are left: those that hold something, or never did."""
    held_before, held_now = _above(leaves.before), _above(new.values())
    rename = Renames(rules, ".")
    nodes: dict[str, tuple[str, Node]] = {}
    for entry in leaves.entries:
        if not isinstance(entry, Node):
            continue
        try:
            segments = paths.parse(entry.path)
            there = entry.path if (moved := rename(segments)) == segments else paths.render(moved)
        except RenameError:
            continue  # said of the leaves
        if there in held_now or entry.path not in held_before:
            node = replace(entry, path=there)
            if entry.keys:
                node = replace(node, keys=_keys(leaves, new, entry, there, problem))
            nodes.setdefault(there, (entry.path, node))
    return nodes


def _keys(leaves: Leaves, new: Mapping[str, str], node: Node, there: str, problem: Report) -> tuple[Any, ...]:
    """The true keys of the children that are left; the labels that stand for them in paths are not renamed."""
    depth = len(paths.parse(node.path))
    labels: dict[str, bool] = {}  # label -> whether anything of it is left
    for entry in leaves.entries:
        segments = paths.parse(entry.path)
        if len(segments) <= depth or paths.render(segments[:depth]) != node.path:
            continue
        label = segments[depth]
        labels.setdefault(label, False)
        if entry.path in new:
            labels[label] = True
            if paths.parse(new[entry.path])[: depth + 1] != (*paths.parse(there), label):
                text = f"{entry.path}: {node.path or 'the root'} has keys that are no strings; they are not renamed"
                problem("unsupported", entry.path, text)
        elif isinstance(entry, Node) and not any(path.startswith(f"{entry.path}.") for path in leaves.before):
            labels[label] = True
    assert node.keys is not None
    return tuple(key for key, left in zip(node.keys, labels.values(), strict=True) if left)


def _above(leaves: Iterable[str]) -> set[str]:
    """All paths that have one of these beneath them."""
    found: set[str] = set()
    for path in leaves:
        while path:
            path = paths.parent(path)
            if path in found:
                break
            found.add(path)
    return found


def _ordered(
    bodies: Sequence[Entry], nodes: Mapping[str, tuple[str, Node]], leaves: Leaves, new: Mapping[str, str]
) -> Iterator[Entry]:
    """Leaves in the source's order, each node before what is beneath it."""
    by_path = {entry.path: entry for entry in bodies}
    by_old = {old: there for there, (old, _) in nodes.items()}
    done: set[str] = set()
    for entry in leaves.entries:
        there = by_old.get(entry.path) if isinstance(entry, Node) else new.get(entry.path)
        if there is None:
            continue
        above = [there]
        while above[-1] and paths.parent(above[-1]) not in done:
            above.append(paths.parent(above[-1]))
        for path in reversed(above):
            if path in nodes and path not in done:
                done.add(path)
                yield nodes[path][1]
        if not isinstance(entry, Node):
            yield by_path[there]


def _mended(entries: list[Entry], notes: list[str]) -> list[Entry]:
    """Nodes that fit their children: a list with a gap is a map, keys are those that are left."""
    children: dict[str, dict[str, None]] = {e.path: {} for e in entries if isinstance(e, Node)}
    for entry in entries:
        path = entry.path
        while path:
            above = paths.parent(path)
            if above in children:
                if path in children[above]:
                    break
                children[above][path] = None
            path = above
    result: list[Entry] = []
    flats = [e.path for e in entries if isinstance(e, Node) and e.form == "flat"]
    for entry in entries:
        if not isinstance(entry, Node):
            result.append(entry)
            continue
        found = [paths.parse(child)[-1] for child in children[entry.path]]
        if entry.form in ("list", "tuple") and found != [str(i) for i in range(len(found))]:
            notes.append(f"{entry.path or 'the root'} was a {entry.form} and is a map now: its items are {found[:4]}")
            entry = replace(entry, form="map")
        said = entry.module or entry.class_ or entry.attrs
        inside = any(entry.path != flat and (not flat or entry.path.startswith(f"{flat}.")) for flat in flats)
        if entry.form != "map" or said or not found or inside:
            result.append(entry)
    return result
