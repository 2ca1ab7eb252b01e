"""A plan in the making: what is asked, what is found, what is decided so far, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypedDict

from ptformat import paths
from ptformat.columns import Header
from ptformat.paths import Segments
from ptformat.tree import Alias, Entry, Node, TensorInfo

from .content import Source
from .conventions import CONVENTIONS, ESSENTIAL, Axes, Convention, Slot, spelled
from .files import Kind
from .infer import Decision, Leaf, Module, decide, parameters, survey
from .match import RenameError, Renames
from .plan import Plan, Step, compose, identity, inverse
from .problems import Problem

# The modules that linen's attention, LSTM and GRU cells are made of.
ATTENTION = ("query", "key", "value")
CELLS = (frozenset(("ii", "if", "ig", "io", "hi", "hf", "hg", "ho")), frozenset(("ir", "iz", "in", "hr", "hz", "hn")))
GATES = frozenset.union(*CELLS)


class Steering(TypedDict, total=False):
    r"""The rules by which a user steers a conversion: keyword options of every verb that plans one.

    kinds: (glob, kind) pairs for module paths as the source writes them.
    renames: (regex, new) pairs, anchored at whole segments of the source's module paths; at most one may match a path.
        The new text may use `\1`, and `.` or `/` between segments; empty, it removes what matched.
    style: `nested` keeps segments, `linen-list` joins `layer.0` to `layer_0`. Not used with a template.
    drop: Globs of source tensors that are not carried over.
    strict: Whether a guess is an error.
    """

    kinds: Sequence[tuple[str, str]]
    renames: Sequence[tuple[str, str]]
    style: str
    drop: Sequence[str]
    strict: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asks for; see `ptformat.converters.plan`. `sink` is the kind of file to be written, if known."""

    to: str
    template: Source | None = None
    kinds: Sequence[tuple[str, str]] = ()
    renames: Sequence[tuple[str, str]] = ()
    style: str = "nested"
    drop: Sequence[str] = ()
    strict: bool = False
    sink: Kind | None = None


