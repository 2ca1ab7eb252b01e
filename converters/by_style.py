"""A plan whose target names follow from the source's by a style."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ptformat import paths
from ptformat.dtypes import named
from ptformat.paths import Segments
from ptformat.tree import Alias, Entry, Node, TensorInfo

from . import operations as ops
from .conventions import RECURRENT, Slot
from .draft import Draft, contributing
from .infer import Choice, Decision
from .keyed import entries as keyed_entries
from .keyed import numbered
from .layout import named_axes
from .match import cell_to_flax, cell_to_torch, from_hub, is_cell, numbered_root, to_hub
from .operations import Operation
from .plan import Step
from .stacks import Stack
from .survey import Leaf, Module

_SEQUENTIAL = ("torch.nn.modules.container.Sequential", "flax.nnx.Sequential")
_BESIDE = "kernel/scale"  # linen's leaf of a weight norm, in a module beside the layer
ASIDE = "buffers"  # the collection of tensors for which the target's framework has no slot
_COMPACT = "linen-compact"


def fill_in(draft: Draft) -> None:
    """Name and make every target; note the problems."""
    _ByStyle(draft).run()


class _ByStyle:
    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.plan = draft.plan
        self.to_torch = draft.goal.follows == "torch"
        self.to_nnx = draft.goal.follows == "nnx"
        self.from_nnx = draft.table.follows == "nnx" and not self.to_nnx
        self.nodes: dict[str, Node] = {}
        self.aliases: list[tuple[str, list[Leaf], Operation]] = []
        self.places: dict[str, int] = {}  # target path -> where it stands, by the source's rows
        self.layers: dict[str, tuple[tuple[int, ...], dict[tuple[int, ...], Operation]]] = {}  # axes, layers of stacks
        draft.assemble()
        tops = [
            *draft.survey.modules,
            *((*leaf.module, leaf.name) for leaf in draft.survey.loose if not self.aside(leaf)),
        ]
        self.numbered = numbered_root(tops, draft.table.follows)
        self.numbered = self.numbered and not self.listed()
        self.sequences = {path for path, node in draft.survey.nodes.items() if node.class_ in _SEQUENTIAL}
        if self.numbered:
            self.sequences.add(())
        self.cells: set[Segments] = set()
        self.counts: Counter[tuple[Segments, str]] = Counter()
        self.lists: Counter[Segments] = Counter()

    def listed(self) -> bool:
        """Whether nnx's `layers` at the root are a list by that name: a user says so, or the class is no Sequential."""
        root = self.draft.survey.nodes.get(())
        known = root is not None and root.class_ not in (None, "flax.nnx.State", *_SEQUENTIAL)
        said = any(path == "layers" for path, _ in self.draft.request.unstacks)
        return self.draft.table.integers and (known or said)

    def aside(self, leaf: Leaf) -> bool:
        """Whether a leaf of no kind is kept aside, or was."""
        if self.to_torch:
            # In nnx, which has no collections, a module of that name may have parameters of its own.
            own = leaf.entry.role == "parameter" or leaf.module[:1] != (ASIDE,)
            return leaf.collection == ASIDE or (leaf.collection == "" and not own)
        return _is_buffer(leaf) and (self.from_nnx or _class_of(leaf) is None)

    def run(self) -> None:
        draft = self.draft
        decisions = {path: draft.decided(module) for path, module in draft.survey.modules.items()}
        self.cells = {
            path for path, each in decisions.items() if each and each.choice and each.choice.kind in RECURRENT
        }
        self.count_lists()
        for path, module in draft.survey.modules.items():
            decision = decisions[path]
            if decision is not None:
                self.module(module, decision, self.name(path, decision.choice))
        for leaf in draft.survey.loose:
            self.loose(leaf)
        self.stack()
        for value in draft.survey.values:
            shown = draft.shown(value.path)
            draft.problem("unexpected", value.path, f"{shown} is a value, no tensor. Try --drop '{shown}'")
        for step in draft.made.values():
            if any("." in segment for segment in paths.parse(step.target.path)):
                text = f"{step.shown_source} would be {step.shown_target}, a name with a dot in it, which a tree of"
                hint = f"Try --drop '{step.shown_source}'"
                draft.problem("unsupported", step.shown_source, f"{text} modules does not have. {hint}")
        if not draft.problems:
            self.assemble()
            self.tell_way_back()

    def count_lists(self) -> None:
        """How many layers each list that is to be stacked has."""
        modules = [*self.draft.survey.modules, *(leaf.module for leaf in self.draft.survey.loose)]
        names = {self.styled(self.draft.renamed(path), path) for path in modules}
        for rule in self.draft.stacks:
            numbers: dict[Segments, set[int]] = {}
            for name in names:
                if mark := rule.split(name):
                    numbers.setdefault(mark[0], set()).add(mark[1])
            if not numbers:
                self.draft.problem("unused", rule.list, f"--stack '{rule.list}' matches no list of modules")
            for head, found in numbers.items():
                self.lists[head] = len(found)
                if found != set(range(len(found))):
                    shown = self.draft.goal.separator.join(head)
                    text = f"the list {shown} is to be stacked, but has the numbers {sorted(found)}"
                    self.draft.problem("missing", shown, text)
            names = {self.in_stack(rule, name)[0] for name in names}

    def in_stack(self, rule: Stack, name: Segments) -> tuple[Segments, int | None]:
        """Where a rule puts a module, and as which layer; where it stands, and None, when it is of no such list."""
        mark = rule.split(name)
        count = self.lists[mark[0]] if mark else 0
        return (rule.place(name, count) if count else None) or (name, None)

    def name(self, path: Segments, choice: Choice | None = None) -> Segments:
        """The target's module path."""
        renamed = self.draft.renamed(path)
        if choice is not None and choice.kind in RECURRENT:
            if self.to_torch:
                return self.styled(cell_to_torch(renamed), path)
            if self.draft.table.follows == "torch" and is_cell(renamed) and renamed == path:
                head = self.styled(renamed[:-1], path[:-1])
                cells = {(*head, cell[-1]) for cell in self.cells if cell[:-1] == path[:-1]}
                return cell_to_flax((*head, renamed[-1]), cells, self.draft.goal.follows)
        styled = self.styled(renamed, path)
        if self.draft.request.style == _COMPACT and choice is not None and not self.to_torch:
            return self.compact(styled, choice)
        return styled

    def styled(self, renamed: Segments, path: Segments) -> Segments:
        """A renamed path in the target's style; its Sequentials are known by the path that it had."""
        style = self.draft.request.style
        hub = to_hub(renamed, self.draft.table.follows, style, self.numbered)
        sequences = self.sequences if renamed == path else self.sequences & {()}
        if self.draft.table.follows != "torch":
            sequences = {()} if self.numbered else set()
        return from_hub(hub, self.draft.goal.follows, style, sequences)

    def compact(self, path: Segments, choice: Choice) -> Segments:
        """The name that a compact module gives an unnamed layer: its class and a number for each class."""
        classes = choice.form.classes
        name = classes[0].rpartition(".")[2] if classes else "Dense" if choice.kind.endswith("linear") else choice.kind
        at = path[:-1]
        self.counts[at, name] += 1
        return (*at, f"{name}_{self.counts[at, name] - 1}")

    def module(self, module: Module, decision: Decision, at: Segments) -> None:
        draft = self.draft
        choice = decision.choice
        assert choice is not None
        if not at and any(slot.name == _BESIDE for slot in choice.made):
            text = (
                f"the whole model is a {choice.kind}; linen keeps the magnitude under the layer's name, and it has none"
            )
            draft.problem("unsupported", "the root", f"{text}. Put it into a module")
            return
        if len(decision.kinds) == 1 and not decision.guess and not draft.stacks:
            where = paths.render((*filter(None, [draft.goal.home]), *at))
            self.nodes[where] = Node(where, "part" if self.to_torch else "map", module=choice.kind)
        first = min(draft.row(leaf.made) for leaf in choice.fit.held.values())
        slots = (
            list(choice.made) if self.to_torch else sorted(choice.made, key=lambda slot: draft.row(choice.made[slot]))
        )
        for slot in slots:
            path = self.path(at, slot, choice)
            self.places.setdefault(path, first)
            leaves = contributing(choice.made[slot], choice.fit.held)
            self.carry(path, leaves, choice.made[slot], decision, slot)
        statistics = [slot for slot in choice.form.slots if slot.role == "buffer" and slot.fill is None]
        for slot in choice.form.slots:
            if slot.fill is not None and slot not in choice.made and statistics and set(statistics) <= set(choice.made):
                path = self.path(at, slot, choice)
                self.places.setdefault(path, first)
                draft.fill(TensorInfo(path, slot.dtype or "", (), role=slot.role), slot.fill)
            elif slot not in choice.made and slot.holds and set(slot.holds) <= set(choice.fit.form.zero):
                path = self.path(at, slot, choice)
                self.places.setdefault(path, first)
                shape = tuple(choice.sizes[name] for dim in slot.dims for name in dim)
                dtype = next(leaf.dtype for leaf in choice.fit.held.values())
                draft.fill(TensorInfo(path, dtype, shape, role=slot.role), 0, "the source's layer has none: 0")

    def path(self, at: Segments, slot: Slot, choice: Choice) -> str:
        """A slot's path in the target."""
        collection = tuple(filter(None, [slot.collection]))
        if self.to_torch and is_cell(at) and choice.kind in RECURRENT:
            return paths.render((*at[:-1], f"{slot.name}_{at[-1]}"))
        if slot.name == _BESIDE:
            number = self.counts[at[:-1], slot.name]
            self.counts[at[:-1], slot.name] += 1
            return paths.render((*collection, *at[:-1], f"WeightNorm_{number}", f"{at[-1]}/{slot.name}"))
        return paths.render((*collection, *at, *slot.segments))

    def carry(self, path: str, leaves: list[Leaf], made: Operation, decision: Decision, slot: Slot | None) -> None:
        """Note one target tensor: an alias, a layer of a stack, or a step."""
        draft = self.draft
        stacked = self.stacked(path)
        if stacked is not None:
            place, numbers, axes = stacked
            self.places.setdefault(place, self.places.pop(path))
            if axes:
                self.layers.setdefault(place, (axes, {}))[1][numbers] = made
                if any(numbers):
                    return
            path = place
        elif leaves and all(leaf.tied for leaf in leaves):
            self.aliases.append((path, leaves, made))
            return
        made = draft.cast(path, made)
        info = draft.info(path, made, leaves, slot)
        if self.to_nnx:
            info = _variable(info, slot, leaves, bool(leaves) and slot is None and self.aside(leaves[0]))
        draft.step(info, made, decision, slot, source_axes(made, leaves, decision))

    def stacked(self, path: str) -> tuple[str, tuple[int, ...], tuple[int, ...]] | None:
        """Where a tensor of lists that are to be stacked goes: (path, its number in each stack, their axes)."""
        segments = paths.parse(path)
        collections = 1 if self.draft.goal.collections else 0
        name = segments[collections:]
        numbers: list[int] = []
        axes: list[int] = []
        for rule in self.draft.stacks:  # one after the other: a list of stacks is stacked again
            name, number = self.in_stack(rule, name)
            if number is not None:
                numbers.append(number)
                axes.append(rule.axis)
        if name == segments[collections:]:
            return None
        return paths.render((*segments[:collections], *name)), tuple(numbers), tuple(axes)

    def stack(self) -> None:
        """Make one tensor of the layers that are stacked in it."""
        draft = self.draft
        for path, (axes, layers) in self.layers.items():
            step = draft.made.pop(path, None)
            try:
                made = _stacked(layers, axes)
            except ValueError as error:
                draft.problem("shape", path, f"{draft.shown_goal(path)} cannot be stacked: {error}")
                continue
            if step is not None:
                target = replace(step.target, shape=made.shape, axes=None)
                draft.step(target, made, Decision(None, step.evidence, step.guess))

    def loose(self, leaf: Leaf) -> None:
        """A leaf of no kind: a parameter keeps its layout under its module's name, a buffer stands aside."""
        draft = self.draft
        if what := draft.ruleless(leaf):
            draft.problem("unsupported", leaf.path, f"{draft.of(leaf)} belongs to {what}: there is no rule for it")
            return
        decision = Decision(None, "of no kind, as it is")
        if self.to_torch:
            if leaf.collection not in (draft.table.home, ASIDE):
                text = f"{draft.of(leaf)}: torch has no place for the collection {leaf.collection}"
                draft.problem("unexpected", leaf.path, f"{text}. Try --drop '{leaf.collection}/*'")
                return
            if leaf.entry.role == "state":
                text = f"{draft.of(leaf)} is a {_class_of(leaf) or 'state'}, for which torch has no place"
                draft.problem("unexpected", leaf.path, f"{text}. Try --drop '{draft.shown(leaf.path)}'")
                return
            aside = self.aside(leaf)
            module = leaf.module[1 if aside and not leaf.collection else 0 :] if aside else self.name(leaf.module)
            path = paths.render((*module, leaf.name))
        elif self.aside(leaf):
            was = self.from_nnx and leaf.module[:1] == (ASIDE,)
            path = paths.render((ASIDE, *leaf.module[was:], leaf.name))
            decision = Decision(None, "a buffer, as it is")
            self.plan.kept.append(f"{draft.shown(leaf.path)} stands aside as {draft.shown_goal(path)}")
        else:
            path = paths.render((*filter(None, [draft.goal.home]), *self.name(leaf.module), leaf.name))
        self.places[path] = draft.row(leaf.made)
        self.carry(path, [leaf], leaf.made, decision, None)

    def assemble(self) -> None:
        """Entries and steps: collection by collection, modules where their first leaf stands in the source."""
        goal = self.draft.goal
        rank = {collection: place for place, collection in enumerate(goal.collections)}

        def place(step: Step) -> tuple[int, int]:
            collection = paths.parse(step.target.path)[0] if rank else ""
            return rank.get(collection, len(rank)), self.places[step.target.path]

        steps = sorted(self.draft.made.values(), key=place)
        self.plan.steps = {step.target.path: step for step in steps}
        entries = self.plan.entries
        if self.to_torch:
            entries.append(Node("", "flat", module=self.nodes.pop("").module if "" in self.nodes else None))
        elif rank and not any(step.target.path.startswith(f"{goal.home}.") for step in steps):
            entries.append(Node(goal.home, "map"))
        elif self.to_nnx and "" in self.nodes:
            entries.append(self.nodes.pop(""))
        for step in steps:
            above = paths.parent(step.target.path)
            while above:
                if node := self.nodes.pop(above, None):
                    entries.append(node)
                above = paths.parent(above)
            entries.append(step.target)
        for path, leaves, made in self.aliases:
            if rank or not self.tie(path, leaves, made):
                self.plan.collapsed += [leaf.entry for leaf in leaves if isinstance(leaf.entry, Alias)]
        self.draft.tell_collapsed()
        _nest(entries)
        if self.to_nnx:
            tensors = {
                numbered(paths.parse(each.path)): each for each in entries if isinstance(each, (TensorInfo, Alias))
            }
            entries[:] = keyed_entries(tensors, [each for each in entries if isinstance(each, Node)])

    def tie(self, path: str, leaves: list[Leaf], made: Operation) -> bool:
        """Enter a tie; in nnx only one that shares a Variable, axes and all."""
        draft = self.draft
        alias = draft.alias(path, made)
        if self.to_nnx and (alias is None or alias.perm is not None):
            return False
        if alias is None:
            leaf = leaves[0]
            assert isinstance(leaf.entry, Alias)
            text = f"{draft.of(leaf)} is tied to {draft.shown(leaf.entry.target)}, which has no target"
            draft.problem("missing", leaf.path, text)
            return False
        return draft.tie(path, leaves[0], made)

    def tell_way_back(self) -> None:
        """What only a .ptf, which records the conversion, brings back."""
        sink = self.draft.request.sink
        if sink is None or sink.records:
            return
        kept = "a .ptf records it; else give a template on the way back"
        if self.plan.collapsed:
            self.plan.notes.append(f"the tie is not in a {sink.name} file: {kept}")
        if not self.to_torch and self.draft.table.follows == "torch":
            changed = self.first_changed()
            if changed is not None:
                self.plan.notes.append(f"the way back would call {changed[0]} {changed[1]}: {kept}")

    def first_changed(self) -> tuple[str, str] | None:
        """A module whose name would not come back from the target's names alone, and what it would become."""
        goal = self.draft.goal.follows
        names = {path: self.name(path) for path in self.draft.survey.modules if path not in self.cells}
        root = numbered_root(names.values(), goal)
        for path, name in names.items():
            back = to_hub(name, goal, self.draft.request.style, root)
            if back != path:
                return ".".join(path), ".".join(back)
        return None


