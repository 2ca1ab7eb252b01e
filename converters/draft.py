"""Making a plan: kinds decided, targets named, every tensor accounted for, all problems at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from ptformat import paths
from ptformat.dtypes import named
from ptformat.index import Header
from ptformat.paths import Segments
from ptformat.tree import Alias, Entry, Node, TensorInfo, Value

from .content import Source
from .conventions import CONVENTIONS, Axes, Convention, Slot, spelled
from .infer import Decision, Leaf, Module, Survey, convention_of, decide, parameters, survey
from .match import STYLES, RenameError, Renames, match, numbered, to_flax, to_torch
from .plan import Plan, Step, compose, identity, inverse
from .problems import ConversionError, Problem

_SEQUENTIAL = "torch.nn.modules.container.Sequential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asks for; see `ptformat.converters.plan`."""

    to: str
    template: Source | None = None
    kinds: Sequence[tuple[str, str]] = ()
    renames: Sequence[tuple[str, str]] = ()
    style: str = "nested"
    drop: Sequence[str] = ()
    strict: bool = False


def draft(source: Source, request: Request) -> Plan:
    """The plan for converting a source by its names, shapes and recorded facts.

    Raises:
        ConversionError: With every problem there is.
        ValueError: For a style or convention that does not exist.
    """
    if request.to not in CONVENTIONS:
        raise ValueError(f"cannot convert to {request.to!r}, only to {' or '.join(CONVENTIONS)}")
    if request.style not in STYLES:
        raise ValueError(f"style {request.style!r}, expected one of {', '.join(STYLES)}")
    origin = convention_of(source.entries, CONVENTIONS, source.header.convention)
    if origin is None:
        text = f"{source.name}: neither recorded nor plain from the leaf names whose layout this is (torch, linen)"
        raise ConversionError([Problem("ambiguous", source.name, text)])
    if origin == request.to:
        text = f"{source.name} is in {origin}'s layout already; leave --to out to copy it into another kind of file"
        raise ConversionError([Problem("ambiguous", source.name, text)])
    return _Draft(source, request, origin).plan_all()


