"""A plan whose target is a template: its names, its order, its root, every place filled and nothing left over."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from ptformat import paths
from ptformat.paths import Segments
from ptformat.tree import Alias, Entry, Node, TensorInfo, Value

from . import operations as ops
from .by_style import source_axes
from .content import Source
from .conventions import RECURRENT, Slot
from .draft import ABSENT, Draft, contributing
from .infer import Decision
from .match import CANONICAL, cell_form, in_order, match, natural
from .operations import Fill, Given, Index, Operation, described
from .plan import Step
from .stacks import bare, found_in, stacked_alike, stacked_in
from .survey import Fit, Leaf, Module, Survey, Unstacked, assemblies, fits, survey

_COUNTERS = ("flax.nnx.RngCount",)


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
        self.ties: dict[str, tuple[Leaf, Operation]] = {}  # template path -> the source's alias for it
        self.tied: dict[str, tuple[Leaf, Operation]] = {}  # the template's alias -> what the source has there
        self.decided: dict[str, tuple[Decision, list[Leaf], Slot | None]] = {}  # likewise, and why
        self.layers: dict[str, dict[Operation, tuple[Operation, Decision, list[Leaf]]]] = {}  # stacked in a tensor
        self.doubtful: tuple[list[Unstacked], list[Unstacked]] = [], []  # stacks that may run along another axis
        self.by_order: dict[Segments, Segments] = {}
        self.missing_used: set[str] = set()
        self.unpaired: tuple[list[Leaf], list[Leaf]] = [], []  # leaves of modules without a partner, on either side

    def run(self) -> None:
        draft = self.draft
        self.unstack()
        for mine, theirs in self.assembled():
            self.pair(mine, theirs)
        pairs = self.paired()
        given = {*pairs.values()}
        self.unpaired = (
            _lone(draft.survey, pairs, self.accounted),
            _lone(self.there, given, self.filled),
        )
        modules = [(draft.survey.modules[mine_], self.there.modules[theirs_]) for mine_, theirs_ in pairs.items()]
        draft.show_forms(modules)
        for mine, theirs in modules:
            self.pair(mine, theirs)
        self.loose()
        self.stack()
        self.fill_tied()
        self.take_stock()

    def unstack(self) -> None:
        """Give every layer a path of its own where one side holds stacked what the other holds as a list, or both."""
        draft = self.draft
        theirs: list[Unstacked] = []
        mine = stacked_in((*draft.request.unstacks, *draft.request.family.unstacks), draft.table.separator)
        self.spread(self.there, self.template.entries, draft.survey, theirs)
        self.spread(draft.survey, draft.kept, self.there, mine)
        if both := stacked_alike(draft.survey, self.there, draft.renamed):
            mine += both
            self.resurvey(draft.survey, draft.kept, mine)
            self.spread(self.there, self.template.entries, draft.survey, theirs)

    def spread(self, tree: Survey, entries: Sequence[Entry], other: Survey, rules: list[Unstacked]) -> None:
        """Take one side's stacks apart where the other has a list, a list in each of a list's layers too."""
        while True:
            names = [self.hub(path, other) for path in dict.fromkeys(leaf.module for leaf in other.leaves)]
            new = [rule for rule in found_in(tree, names) if rule not in rules]
            if not new:
                return
            rules += new
            self.doubtful[tree is self.there].extend(rule for rule in new if rule.also)
            self.resurvey(tree, entries, rules)

    def resurvey(self, tree: Survey, entries: Sequence[Entry], rules: Sequence[Unstacked]) -> None:
        """See a side's layers apart."""
        draft = self.draft
        stacked = survey(entries, tree.convention, rules)
        for attribute in ("modules", "loose", "leaves"):
            setattr(tree, attribute, getattr(stacked, attribute))
        if tree is draft.survey:
            draft.applied.to(tree, draft.shown, draft.problem)

    def hub(self, path: Segments, tree: Survey) -> Segments:
        """A path with numbers as segments of their own, after the user's renames."""
        return bare(self.draft.renamed(path) if tree is self.draft.survey else path)

    def assembled(self) -> list[tuple[Module, Module]]:
        """Modules made of several on both sides: attention, cells. They belong together where kind and name agree."""
        draft = self.draft
        mine, theirs = list(assemblies(draft.survey)), list(assemblies(self.there))
        # What is made of several here may be one module there, whose tensors are its own, such as torch's attention.
        kinds = {*RECURRENT, "attention", *(fit.kind.name for _, fit in (*mine, *theirs))}
        mine += _simple(draft.survey, kinds)
        theirs += _simple(self.there, kinds)
        found: list[tuple[Module, Module]] = []
        taken: set[tuple[str, Segments]] = set()
        for kind in dict.fromkeys(fit.kind.name for _, fit in mine):
            left = {draft.renamed(module.path): (module, fit) for module, fit in mine if fit.kind.name == kind}
            right = {module.path: (module, fit) for module, fit in theirs if fit.kind.name == kind}
            forms = (*CANONICAL, cell_form) if kind in RECURRENT else CANONICAL
            for name, place in match(left, right, forms).pairs.items():
                (module, fit), (there, other) = left[name], right[place]
                plain = kind not in (*RECURRENT, "attention") and not (fit.form.whole or other.form.whole)
                if plain or (fit.form.declared and other.form.declared):
                    continue
                ends = {("here", module.path), ("there", there.path)}
                if taken & ends:
                    continue  # of another kind that has the same names and shapes
                taken |= ends
                found.append((module, there))
        draft.survey.claim(module for module, _ in found)
        self.there.claim(there for _, there in found)
        return found

    def paired(self) -> dict[Segments, Segments]:
        """Source path -> template path of the modules that are left."""
        draft = self.draft
        done = {leaf.path for leaf in self.draft.survey.leaves if leaf.path in self.accounted}
        names = {
            draft.renamed(path): path
            for path, module in draft.survey.modules.items()
            if not any(leaf.path in done for leaf in module.leaves.values())
        }
        there = {
            path: module
            for path, module in self.there.modules.items()
            if not any(leaf.path in self.filled for leaf in module.leaves.values())
        }
        matching = match(names, there)
        self.report_ambiguous(matching.ambiguous)
        pairs = {names[mine]: theirs for mine, theirs in matching.pairs.items()}
        if draft.request.by_order:
            left = [draft.survey.modules[path] for path in names.values() if path not in pairs]
            right = [there[path] for path in sorted(there, key=natural) if path not in {*pairs.values()}]
            for module, place in in_order(left, right, draft.table, draft.goal):
                pairs[module.path] = place.path
                self.by_order[module.path] = place.path
        return pairs

    def report_ambiguous(self, ambiguous: Sequence[tuple[list[Segments], list[Segments]]]) -> None:
        for mine, theirs in ambiguous:
            left = ", ".join(self.draft.table.separator.join(path) for path in mine)
            right = ", ".join(self.draft.goal.separator.join(path) for path in theirs)
            text = f"{left} may be any of {right} in the template. Say --rename 'REGEX=NEW'"
            self.draft.problem("ambiguous", left, text)

    def pair(self, module: Module, place: Module) -> None:
        """One module into its place."""
        decision = self.draft.decided(module, place)
        self.accounted.update(leaf.path for leaf in module.leaves.values())
        choice = decision.choice if decision else None
        if decision is None or choice is None:
            self.filled.update(leaf.path for leaf in place.leaves.values())
            return
        if module.path in self.by_order:
            decision = replace(
                decision, evidence=f"{decision.evidence}; by order", guess=decision.guess or "another one"
            )
        for slot, made in choice.made.items():
            leaves = contributing(made, choice.fit.held)
            there = place.leaves.get((slot.collection, slot.name))
            if there is not None:
                self.into(leaves, made, there, slot, decision)
                continue
            for leaf in leaves:
                if not any(
                    leaf in contributing(other, choice.fit.held)
                    for one, other in choice.made.items()
                    if one is not slot
                ):
                    self.accounted.discard(leaf.path)
        for slot in choice.form.slots:
            there = place.leaves.get((slot.collection, slot.name))
            if slot in choice.made or there is None or not isinstance(there.entry, TensorInfo):
                continue
            zero = slot.holds and set(slot.holds) <= set(choice.fit.form.zero)
            if slot.fill is not None or zero:
                self.draft.fill(there.entry, slot.fill or 0, "the source's layer has none: 0" if zero else ABSENT)
                self.filled.add(there.path)

    def loose(self) -> None:
        lone, places = self.unpaired
        mine = {(*self.draft.renamed(leaf.module), leaf.name): leaf for leaf in [*self.draft.survey.loose, *lone]}
        theirs = {(*leaf.module, leaf.name): leaf for leaf in [*self.there.loose, *places]}
        matching = match(mine, theirs)
        self.report_ambiguous(matching.ambiguous)
        for left, right in matching.pairs.items():
            leaf = mine[left]
            decision = Decision(None, "of no kind, as it is", self.kind_of(leaf) if leaf in lone else "")
            if what := self.draft.ruleless(leaf):
                text = f"{self.draft.of(leaf)} belongs to {what}: there is no rule for it"
                self.draft.problem("unsupported", leaf.path, text)
            self.accounted.add(leaf.path)
            self.into([leaf], leaf.made, theirs[right], None, decision)

    def kind_of(self, leaf: Leaf) -> str:
        """The kind that a tensor of several axes would be of, had its module a partner; empty where there is none."""
        module = self.draft.survey.modules[leaf.module]
        found = fits(module, self.draft.table) if len(leaf.shape) > 1 else []
        return found[0].kind.name if found else ""

    def into(self, leaves: list[Leaf], made: Operation, there: Leaf, slot: Slot | None, decision: Decision) -> None:
        """What is made of some leaves into its place in the template, if shape and type fit."""
        draft = self.draft
        leaf = leaves[0] if leaves else there
        self.filled.add(there.path)
        doubt = next(filter(None, (_doubt(each, self.doubtful[0]) for each in leaves)), "")
        decision = replace(decision, guess=decision.guess or doubt)
        made = draft.cast(there.path, made)
        shown = draft.shown_goal(there.path)
        if made.shape != there.shape:
            moved = "" if len(leaves) == 1 and made.shape == leaf.shape else f", as {made.shape},"
            text = f"{draft.of(leaf)}{moved} → {shown} is {there.shape} in the template"
            draft.problem("shape", leaf.path, text)
        if made.dtype != there.dtype:
            text = f"{draft.of(leaf)} is {made.dtype} → {shown} is {there.dtype} in the template; nothing is cast"
            draft.problem("dtype", leaf.path, f"{text} without --cast '{shown}={there.dtype}'")
        if not isinstance(there.made, Given) and not isinstance(there.entry, Alias):
            guess = draft.guess(decision, slot) or _doubt(there, self.doubtful[1])
            told = Decision(None, decision.evidence, guess, None, decision.kinds)
            self.layers.setdefault(there.path, {})[there.made] = made, told, leaves
            return
        if isinstance(there.entry, Alias):
            self.tied[there.path] = leaf, made
            self.decided[there.path] = decision, leaves, slot
            return
        if leaves and all(each.tied for each in leaves):
            self.ties[there.path] = leaf, made
            return
        self.step(there.entry, made, decision, leaves, slot)

    def step(
        self, entry: TensorInfo, made: Operation, decision: Decision, leaves: list[Leaf], slot: Slot | None
    ) -> None:
        """Note a step for a tensor of the template, which says what the tensor is."""
        info = self.draft.info(entry.path, made, leaves, slot)
        info = replace(
            info,
            shape=entry.shape,
            axes=entry.axes or info.axes,
            role=entry.role or info.role,
            trainable=entry.trainable if info.trainable is None else info.trainable,
            class_=entry.class_,
            attrs=entry.attrs,
        )
        self.draft.step(info, made, decision, slot, source_axes(made, leaves, decision))

    def stack(self) -> None:
        """Make one tensor of the layers that the template holds stacked in it."""
        entries = {entry.path: entry for entry in self.template.entries}
        for path, layers in self.layers.items():
            entry = entries[path]
            assert isinstance(entry, TensorInfo)
            whole = Given(entry.path, entry.shape, entry.dtype)
            filled = {place: made for place, (made, _, _) in layers.items()}
            missing: list[str] = []
            made = _gathered(whole, filled, missing)
            if made is None:
                shown = self.draft.shown_goal(path)
                text = f"{shown} {entry.shape} in the template is stacked, and has no source for {', '.join(missing)}"
                self.draft.problem("missing", path, text)
                continue
            if made.shape == entry.shape:
                _, decision, leaves = max(layers.values(), key=lambda layer: bool(layer[1].guess))
                self.step(entry, made, decision, leaves, None)

    def fill_tied(self) -> None:
        """A tensor of the template that the source has under another of its names only, such as that of a shared layer.

        The first of these names in the source's order gives it; of the others `tie_as_template` asks the same bytes.
        """
        entries = {entry.path: entry for entry in self.template.entries}
        for path, (_, made) in self.tied.items():
            alias = entries[path]
            decision, leaves, slot = self.decided[path]
            if not isinstance(alias, Alias) or alias.target in self.filled or all(leaf.tied for leaf in leaves):
                continue
            target = entries[alias.target]
            assert isinstance(target, TensorInfo)
            self.filled.add(target.path)
            back = range(len(made.shape))
            made = made if alias.perm is None else ops.permute(made, tuple(map(alias.perm.index, back)))
            self.step(target, made, decision, leaves, slot)

    def take_stock(self) -> None:
        """Entries in the template's order; what is left over on either side is a problem."""
        draft, plan = self.draft, self.draft.plan
        left = self.left_over()
        lacking: list[TensorInfo] = []
        for entry in self.template.entries:
            if isinstance(entry, TensorInfo) and entry.path in self.ties:
                self.untie(entry)
        # What is tied to a name that has the place instead is there all the same.
        used = {given for step in draft.made.values() for given in step.sources}
        left = [leaf for leaf in left if leaf.made not in used]
        for entry in self.template.entries:
            if isinstance(entry, Node):
                plan.entries.append(entry)
            elif isinstance(entry, Alias):
                self.tie_as_template(entry)
            elif isinstance(entry, Value):
                text = f"{draft.shown_goal(entry.path)} is a value in the template, for which the source has none"
                draft.problem("missing", entry.path, text)
            elif entry.path in self.ties:
                leaf, made = self.ties[entry.path]
                if not draft.tie(entry.path, leaf, made):
                    text = f"{draft.of(leaf)} is tied to what has no target"
                    draft.problem("missing", leaf.path, text)
            elif step := draft.made.get(entry.path) or self.absent(entry):
                plan.entries.append(step.target)
                plan.steps[entry.path] = step
            elif entry.path not in self.filled:
                lacking.append(entry)
        self.report_left_over(left, lacking)
        self.put_targets_first()
        self.check_missing()

    def untie(self, entry: TensorInfo) -> None:
        """A tie of the source whose other side is no tensor here holds the bytes; as does one that cannot be shared."""
        leaf, made = self.ties[entry.path]
        if self.draft.alias(entry.path, made) is not None or not isinstance(leaf.entry, Alias):
            return
        del self.ties[entry.path]
        base = [step for step in self.draft.made.values() if leaf.entry.target in {one.path for one in step.sources}]
        self.step(entry, made, Decision(None, "a second name of the source's"), [leaf], None)
        if base:
            shown = self.draft.shown_goal(entry.path)
            text = f"{shown} is a copy of what {base[0].shown_target} is made of: the layouts differ by more than axes"
            self.draft.plan.tied.append(text)

    def absent(self, entry: TensorInfo) -> Step | None:
        """The step for a tensor of the template that the source does not have, if it is not an error."""
        if entry.path in self.filled:
            return None
        draft = self.draft
        shown = draft.shown_goal(entry.path)
        elements = getattr(self.template, "has_elements", lambda path: True)(entry.path)
        for glob, policy in draft.missing:
            if fnmatchcase(shown, glob):
                self.missing_used.add(glob)
                if policy != "keep":
                    return self.filled_with(entry, policy, glob)
                if elements:
                    return self.kept(entry, f"--missing '{glob}=keep'")
                text = f"{shown} {entry.shape} is to be kept from the template, which has shapes only"
                draft.problem("missing", entry.path, text)
                return None
        if entry.role == "state" and elements:
            return self.kept(entry, f"{_class(entry)} is no weight: the template's own is kept")
        if entry.role == "state" and entry.class_ in _COUNTERS:
            return self.filled_with(entry, "0", "")
        return None

    def kept(self, entry: TensorInfo, why: str) -> Step:
        shown = self.draft.shown_goal(entry.path)
        self.filled.add(entry.path)
        self.draft.plan.kept.append(f"{shown}: {why}")
        return Step(entry, Given(entry.path, entry.shape, entry.dtype, kept=True), why, shown, "")

    def filled_with(self, entry: TensorInfo, policy: str, glob: str) -> Step:
        shown = self.draft.shown_goal(entry.path)
        self.filled.add(entry.path)
        value = float(policy)
        number = int(value) if value.is_integer() else value
        why = f"--missing '{glob}={policy}'" if glob else f"{_class(entry)} counts from 0"
        self.draft.plan.kept.append(f"{shown}: filled with {number}: {why}")
        return Step(entry, Fill(entry.shape, entry.dtype, number), why, shown, "")

    def check_missing(self) -> None:
        for glob, policy in self.draft.request.missing:
            if glob not in self.missing_used:
                text = f"--missing '{glob}={policy}' matches no tensor of the template that the source does not have"
                self.draft.problem("unused", glob, text)

    def left_over(self) -> list[Leaf]:
        """Leaves of the source without a place. An alias among them is collapsed into its target."""
        left = [leaf for leaf in self.draft.survey.leaves if leaf.path not in self.accounted]
        dropped = {*self.draft.plan.dropped_paths}
        left = [leaf for leaf in left if leaf.path not in dropped]
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
            elif entry.role == "state":
                text += f": {_class(entry)} is no weight. Give a template with values, or --missing '{shown}=0'"
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
        if alias.path in self.tied and not self.tied_alike(alias, self.tied[alias.path][1]):
            text = f"{shown} is {draft.shown_goal(alias.target)} again in the template, but not in the source"
            source = draft.shown(self.tied[alias.path][0].path)
            draft.problem("unexpected", alias.path, f"{source} → {text}. Try --drop '{source}'")
        elif alias.target in draft.made or alias.target in draft.plan.steps:
            draft.plan.entries.append(alias)
            draft.plan.tied.append(f"{shown} is {draft.shown_goal(alias.target)} again, as in the template")
        elif alias.target not in self.filled:
            draft.problem("missing", alias.path, f"{shown} is tied in the template to what has no source")

    def tied_alike(self, alias: Alias, made: Operation) -> bool:
        """Whether the source ties a leaf to the same tensor, in the same order of axes, as the template does."""
        found = self.draft.alias(alias.path, made)
        return found is not None and (found.target, found.perm) == (alias.target, alias.perm)

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