def _stacked(layers: dict[tuple[int, ...], Operation], axes: tuple[int, ...]) -> Operation:
    """One tensor of layers by their numbers, the first of which is stacked first."""
    if not axes:
        return layers[()]
    groups: dict[tuple[int, ...], dict[int, Operation]] = {}
    for (number, *rest), made in layers.items():
        groups.setdefault(tuple(rest), {})[number] = made
    for group in groups.values():
        if missing := sorted(set(range(max(group) + 1)) - set(group)):
            raise ValueError(f"layers {missing} have none")
    return _stacked(
        {rest: ops.stack([group[i] for i in range(len(group))], axes[0]) for rest, group in groups.items()}, axes[1:]
    )


def source_axes(made: Operation, leaves: list[Leaf], decision: Decision) -> tuple[str, ...] | None:
    """What the axes of the one source mean."""
    if decision.choice is None or len(leaves) != 1:
        return None
    slot = next((slot for slot, leaf in decision.choice.fit.held.items() if leaf is leaves[0]), None)
    given = ops.sources(made)
    plain = len(given) == 1 and isinstance(leaves[0].made, ops.Given)
    return named_axes(slot, len(leaves[0].shape)) if slot and plain else None


def _variable(info: TensorInfo, slot: Slot | None, leaves: list[Leaf], aside: bool) -> TensorInfo:
    """A tensor as nnx keeps it: in a Variable of that class; what stands aside is nothing that is trained."""
    if slot is not None and not slot.variable:
        return info
    name = slot.variable if slot is not None else "BatchStat" if aside else "Param"
    own = _class_of(leaves[0]) if leaves and slot is None else None
    return replace(info, class_=own or f"flax.nnx.{name}", role="buffer" if name == "BatchStat" else "parameter")


def _class_of(leaf: Leaf) -> str | None:
    return leaf.entry.class_ if isinstance(leaf.entry, TensorInfo) else None


def _nest(entries: list[Entry]) -> None:
    """Put a module's node before what is beneath it, wherever its own first tensor stands."""
    first: dict[str, int] = {}
    for row, entry in enumerate(entries):
        path = entry.path
        while path:
            path = paths.parent(path)
            first.setdefault(path, row)
    nodes = {row: entry for row, entry in enumerate(entries) if isinstance(entry, Node)}
    late = {row: first[node.path] for row, node in nodes.items() if first.get(node.path, row) < row}
    depth = {row: len(paths.parse(nodes[row].path)) for row in late}
    order = sorted(range(len(entries)), key=lambda row: (late.get(row, row), row not in late, depth.get(row, 0)))
    entries[:] = [entries[row] for row in order]


def _is_buffer(leaf: Leaf) -> bool:
    """A recorded buffer; else what is no float, or a table that models rebuild."""
    if leaf.entry.role is not None:
        return leaf.entry.role != "parameter"
    return not named(leaf.dtype).floating or leaf.name in ("inv_freq", "position_ids")