class _Draft:
    """The state of one planning: what is decided so far, and what is wrong."""

    def __init__(self, source: Source, request: Request, origin: str) -> None:
        self.source = source
        self.request = request
        self.table, self.goal = CONVENTIONS[origin], CONVENTIONS[request.to]
        self.plan = Plan(source.name, origin, request.to, header=_header(source.header, self.goal))
        self.problems: list[Problem] = []
        self.made: dict[str, Step] = {}  # by target path, in order of making
        self.by_source: dict[str, Step] = {}
        self.aliases: list[tuple[Leaf, str, TensorInfo | None]] = []  # leaf, target path, template's entry
        self.nodes: dict[str, Node] = {}
        self.rename = Renames(request.renames, self.table.separator)
        self.survey = survey(self._kept_entries(), self.table)
        self.template = survey(request.template.entries, self.goal) if request.template else None

    # What goes in.

    def _kept_entries(self) -> list[Entry]:
        gone: set[str] = set()
        kept: list[Entry] = []
        for entry in self.source.entries:
            shown = self._shown(self.table, entry.path)
            reason = ""
            if isinstance(entry, Node):
                kept.append(entry)
                continue
            if glob := next((g for g in self.request.drop if fnmatchcase(shown, g)), None):
                reason = f"--drop {glob}"
            elif isinstance(entry, Alias) and entry.target in gone:
                reason = f"tied to {self._shown(self.table, entry.target)}, which is dropped"
            elif isinstance(entry, TensorInfo) and entry.role == "gradient":
                reason = "a gradient"
            if not reason:
                kept.append(entry)
                continue
            gone.add(entry.path)
            self._drop(entry.path, reason)
        return kept

    def _drop(self, path: str, reason: str) -> None:
        self.plan.dropped.append(f"{self._shown(self.table, path)}: {reason}")
        self.plan.dropped_paths.append(path)

    @staticmethod
    def _shown(table: Convention, path: str) -> str:
        return table.separator.join(paths.parse(path))

    def _problem(self, kind: str, path: str, text: str) -> None:
        self.problems.append(Problem(kind, path, text))

    # The plan as a whole.

    def plan_all(self) -> Plan:
        decided = {path: self._decide(module) for path, module in self.survey.modules.items()}
        if self.template is not None:
            self._by_template(self.template, decided)
        else:
            self._by_style(decided)
        for leaf in self.survey.loose:
            if what := self.table.unsupported.get(leaf.name):
                self._problem("unsupported", leaf.path, f"{self._of(leaf)} belongs to {what}: there is no rule yet")
        if self.request.strict:
            for step in self.made.values():
                if step.guess:
                    what = f"{step.shown_source} {step.source_shape}: {step.evidence}; it may be {step.guess}"
                    self._problem("guess", step.shown_source, f"{what}. Say --kind '{self._glob(step)}=…'")
        if self.problems:
            raise ConversionError(_once(self.problems))
        if self.template is None:
            self._assemble()
        return self.plan

    def _glob(self, step: Step) -> str:
        assert step.source is not None
        segments = paths.parse(step.source)
        if self.survey.rooted:
            segments = segments[1:]
        return self.table.separator.join(segments[:-1])

    def _of(self, leaf: Leaf) -> str:
        return f"{self._shown(self.table, leaf.path)} {leaf.shape}"

    def _decide(self, module: Module, template: Module | None = None) -> Decision:
        if self._is_attention(module.path):
            name = self.table.separator.join(module.path)
            problem = Problem("unsupported", name, f"{name} belongs to attention: there is no rule for it yet")
            return Decision((), "", problem=problem)
        return decide(module, self.table, self.goal, self.request.kinds, template)

    def _is_attention(self, path: Segments) -> bool:
        """Whether query, key and value of this module or beside it have kernels of three axes, as linen's attention."""
        beside = [self.survey.modules.get((*path[:-1], name)) for name in ("query", "key", "value")]
        return all(
            module is not None and any(name == "kernel" and len(leaf.shape) == 3 for (_, name), leaf in module.leaves.items())
            for module in beside
        )

    def _renamed(self, path: Segments) -> Segments:
        try:
            return self.rename(path)
        except RenameError as error:
            self._problem("ambiguous", self.table.separator.join(path), str(error))
            return path

    def _step(self, leaf: Leaf, target: TensorInfo, axes: Axes | None, perm: tuple[int, ...], decision: Decision) -> None:
        shown = self._shown(self.goal, target.path)
        if target.path in self.made:
            first = self.made[target.path].shown_source
            self._problem("ambiguous", leaf.path, f"{first} and {self._shown(self.table, leaf.path)} both become {shown}")
            return
        step = Step(
            target,
            leaf.path,
            leaf.shape,
            perm,
            decision.evidence,
            shown,
            self._shown(self.table, leaf.path),
            axes,
            decision.guess,
        )
        self.made[target.path] = self.by_source[leaf.path] = step

    def _info(self, leaf: Leaf, path: str, perm: tuple[int, ...], slot: Slot | None, axes: Axes | None) -> TensorInfo:
        shape = tuple(leaf.shape[i] for i in perm)
        own = leaf.entry
        role = slot.role if slot else own.role
        spelt = tuple(axes[i] for i in perm) if axes else (own.axes if perm == identity(len(perm)) else None)
        return TensorInfo(path, leaf.dtype, shape, spelt or None, role, own.trainable)

    # Names by style.

    def _by_style(self, decided: dict[Segments, Decision]) -> None:
        everything = [leaf.module or (leaf.name,) for leaf in self._all_leaves()]
        self.numbered = numbered(everything, r"\d+" if self.plan.goal != "torch" else r"layers_\d+")
        self.sequences = {path for path, node in self.survey.nodes.items() if node.class_ == _SEQUENTIAL}
        if self.numbered:
            self.sequences.add(())
        for path, module in self.survey.modules.items():
            decision = decided[path]
            if decision.problem:
                self.problems.append(decision.problem)
                continue
            self._module(module, decision, self._named(path))
        for leaf in self.survey.loose:
            self._loose(leaf)
        for value in self.survey.values:
            self._problem("unexpected", value.path, f"{value.path} is a value, no tensor. Try --drop '{value.path}'")

    def _all_leaves(self) -> Iterable[Leaf]:
        for module in self.survey.modules.values():
            yield from module.leaves.values()
        yield from (leaf for leaf in self.survey.loose if leaf.collection != "buffers")

    def _named(self, path: Segments) -> Segments:
        renamed = self._renamed(path)
        if self.plan.goal == "torch":
            return to_torch(renamed, self.request.style, self.numbered)
        sequences = self.sequences if renamed == path else {()} & self.sequences
        return to_flax(renamed, self.request.style, sequences)

    def _module(self, module: Module, decision: Decision, at: Segments) -> None:
        found = parameters(module, decision.kind, self.table)
        assert found is not None
        if len(decision.kinds) == 1 and not decision.guess:
            form = "map" if self.goal.collections else "part"
            where = paths.render((self.goal.home, *at) if self.goal.home else at)
            if where:
                self.nodes[where] = Node(where, form, module=decision.kind)
        slots = self.goal.slots[decision.kind]
        ordered = slots if self.plan.goal == "torch" else found
        for parameter in [*ordered, *(name for name in found if name not in ordered)]:
            slot = slots.get(parameter)
            if parameter in found and slot is None:
                self._without_slot(*found[parameter], self.table.slots[decision.kind][parameter])
            elif parameter in found and slot is not None:
                leaf, axes = found[parameter]
                path = paths.render((*filter(None, [slot.collection]), *at, slot.name))
                self._carry(leaf, path, axes, slot, decision)
            elif slot is not None and slot.fill is not None and "mean" in found:
                self._fill(TensorInfo(paths.render((*at, slot.name)), slot.dtype or "", (), role=slot.role), slot)

    def _without_slot(self, leaf: Leaf, axes: Axes, slot: Slot) -> None:
        back = f"; it comes back as {slot.fill}" if slot.fill is not None else ""
        self._drop(leaf.path, f"{self.plan.goal} has no such tensor{back}")

    def _carry(self, leaf: Leaf, path: str, axes: Axes, slot: Slot, decision: Decision) -> None:
        if isinstance(leaf.entry, Alias):
            self.aliases.append((leaf, path, None))
            return
        goal = spelled(slot.axes, len(leaf.shape))
        assert goal is not None
        perm = tuple(axes.index(axis) for axis in goal)
        self._step(leaf, self._info(leaf, path, perm, slot, axes), axes, perm, decision)

    def _fill(self, target: TensorInfo, slot: Slot) -> None:
        shown = self._shown(self.goal, target.path)
        self.made[target.path] = Step(target, None, (), (), "the source has none", shown, "", fill=slot.fill)

    def _loose(self, leaf: Leaf) -> None:
        """A leaf of no kind: a parameter keeps its layout under its name, a buffer stands aside."""
        perm = identity(len(leaf.shape))
        if self.plan.goal == "torch":
            if leaf.collection not in ("", "params", "buffers"):
                what = f"{self._of(leaf)}: torch has no place for the collection {leaf.collection}"
                self._problem("unexpected", leaf.path, f"{what}. Try --drop '{leaf.collection}/*'")
                return
            module = leaf.module if leaf.collection == "buffers" else self._named(leaf.module)
            path = paths.render((*module, leaf.name))
        elif _is_buffer(leaf):
            path = paths.render(("buffers", *leaf.module, leaf.name))
            if not isinstance(leaf.entry, Alias):
                self.plan.kept.append(f"{self._shown(self.table, leaf.path)} stands aside as {self._shown(self.goal, path)}")
        else:
            path = paths.render((self.goal.home, *self._named(leaf.module), leaf.name))
        if isinstance(leaf.entry, Alias):
            self.aliases.append((leaf, path, None))
            return
        evidence = "a buffer, as it is" if path.startswith("buffers.") else "of no kind, as it is"
        self._step(leaf, self._info(leaf, path, perm, None, None), None, perm, Decision((), evidence))

    # Names by template.

    def _by_template(self, template: Survey, decided: dict[Segments, Decision]) -> None:
        assert self.request.template is not None
        names = {self._renamed(path): path for path in self.survey.modules}
        matching = match(names, template.modules)
        self._report_ambiguous(matching.ambiguous)
        for mine, theirs in matching.pairs.items():
            module, place = self.survey.modules[names[mine]], template.modules[theirs]
            decision = self._decide(module, place)
            if decision.problem:
                self.problems.append(decision.problem)
                continue
            self._into_module(module, place, decision)
        self._loose_into(template)
        self._take_stock(template, decided)

    def _report_ambiguous(self, ambiguous: Sequence[tuple[list[Segments], list[Segments]]]) -> None:
        for mine, theirs in ambiguous:
            left = ", ".join(self.table.separator.join(path) for path in mine)
            right = ", ".join(self.goal.separator.join(path) for path in theirs)
            self._problem("ambiguous", left, f"{left} may be any of {right} in the template. Say --rename 'REGEX=NEW'")

    def _into_module(self, module: Module, place: Module, decision: Decision) -> None:
        found = parameters(module, decision.kind, self.table)
        assert found is not None
        for parameter, (leaf, axes) in found.items():
            slot = self.goal.slots[decision.kind].get(parameter)
            if slot is None:
                self._without_slot(leaf, axes, self.table.slots[decision.kind][parameter])
                continue
            goal = spelled(slot.axes, len(leaf.shape))
            assert goal is not None
            there = place.leaves.get((slot.collection, slot.name))
            if there is not None:
                perm = tuple(axes.index(axis) for axis in goal)
                self._into(leaf, there, perm, axes, slot, decision)
        for parameter, slot in self.goal.slots[decision.kind].items():
            there = place.leaves.get((slot.collection, slot.name))
            if parameter not in found and slot.fill is not None and there and isinstance(there.entry, TensorInfo):
                self._fill(there.entry, slot)

    def _into(
        self, leaf: Leaf, there: Leaf, perm: tuple[int, ...], axes: Axes | None, slot: Slot | None, decision: Decision
    ) -> None:
        """One leaf into its place in the template, if shape and type fit."""
        shown = self._shown(self.goal, there.path)
        shape = tuple(leaf.shape[i] for i in perm)
        if shape != there.shape:
            moved = "" if perm == identity(len(perm)) else f", {shape} after its axes are moved"
            what = f"{self._of(leaf)}{moved} → {shown} is {there.shape} in the template"
            self._problem("shape", leaf.path, what)
            self.by_source[leaf.path] = None  # type: ignore[assignment]
            self.made.setdefault(there.path, None)  # type: ignore[arg-type]
            return
        if leaf.dtype != there.dtype:
            what = f"{self._of(leaf)} is {leaf.dtype} → {shown} is {there.dtype} in the template; nothing is cast"
            self._problem("dtype", leaf.path, what)
        if isinstance(there.entry, Alias):
            self.by_source.setdefault(leaf.path, None)  # type: ignore[arg-type]
            return  # the template's own tie says what it is
        if isinstance(leaf.entry, Alias):
            self.aliases.append((leaf, there.path, there.entry))
            return
        info = self._info(leaf, there.path, perm, slot, axes)
        entry = there.entry
        info = replace(info, axes=entry.axes or info.axes, role=entry.role or info.role, class_=entry.class_)
        self._step(leaf, info, axes, perm, decision)

    def _loose_into(self, template: Survey) -> None:
        mine = {(*self._renamed(leaf.module), leaf.name): leaf for leaf in self.survey.loose}
        theirs = {(*leaf.module, leaf.name): leaf for leaf in template.loose}
        matching = match(mine, theirs)
        self._report_ambiguous(matching.ambiguous)
        for left, right in matching.pairs.items():
            leaf, there = mine[left], theirs[right]
            decision = Decision((), "of no kind, as it is")
            self._into(leaf, there, identity(len(leaf.shape)), None, None, decision)

    def _take_stock(self, template: Survey, decided: dict[Segments, Decision]) -> None:
        """Entries in the template's order; what is left over on either side is a problem."""
        assert self.request.template is not None
        spelt = {path: (leaf, entry) for leaf, path, entry in self.aliases}
        left = self._left_over(set(spelt))
        lacking: list[TensorInfo] = []
        for entry in self.request.template.entries:
            if isinstance(entry, Node):
                self.plan.entries.append(entry)
            elif isinstance(entry, Alias):
                self._tie_as_template(entry)
            elif isinstance(entry, Value):
                self._problem("missing", entry.path, f"{entry.path} is a value in the template; the source has no tensor for it")
            elif entry.path in spelt:
                self._spell_out(*spelt[entry.path], entry)
            elif entry.path not in self.made:
                lacking.append(entry)
            elif step := self.made[entry.path]:
                self.plan.entries.append(step.target)
                self.plan.steps[entry.path] = step
        self._report_left_over(left, lacking)

    def _left_over(self, spelt: set[str]) -> list[Leaf]:
        known = set(self.by_source) | set(self.plan.dropped_paths) | {leaf.path for leaf, _, _ in self.aliases}
        leaves = [leaf for module in self.survey.modules.values() for leaf in module.leaves.values()]
        left = []
        for leaf in [*leaves, *self.survey.loose]:
            if leaf.path in known:
                continue
            if isinstance(leaf.entry, Alias):
                self.plan.collapsed.append(leaf.entry)
            else:
                left.append(leaf)
        self._tell_collapsed()
        return left

    def _report_left_over(self, left: list[Leaf], lacking: list[TensorInfo]) -> None:
        open_places = {self._shown(self.goal, entry.path): entry for entry in lacking}
        open_sources = {self._shown(self.table, leaf.path): leaf for leaf in left}
        blamed = {problem.path for problem in self.problems}
        for shown, leaf in open_sources.items():
            if self.table.separator.join(leaf.module) in blamed:
                continue
            text = f"{shown} {leaf.shape} has no target"
            if near := _nearest(shown, open_places):
                entry = open_places[near]
                text += f"; nearest: {near} {entry.shape}{self._rename_hint(leaf, entry)}"
            else:
                text += f". Try --drop '{shown}'"
            self._problem("unexpected", leaf.path, text)
        for shown, entry in open_places.items():
            text = f"{shown} {entry.shape} in the template has no source"
            if near := _nearest(shown, open_sources):
                text += f"; nearest: {near} {open_sources[near].shape}"
            self._problem("missing", entry.path, text)

    def _rename_hint(self, leaf: Leaf, entry: TensorInfo) -> str:
        """The rename that would bring a module to its nearest place, where one segment differs."""
        there = paths.parse(entry.path)[:-1]
        there = there[1:] if self.template and self.template.rooted else there
        differing = [i for i, pair in enumerate(zip(leaf.module, there, strict=False)) if pair[0] != pair[1]]
        if len(leaf.module) != len(there) or len(differing) != 1:
            return ""
        return f". Try --rename '{leaf.module[differing[0]]}={there[differing[0]]}'"

    def _tie_as_template(self, alias: Alias) -> None:
        if self.made.get(alias.target):
            self.plan.entries.append(alias)
            names = self._shown(self.goal, alias.path), self._shown(self.goal, alias.target)
            self.plan.tied.append(f"{names[0]} is {names[1]} again, as in the template")
        else:
            text = f"{self._shown(self.goal, alias.path)}, tied in the template to what has no source"
            self._problem("missing", alias.path, text)

    def _spell_out(self, leaf: Leaf, entry: TensorInfo | None, place: TensorInfo) -> None:
        """A tie of the source that has a slot of its own in the template: tied again in the target."""
        self._tie(leaf, place.path)

    # Ties.

    def _tie(self, leaf: Leaf, path: str) -> None:
        """An alias in the target for an alias of the source; its axes follow from both layouts."""
        alias = leaf.entry
        assert isinstance(alias, Alias)
        base = self.by_source.get(alias.target)
        if base is None:
            self._problem("missing", alias.path, f"{self._of(leaf)} is tied to {alias.target}, which has no target")
            return
        own = self._target_perm(leaf, path)
        rank = identity(len(leaf.shape))
        perm = compose(compose(inverse(base.perm), alias.perm or rank), own)
        self.plan.entries.append(Alias(path, base.target.path, None if perm == rank else perm, role=base.target.role))
        names = self._shown(self.goal, path), base.shown_target
        self.plan.tied.append(f"{names[0]} is {names[1]} again")

    def _target_perm(self, leaf: Leaf, path: str) -> tuple[int, ...]:
        module = self.survey.modules.get(leaf.module)
        if module is None or leaf not in module.leaves.values():
            return identity(len(leaf.shape))
        decision = self._decide(module)
        found = parameters(module, decision.kind, self.table) if not decision.problem else None
        for parameter, (held, axes) in (found or {}).items():
            slot = self.goal.slots[decision.kind].get(parameter)
            goal = spelled(slot.axes, len(leaf.shape)) if slot else None
            if held is leaf and goal:
                return tuple(axes.index(axis) for axis in goal)
        return identity(len(leaf.shape))

    def _tell_collapsed(self) -> None:
        groups: dict[tuple[Segments, Segments], list[Alias]] = {}
        for alias in self.plan.collapsed:
            groups.setdefault((paths.parse(alias.path)[:-1], paths.parse(alias.target)[:-1]), []).append(alias)
        for (module, target), aliases in groups.items():
            names = ", ".join(self._shown(self.table, alias.path) for alias in aliases)
            whole = module != target and all(
                paths.parse(alias.path)[-1] == paths.parse(alias.target)[-1] and not alias.perm for alias in aliases
            )
            again = f"layer {self.table.separator.join(target)}" if whole else self._shown(self.table, aliases[0].target)
            verb = "are" if len(aliases) > 1 else "is"
            self.plan.tied.append(f"{names} {verb} {again} again: one entry in {self.plan.goal}")

    # The target's entries without a template.

    def _assemble(self) -> None:
        """Entries and steps: collection by collection, modules where their first leaf stands in the source."""
        rank = {collection: place for place, collection in enumerate(self.goal.collections)}
        rows = {entry.path: row for row, entry in enumerate(self.source.entries)}
        places: dict[Segments, int] = {}
        ordered = []
        for step in self.made.values():
            segments = paths.parse(step.target.path)
            row = rows[step.source] if step.source is not None else len(rows)
            place = places.setdefault(segments[:-1], row) if segments[-1] in self._slot_names() else row
            ordered.append((rank.get(segments[0], len(rank)) if rank else 0, place, step))
        steps = [step for _, _, step in sorted(ordered, key=lambda item: item[:2])]
        self.plan.steps = {step.target.path: step for step in steps}
        entries = self.plan.entries
        if not self.goal.collections:
            entries.append(Node("", "flat"))
        elif not any(step.target.path.startswith(f"{self.goal.home}.") for step in steps):
            entries.append(Node(self.goal.home, "map"))
        for step in steps:
            above = paths.parent(step.target.path)
            if above in self.nodes:
                entries.append(self.nodes.pop(above))
            entries.append(step.target)
        for leaf, path, _ in self.aliases:
            assert isinstance(leaf.entry, Alias)
            if self.goal.collections:
                self.plan.collapsed.append(leaf.entry)
            else:
                self._tie(leaf, path)
        self._tell_collapsed()

    def _slot_names(self) -> set[str]:
        return {slot.name for slots in self.goal.slots.values() for slot in slots.values()}


def _header(header: Header, goal: Convention) -> Header:
    metadata = {key: value for key, value in header.metadata.items() if key != "format"}
    return Header(convention=goal.name, metadata=metadata)


def _is_buffer(leaf: Leaf) -> bool:
    """A recorded buffer; else what is no float, or a table that models rebuild."""
    if leaf.entry.role is not None:
        return leaf.entry.role != "parameter"
    return not named(leaf.dtype).floating or leaf.name in ("inv_freq", "position_ids")


def _nearest(name: str, among: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(name, list(among), n=1, cutoff=0.4)
    return close[0] if close else None


def _once(problems: Sequence[Problem]) -> list[Problem]:
    return list(dict.fromkeys(problems))