def _lone(tree: Survey, paired: Collection[Segments], done: Collection[str]) -> list[Leaf]:
    """What the modules without a partner hold.

    A user's own tensor that is called as a kind's is (`scale`), or the bias of a head whose weight is the embedding's.
    """
    return [
        leaf
        for path, module in tree.modules.items()
        for leaf in module.leaves.values()
        if path not in paired and leaf.path not in done
    ]


def _doubt(leaf: Leaf, rules: Iterable[Unstacked]) -> str:
    """What else a layer that is taken from a stack may be: one of another axis as long; empty where none is."""
    taken = (rule for rule in rules if leaf.module[: len(rule.path)] == rule.path)
    return next((f"stacked on axis {rule.also[0]}" for rule in taken), "")


def _simple(tree: Survey, kinds: set[str]) -> list[tuple[Module, Fit]]:
    """Modules whose tensors are all their own, as those of some kinds that they fit."""
    return [
        (module, fit)
        for module in tree.modules.values()
        for fit in fits(module, tree.convention)
        if fit.kind.name in kinds and not fit.form.whole
    ]


def _gathered(whole: Operation, filled: dict[Operation, Operation], missing: list[str]) -> Operation | None:
    """A tensor from what its layers are made of; None where some are missing, which are then listed."""
    if whole in filled:
        return filled[whole]
    axes = {axis for place in filled for axis in _path_to(place, whole)}
    if not axes:  # of a stack of one layer, the layer is the tensor with an axis less
        ones = [axis for axis, size in enumerate(whole.shape) if size == 1]
        axes = {axis for axis in ones[:1] if _leads(ops.index(whole, axis, 0), filled)}
    if not axes:
        missing.append(described(whole) or "all of it")
        return None
    (axis,) = axes
    layers = [_gathered(ops.index(whole, axis, i), filled, missing) for i in range(whole.shape[axis])]
    return (
        None if any(layer is None for layer in layers) else ops.stack([one for one in layers if one is not None], axis)
    )


def _leads(whole: Operation, filled: Iterable[Operation]) -> bool:
    """Whether some layers are taken from a tensor, or are all of it."""
    return any(place == whole or _path_to(place, whole) for place in filled)


def _path_to(place: Operation, whole: Operation) -> list[int]:
    """The axis along which a layer, or a layer of a layer, is taken from a tensor."""
    while isinstance(place, Index):
        if place.of == whole:
            return [place.axis]
        place = place.of
    return []


def _class(entry: TensorInfo) -> str:
    return f"a {entry.class_}" if entry.class_ else "state"


def _nearest(name: str, among: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(name, list(among), n=1, cutoff=0.4)
    return close[0] if close else None
