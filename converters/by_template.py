"""A plan whose target is a template: its names, its order, its root, every place filled and nothing left over."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ptformat import paths
from ptformat.paths import Segments
from ptformat.tree import Alias, Node, TensorInfo, Value

from .content import Source
from .conventions import Axes, Slot
from .draft import Draft
from .infer import Decision, Leaf, Module, Survey, survey
from .match import match
from .plan import identity


def fill_in(draft: Draft, template: Source) -> None:
    """Pair the source's modules with the template's by name, make every target; note the problems."""
    _ByTemplate(draft, template).run()


class _ByTemplate:
    def __init__(self, draft: Draft, template: Source) -> None:
        self.draft = draft
        self.template = template
        self.there = survey(template.entries, draft.goal)
        self.accounted: set[str] = set()  # source paths that have a place, or whose problem is told
        self.filled: set[str] = set()  # likewise, template paths
        self.ties: dict[str, tuple[Leaf, tuple[int, ...]]] = {}  # template path -> the source's alias for it
        self.tied: dict[str, tuple[Leaf, tuple[int, ...]]] = {}  # the template's alias -> what the source has there
        self.unpaired: tuple[list[Leaf], list[Leaf]] = [], []  # biases of the modules without a partner, on either side

    def run(self) -> None:
        draft = self.draft
        names = {draft.renamed(path): path for path in draft.survey.modules}
        matching = match(names, self.there.modules)
        self.report_ambiguous(matching.ambiguous)
        given = {*matching.pairs.values()}
        self.unpaired = (
            [
                leaf
                for name, path in names.items()
                if name not in matching.pairs
                for leaf in _biases(draft.survey, path)
            ],
            [leaf for path in self.there.modules if path not in given for leaf in _biases(self.there, path)],
        )
        for mine, theirs in matching.pairs.items():
            module, place = draft.survey.modules[names[mine]], self.there.modules[theirs]
            decision = draft.decided(module, place)
            if decision is not None:
                self.module(module, place, decision)
            else:
                self.accounted.update(leaf.path for leaf in module.leaves.values())
                self.filled.update(leaf.path for leaf in place.leaves.values())
        self.loose()
        self.take_stock()

    def report_ambiguous(self, ambiguous: Sequence[tuple[list[Segments], list[Segments]]]) -> None:
        for mine, theirs in ambiguous:
            left = ", ".join(self.draft.table.separator.join(path) for path in mine)
            right = ", ".join(self.draft.goal.separator.join(path) for path in theirs)
            text = f"{left} may be any of {right} in the template. Say --rename 'REGEX=NEW'"
            self.draft.problem("ambiguous", left, text)

    def module(self, module: Module, place: Module, decision: Decision) -> None:
        found = self.draft.parameters(module, decision)
        slots = self.draft.goal.slots[decision.kind]
        for parameter, (leaf, axes) in found.items():
            slot = slots.get(parameter)
            if slot is None:
                self.draft.drop_slotless(leaf, self.draft.table.slots[decision.kind][parameter])
                self.accounted.add(leaf.path)
            elif there := place.leaves.get((slot.collection, slot.name)):
                self.into(leaf, there, self.draft.permutation(axes, slot), axes, slot, decision, parameter)
        for parameter, slot in slots.items():
            there = place.leaves.get((slot.collection, slot.name))
            if parameter not in found and slot.fill is not None and there and isinstance(there.entry, TensorInfo):
                self.draft.fill(there.entry, slot)
                self.filled.add(there.path)

    def loose(self) -> None:
        lone, places = self.unpaired
        mine = {(*self.draft.renamed(leaf.module), leaf.name): leaf for leaf in [*self.draft.survey.loose, *lone]}
        theirs = {(*leaf.module, leaf.name): leaf for leaf in [*self.there.loose, *places]}
        matching = match(mine, theirs)
        self.report_ambiguous(matching.ambiguous)
        decision = Decision((), "of no kind, as it is")
        for left, right in matching.pairs.items():
            leaf = mine[left]
            if what := self.draft.ruleless(leaf):
                text = f"{self.draft.of(leaf)} belongs to {what}: there is no rule for it yet"
                self.draft.problem("unsupported", leaf.path, text)
            self.into(leaf, theirs[right], identity(len(leaf.shape)), None, None, decision, "")

    def into(
        self,
        leaf: Leaf,
        there: Leaf,
        perm: tuple[int, ...],
        axes: Axes | None,
        slot: Slot | None,
        decision: Decision,
        parameter: str,
    ) -> None:
        """One leaf into its place in the template, if shape and type fit."""
        draft = self.draft
        self.accounted.add(leaf.path)
        self.filled.add(there.path)
        shown = draft.shown_goal(there.path)
        shape = tuple(leaf.shape[i] for i in perm)
        if shape != there.shape:
            moved = "" if perm == identity(len(perm)) else f", as {shape},"
            draft.problem("shape", leaf.path, f"{draft.of(leaf)}{moved} → {shown} is {there.shape} in the template")
        if leaf.dtype != there.dtype:
            text = f"{draft.of(leaf)} is {leaf.dtype} → {shown} is {there.dtype} in the template; nothing is cast"
            draft.problem("dtype", leaf.path, text)
        if isinstance(there.entry, Alias):
            self.tied[there.path] = leaf, perm
            return
        if isinstance(leaf.entry, Alias):
            self.ties[there.path] = leaf, perm
            return
        entry, info = there.entry, draft.info(leaf, there.path, perm, slot, axes)
        info = replace(
            info,
            shape=there.shape,
            axes=entry.axes or info.axes,
            role=entry.role or info.role,
            trainable=entry.trainable if info.trainable is None else info.trainable,
            class_=entry.class_,
            attrs=entry.attrs,
        )
        draft.step(leaf, info, perm, decision, parameter, axes)

    def take_stock(self) -> None:
        """Entries in the template's order; what is left over on either side is a problem."""
        draft, plan = self.draft, self.draft.plan
        left = self.left_over()
        lacking: list[TensorInfo] = []
        for entry in self.template.entries:
            if isinstance(entry, Node):
                plan.entries.append(entry)
            elif isinstance(entry, Alias):
                self.tie_as_template(entry)
            elif isinstance(entry, Value):
                text = f"{draft.shown_goal(entry.path)} is a value in the template, for which the source has none"
                draft.problem("missing", entry.path, text)
            elif entry.path in self.ties:
                leaf, perm = self.ties[entry.path]
                draft.tie(leaf, entry.path, perm)
            elif step := draft.made.get(entry.path):
                plan.entries.append(step.target)
                plan.steps[entry.path] = step
            elif entry.path not in self.filled:
                lacking.append(entry)
        self.report_left_over(left, lacking)
        self.put_targets_first()

    def left_over(self) -> list[Leaf]:
        """Leaves of the source without a place. An alias among them is collapsed into its target."""
        leaves = [leaf for module in self.draft.survey.modules.values() for leaf in module.leaves.values()]
        left = [leaf for leaf in [*leaves, *self.draft.survey.loose] if leaf.path not in self.accounted]
        self.draft.plan.collapsed += [leaf.entry for leaf in left if isinstance(leaf.entry, Alias)]
        self.draft.tell_collapsed()
        return [leaf for leaf in left if not isinstance(leaf.entry, Alias)]

    def report_left_over(self, left: list[Leaf], lacking: list[TensorInfo]) -> None:
        draft = self.draft
        places = {draft.shown_goal(entry.path): entry for entry in lacking}
        sources = {draft.shown(leaf.path): leaf for leaf in left}
        only = self.only_pair(left, lacking)
        for shown, leaf in sources.items():
            text = f"{shown} {leaf.shape} has no target"
            if near := _nearest(shown, places):
                text += f"; nearest: {near} {places[near].shape}{self.rename_hint(leaf, places[near])}"
            elif only is not None and leaf.module == only[0]:
                text += f". Try --rename '{draft.table.separator.join(only[0])}={draft.goal.separator.join(only[1])}'"
            else:
                text += f". Try --drop '{shown}'"
            draft.problem("unexpected", leaf.path, text)
        for shown, entry in places.items():
            text = f"{shown} {entry.shape} in the template has no source"
            if near := _nearest(shown, sources):
                text += f"; nearest: {near} {sources[near].shape}"
            draft.problem("missing", entry.path, text)
        for value in draft.survey.values:
            shown = draft.shown(value.path)
            draft.problem("unexpected", value.path, f"{shown} is a value, no tensor. Try --drop '{shown}'")

    def rename_hint(self, leaf: Leaf, entry: TensorInfo) -> str:
        """The rename that would bring a module to its nearest place, where one segment differs."""
        there = paths.parse(entry.path)[1 if self.there.rooted else 0 : -1]
        differing = [i for i, pair in enumerate(zip(leaf.module, there, strict=False)) if pair[0] != pair[1]]
        if len(leaf.module) != len(there) or len(differing) != 1:
            return ""
        return f". Try --rename '{leaf.module[differing[0]]}={there[differing[0]]}'"

    def only_pair(self, left: list[Leaf], lacking: list[TensorInfo]) -> tuple[Segments, Segments] | None:
        """The one module of the source and the one of the template that are left over, if that is all."""
        mine = {leaf.module for leaf in left}
        theirs = {paths.parse(entry.path)[1 if self.there.rooted else 0 : -1] for entry in lacking}
        return (mine.pop(), theirs.pop()) if len(mine) == len(theirs) == 1 and () not in mine | theirs else None

    def tie_as_template(self, alias: Alias) -> None:
        draft = self.draft
        shown = draft.shown_goal(alias.path)
        if alias.path in self.tied and not self.tied_alike(alias, *self.tied[alias.path]):
            text = f"{shown} is {draft.shown_goal(alias.target)} again in the template, but not in the source"
            source = draft.shown(self.tied[alias.path][0].path)
            draft.problem("unexpected", alias.path, f"{source} → {text}. Try --drop '{source}'")
        elif alias.target in draft.made:
            draft.plan.entries.append(alias)
            draft.plan.tied.append(f"{shown} is {draft.shown_goal(alias.target)} again, as in the template")
        elif alias.target not in self.filled:
            draft.problem("missing", alias.path, f"{shown} is tied in the template to what has no source")

    def tied_alike(self, alias: Alias, leaf: Leaf, perm: tuple[int, ...]) -> bool:
        """Whether the source ties a leaf to the same tensor, in the same order of axes, as the template does."""
        made = self.draft.alias(leaf, alias.path, perm) if isinstance(leaf.entry, Alias) else None
        return made is not None and (made.target, made.perm) == (alias.target, alias.perm)

    def put_targets_first(self) -> None:
        """A tie of the source may stand before its target in the template's order: the target holds the bytes."""
        entries = self.draft.plan.entries
        rows = {entry.path: row for row, entry in enumerate(entries)}
        late = [
            entry for entry in entries if isinstance(entry, Alias) and rows.get(entry.target, -1) > rows[entry.path]
        ]
        for alias in late:
            entries.remove(alias)
            place = next(row for row, entry in enumerate(entries) if entry.path == alias.target)
            entries.insert(place + 1, alias)


def _biases(tree: Survey, path: Segments) -> list[Leaf]:
    """A module's bias: all that is left of a head whose weight is the embedding's, where a tree holds no ties."""
    return [leaf for (_, name), leaf in tree.modules[path].leaves.items() if name == "bias"]


def _nearest(name: str, among: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(name, list(among), n=1, cutoff=0.4)
    return close[0] if close else None