class Draft:
    """The state of one planning.

    Attributes:
        plan: What is filled in.
        problems: What is wrong so far.
        table: The source's convention.
        goal: The target's.
        survey: The source's tree, without what is dropped.
        made: Steps by target path, in order of making.
        by_source: Steps by source path.
    """

    def __init__(self, source: Source, request: Request, origin: str) -> None:
        self.source = source
        self.request = request
        self.table, self.goal = CONVENTIONS[origin], CONVENTIONS[request.to]
        self.plan = Plan(source.name, origin, request.to, header=_header(source.header, self.goal))
        self.problems: list[Problem] = []
        self.made: dict[str, Step] = {}
        self.by_source: dict[str, Step] = {}
        self._rename = Renames(request.renames, self.table.separator)
        self.survey = survey(self._kept(), self.table)

    def _kept(self) -> list[Entry]:
        """The source's entries without those that are dropped: by the user's globs, with their target, gradients."""
        gone: set[str] = set()
        kept: list[Entry] = []
        unused = dict.fromkeys(self.request.drop)
        for entry in self.source.entries:
            shown = self.shown(entry.path)
            glob = next((glob for glob in self.request.drop if fnmatchcase(shown, glob)), None)
            if isinstance(entry, Node):
                reason = ""
            elif glob is not None:
                reason = f"--drop {glob}"
            elif isinstance(entry, Alias) and entry.target in gone:
                reason = f"tied to {self.shown(entry.target)}, which is dropped"
            elif isinstance(entry, TensorInfo) and entry.role == "gradient":
                reason = "a gradient"
            else:
                reason = ""
            if reason:
                unused.pop(glob or "", None)
                gone.add(entry.path)
                self.drop(entry.path, reason)
            else:
                kept.append(entry)
        for glob in unused:
            self.problem("unused", glob, f"--drop '{glob}' matches no tensor")
        return kept

    def shown(self, path: str) -> str:
        """A path of the source as its framework writes it."""
        return self.table.separator.join(paths.parse(path))

    def shown_goal(self, path: str) -> str:
        """A path of the target as its framework writes it."""
        return self.goal.separator.join(paths.parse(path))

    def of(self, leaf: Leaf) -> str:
        """A leaf with its shape."""
        return f"{self.shown(leaf.path)} {leaf.shape}"

    def ruleless(self, leaf: Leaf) -> str | None:
        """What a leaf of no kind belongs to for which there is no rule, or None."""
        module = self.survey.modules.get(leaf.module)
        if leaf.name in ("mean", "var") and module and (leaf.collection, "scale") in module.leaves:
            return "a batch norm whose statistics stand among its parameters, as nnx keeps them"
        return self.table.unsupported.get(leaf.name)

    def problem(self, kind: str, path: str, text: str) -> None:
        """Note what is wrong, once."""
        found = Problem(kind, path, text)
        if found not in self.problems:
            self.problems.append(found)

    def drop(self, path: str, reason: str) -> None:
        """Note a tensor of the source that is not carried over."""
        self.plan.dropped.append(f"{self.shown(path)}: {reason}")
        self.plan.dropped_paths.append(path)

    def drop_slotless(self, leaf: Leaf, slot: Slot) -> None:
        """Drop a tensor that the target's framework does not keep."""
        back = f"; it comes back as {slot.fill}" if slot.fill is not None else ""
        self.drop(leaf.path, f"{self.plan.goal} has no such tensor{back}")

    def renamed(self, path: Segments) -> Segments:
        """A module path after the user's renames."""
        try:
            return self._rename(path)
        except RenameError as error:
            self.problem("ambiguous", self.table.separator.join(path), str(error))
            return path

    def check_rules(self) -> None:
        """A rule that matches nothing is a mistake; told only where a template or style has tried them all."""
        names = [self.table.separator.join(path) for path in self.survey.modules]
        for glob, kind in self.request.kinds:
            if not any(fnmatchcase(name, glob) for name in names):
                self.problem("unused", glob, f"--kind '{glob}={kind}' matches no module with tensors")
        for regex, new in self.request.renames:
            if regex not in self._rename.used:
                self.problem("unused", regex, f"--rename '{regex}={new}' matches no run of whole segments")

    def decided(self, module: Module, template: Module | None = None) -> Decision | None:
        """What a module is, or None after noting the problem."""
        name = self.table.separator.join(module.path)
        what = self._layer_of(module.path)
        if what and not any(fnmatchcase(name, glob) for glob, _ in self.request.kinds):
            self.problem("unsupported", name, f"{name} belongs to {what}: there is no rule for it yet")
            return None
        decision = decide(module, self.table, self.goal, self.request.kinds, template)
        if decision.problem:
            self.problem(decision.problem.kind, decision.problem.path, decision.problem.text)
            return None
        return decision

    def _layer_of(self, path: Segments) -> str:
        """The layer without a rule that a module is a part of, or stands beside: linen makes them of modules."""
        beside = {
            name: self.survey.modules[*path[:-1], name].leaves.get((self.table.home, "kernel"))
            for name in (*ATTENTION, *GATES)
            if (*path[:-1], name) in self.survey.modules
        }
        if all(name in beside and (kernel := beside[name]) and len(kernel.shape) == 3 for name in ATTENTION):
            return "attention"
        if path[-1:] and path[-1] in GATES and any(cell <= beside.keys() for cell in CELLS):
            return "a recurrent cell"
        return ""

    def parameters(self, module: Module, decision: Decision) -> dict[str, tuple[Leaf, Axes]]:
        """Neutral parameter -> leaf and axes of a module whose kind is decided."""
        found = parameters(module, decision.kind, self.table)
        assert found is not None  # the kind was chosen among those that fit
        return found

    def permutation(self, axes: Axes, slot: Slot) -> tuple[int, ...]:
        """How axes move into a slot of the target."""
        goal = spelled(slot.axes, len(axes))
        assert goal is not None
        return tuple(axes.index(axis) for axis in goal)

    def step(
        self,
        leaf: Leaf,
        target: TensorInfo,
        perm: tuple[int, ...],
        decision: Decision,
        parameter: str,
        axes: Axes | None,
    ) -> None:
        """Note how a target tensor is made; a problem when another one is made under its path."""
        shown = self.shown_goal(target.path)
        if target.path in self.made:
            both = f"{self.made[target.path].shown_source} and {self.shown(leaf.path)}"
            self.problem("ambiguous", leaf.path, f"{both} both become {shown}")
            return
        essential = bool(decision.kinds) and parameter in ESSENTIAL[decision.kind]
        guess = decision.guess if essential else ""
        shown_source = self.shown(leaf.path)
        made = Step(target, leaf.path, leaf.shape, perm, decision.evidence, shown, shown_source, axes, guess)
        self.made[target.path] = self.by_source[leaf.path] = made

    def fill(self, target: TensorInfo, slot: Slot) -> None:
        """Note a target tensor that has no source and gets its slot's value."""
        shown = self.shown_goal(target.path)
        self.made[target.path] = Step(target, None, (), (), "the source has none", shown, "", fill=slot.fill)

    def info(self, leaf: Leaf, path: str, perm: tuple[int, ...], slot: Slot | None, axes: Axes | None) -> TensorInfo:
        """A target tensor: the leaf's type, its shape and axes moved."""
        own = leaf.entry
        shape = tuple(leaf.shape[i] for i in perm)
        unmoved = own.axes if perm == identity(len(perm)) else None
        spelt = tuple(axes[i] for i in perm) if axes else unmoved
        return TensorInfo(path, leaf.dtype, shape, spelt or None, slot.role if slot else own.role, own.trainable)

    def alias(self, leaf: Leaf, path: str, own: tuple[int, ...]) -> Alias | None:
        """An alias in the target for an alias of the source; None where what it is tied to has no step.

        Args:
            leaf: The source's alias.
            path: The target's path.
            own: How the alias' axes move by its own layout; its target's move by its step.
        """
        alias = leaf.entry
        assert isinstance(alias, Alias)
        base = self.by_source.get(alias.target)
        if base is None:
            return None
        still = identity(len(leaf.shape))
        perm = compose(compose(inverse(base.perm), alias.perm or still), own)
        return Alias(path, base.target.path, None if perm == still else perm)

    def tie(self, leaf: Leaf, path: str, own: tuple[int, ...]) -> None:
        """Enter the alias in the target for an alias of the source; the arguments are those of `alias`."""
        alias = leaf.entry
        assert isinstance(alias, Alias)
        made = self.alias(leaf, path, own)
        if made is None:
            text = f"{self.of(leaf)} is tied to {self.shown(alias.target)}, which has no target"
            self.problem("missing", alias.path, text)
            return
        self.plan.entries.append(made)
        self.plan.tied.append(f"{self.shown_goal(path)} is {self.shown_goal(made.target)} again")

    def tell_collapsed(self) -> None:
        """A line for every module or tensor of the source that has no place of its own in the target."""
        groups: dict[tuple[Segments, Segments], list[Alias]] = {}
        for alias in self.plan.collapsed:
            groups.setdefault((paths.parse(alias.path)[:-1], paths.parse(alias.target)[:-1]), []).append(alias)
        for (module, target), aliases in groups.items():
            names = ", ".join(self.shown(alias.path) for alias in aliases)
            last = {paths.parse(alias.path)[-1] for alias in aliases}
            both = [self.survey.modules.get(path) for path in (module, target)]
            whole = len(aliases) > 1 and all(held and {name for _, name in held.leaves} == last for held in both)
            again = f"layer {self.table.separator.join(target)}" if whole else self.shown(aliases[0].target)
            verb = "are" if len(aliases) > 1 else "is"
            self.plan.tied.append(f"{names} {verb} {again} again: one entry in {self.plan.goal}")


def _header(header: Header, goal: Convention) -> Header:
    """The target's header; `format` is safetensors' word for whose names a file has, and no longer true."""
    metadata = {key: value for key, value in header.metadata.items() if key != "format"}
    return Header(convention=goal.name, metadata=metadata)
