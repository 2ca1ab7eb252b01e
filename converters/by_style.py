"""A plan whose target names follow from the source's by a style."""

from __future__ import annotations

from ptformat import paths
from ptformat.dtypes import named
from ptformat.paths import Segments
from ptformat.tree import Alias, Entry, Node, TensorInfo

from .conventions import Axes, Slot
from .draft import Draft
from .infer import Decision, Leaf, Module
from .match import numbered, to_flax, to_torch
from .plan import Step, identity

_SEQUENTIAL = "torch.nn.modules.container.Sequential"
ASIDE = "buffers"  # the collection of tensors for which the target's framework has no slot


def fill_in(draft: Draft) -> None:
    """Name and make every target; note the problems."""
    _ByStyle(draft).run()


class _ByStyle:
    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.plan = draft.plan
        self.to_torch = draft.plan.goal == "torch"
        self.nodes: dict[str, Node] = {}
        self.aliases: list[tuple[Leaf, str, tuple[int, ...]]] = []
        self.places: dict[str, int] = {}  # target path -> where it stands, by the source's rows
        self.rows = {entry.path: row for row, entry in enumerate(draft.source.entries)}
        tops = [
            *draft.survey.modules,
            *((*leaf.module, leaf.name) for leaf in draft.survey.loose if not self.aside(leaf)),
        ]
        self.numbered = numbered(tops, r"layers_\d+" if self.to_torch else r"\d+")
        self.sequences = {path for path, node in draft.survey.nodes.items() if node.class_ == _SEQUENTIAL}
        if self.numbered:
            self.sequences.add(())

    def aside(self, leaf: Leaf) -> bool:
        """Whether a leaf of no kind is kept aside, or was."""
        return leaf.collection == ASIDE if self.to_torch else _is_buffer(leaf)

    def run(self) -> None:
        draft = self.draft
        for path, module in draft.survey.modules.items():
            if decision := draft.decided(module):
                self.module(module, decision, self.name(path))
        for leaf in draft.survey.loose:
            self.loose(leaf)
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

    def name(self, path: Segments) -> Segments:
        """The target's module path."""
        renamed = self.draft.renamed(path)
        style = self.draft.request.style
        if self.to_torch:
            return to_torch(renamed, style, self.numbered)
        return to_flax(renamed, style, self.sequences if renamed == path else self.sequences & {()})

    def module(self, module: Module, decision: Decision, at: Segments) -> None:
        draft = self.draft
        found = draft.parameters(module, decision)
        if len(decision.kinds) == 1 and not decision.guess:
            where = paths.render((*filter(None, [draft.goal.home]), *at))
            self.nodes[where] = Node(where, "map" if draft.goal.collections else "part", module=decision.kind)
        slots = draft.goal.slots[decision.kind]
        first = min(self.rows[leaf.path] for leaf, _ in found.values())
        # torch's modules list weight before bias; linen's dicts are taken as they come.
        for parameter in [*slots, *found] if self.to_torch else found:
            slot = slots.get(parameter)
            path = paths.render((*filter(None, [slot.collection]), *at, slot.name)) if slot else ""
            self.places.setdefault(path, first)
            if slot is None:
                draft.drop_slotless(found[parameter][0], draft.table.slots[decision.kind][parameter])
            elif parameter in found:
                leaf, axes = found.pop(parameter) if self.to_torch else found[parameter]
                self.carry(leaf, path, axes, slot, decision, parameter)
            elif slot.fill is not None:
                draft.fill(TensorInfo(path, slot.dtype or "", (), role=slot.role), slot)

    def carry(self, leaf: Leaf, path: str, axes: Axes, slot: Slot, decision: Decision, parameter: str) -> None:
        perm = self.draft.permutation(axes, slot)
        if isinstance(leaf.entry, Alias):
            self.aliases.append((leaf, path, perm))
        else:
            self.draft.step(leaf, self.draft.info(leaf, path, perm, slot, axes), perm, decision, parameter, axes)

    def loose(self, leaf: Leaf) -> None:
        """A leaf of no kind: a parameter keeps its layout under its module's name, a buffer stands aside."""
        draft = self.draft
        if what := draft.ruleless(leaf):
            draft.problem("unsupported", leaf.path, f"{draft.of(leaf)} belongs to {what}: there is no rule for it yet")
            return
        perm = identity(len(leaf.shape))
        decision = Decision((), "of no kind, as it is")
        if self.to_torch:
            if leaf.collection not in (draft.table.home, ASIDE):
                text = f"{draft.of(leaf)}: torch has no place for the collection {leaf.collection}"
                draft.problem("unexpected", leaf.path, f"{text}. Try --drop '{leaf.collection}/*'")
                return
            module = leaf.module if self.aside(leaf) else self.name(leaf.module)
            path = paths.render((*module, leaf.name))
        elif self.aside(leaf):
            path = paths.render((ASIDE, *leaf.module, leaf.name))
            decision = Decision((), "a buffer, as it is")
            self.plan.kept.append(f"{draft.shown(leaf.path)} stands aside as {draft.shown_goal(path)}")
        else:
            path = paths.render((draft.goal.home, *self.name(leaf.module), leaf.name))
        self.places[path] = self.rows[leaf.path]
        if isinstance(leaf.entry, Alias):
            self.aliases.append((leaf, path, perm))
        else:
            draft.step(leaf, draft.info(leaf, path, perm, None, None), perm, decision, "", None)

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
        if not rank:
            entries.append(Node("", "flat", module=self.nodes.pop("").module if "" in self.nodes else None))
        elif not any(step.target.path.startswith(f"{goal.home}.") for step in steps):
            entries.append(Node(goal.home, "map"))
        for step in steps:
            if node := self.nodes.pop(paths.parent(step.target.path), None):
                entries.append(node)
            entries.append(step.target)
        for leaf, path, perm in self.aliases:
            assert isinstance(leaf.entry, Alias)
            if rank:
                self.plan.collapsed.append(leaf.entry)
            else:
                self.draft.tie(leaf, path, perm)
        self.draft.tell_collapsed()
        _nest(entries)

    def tell_way_back(self) -> None:
        """What only a .ptf, which records the conversion, brings back."""
        sink = self.draft.request.sink
        if sink is None or sink.records:
            return
        kept = "a .ptf records it; else give a template on the way back"
        if self.plan.collapsed:
            self.plan.notes.append(f"the tie is not in a {sink.name} file: {kept}")
        if not self.to_torch:
            changed = self.first_changed()
            if changed is not None:
                self.plan.notes.append(f"the way back would call {changed[0]} {changed[1]}: {kept}")

    def first_changed(self) -> tuple[str, str] | None:
        """A module whose name would not come back from the target's names alone, and what it would become."""
        names = {path: self.name(path) for path in self.draft.survey.modules}
        root = numbered(names.values(), r"layers_\d+")
        for path, name in names.items():
            back = to_torch(name, self.draft.request.style, root)
            if back != path:
                return ".".join(path), ".".join(back)
        return None


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
    order = sorted(range(len(entries)), key=lambda row: (late.get(row, row), row not in late))
    entries[:] = [entries[row] for row in order]


def _is_buffer(leaf: Leaf) -> bool:
    """A recorded buffer; else what is no float, or a table that models rebuild."""
    if leaf.entry.role is not None:
        return leaf.entry.role != "parameter"
    return not named(leaf.dtype).floating or leaf.name in ("inv_freq", "position_ids")
