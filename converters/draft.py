"""A plan in the making: what is asked, what is found, what is decided so far, and what is wrong."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TypedDict

from ptformat import paths
from ptformat.atomic import PathLike
from ptformat.columns import Header
from ptformat.paths import Segments
from ptformat.tree import Alias, Entry, Node, TensorInfo

from . import operations as ops
from .applied import Applied, Rule
from .content import Source
from .conventions import Convention, Slot
from .files import Kind
from .infer import Decision, decide
from .kinds import said
from .layout import named_axes
from .match import RenameError, Renames
from .operations import Given, Operation
from .plan import Plan, Step, identity
from .problems import Problem
from .rules import Rules, load
from .stacks import Stack, stacked_in
from .survey import Leaf, Module, Survey, assemblies, fits, survey

_DIALECT = "dialect"  # the key of metadata in files whose header has no place for it


ABSENT = "the source has none"


class Steering(TypedDict, total=False):
    r"""The rules by which a user steers a conversion: keyword options of every verb that plans one.

    kinds: (glob, kind) pairs for module paths as the source writes them. A kind may name a form and facts:
        `attention:qkv(heads=12)`, `flatten_linear(channels=16, y=5, x=5)`.
    renames: (regex, new) pairs, anchored at whole segments of the source's module paths; at most one may match a path.
        The new text may use `\1`, and `.` or `/` between segments; empty, it removes what matched.
    prefix: (old, new) beginnings of all names of the source; both with whole segments, either may be empty.
    style: `nested` keeps segments, `linen-list` joins `layer.0` to `layer_0`, `linen-compact` numbers layers by their
        class as a compact module does (`Dense_0`). Not used with a template.
    only: Globs; tensors of the source that match none of them are not carried over.
    drop: Globs of source tensors that are not carried over.
    missing: (glob, policy) pairs for tensors of the template that the source does not have: `keep` takes the
        template's own, a number fills.
    stacks: Rules for lists of equal layers that the target holds stacked: see `Stack`.
    unstacks: (path, axis) pairs of source modules whose tensors are stacked layers, which become a list.
    apply: (glob, operations) pairs: what is done to source tensors before their layout is changed, such as
        `scale(0.125)`; see `applied`.
    cast: (glob, dtype) pairs for target tensors.
    fold: Globs of source modules whose spectral norm is folded into their weight.
    by_order: Whether modules without a namesake in the template are paired by their order among those of one kind.
    origin: The convention of the source where neither the file nor its names tell.
    strict: Whether a guess is an error.
    rules: Rules of a family of models, or tables of one's own: a TOML file, the name of a family that the library has
        rules for, or `Rules`. See `ptformat.converters.rules`.
    dialect: Which of the rules' dialects the source has, where it does not record it.
    to_dialect: Which of them the target gets; that which the template records, else the first.
    facts: Numbers that stand in operations as `{name}`.
    """

    kinds: Sequence[tuple[str, str]]
    renames: Sequence[tuple[str, str]]
    prefix: tuple[str, str]
    style: str
    only: Sequence[str]
    drop: Sequence[str]
    missing: Sequence[tuple[str, str]]
    stacks: Sequence[Stack]
    unstacks: Sequence[tuple[str, int]]
    apply: Sequence[tuple[str, str]]
    cast: Sequence[tuple[str, str]]
    fold: Sequence[str]
    by_order: bool
    origin: str | None
    strict: bool
    rules: Rules | PathLike | None
    dialect: str | None
    to_dialect: str | None
    facts: Mapping[str, int | float]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asks for; see `Steering`. `sink` is the kind of file to be written, if known."""

    to: str
    template: Source | None = None
    kinds: Sequence[tuple[str, str]] = ()
    renames: Sequence[tuple[str, str]] = ()
    prefix: tuple[str, str] = ("", "")
    style: str = "nested"
    only: Sequence[str] = ()
    drop: Sequence[str] = ()
    missing: Sequence[tuple[str, str]] = ()
    stacks: Sequence[Stack] = ()
    unstacks: Sequence[tuple[str, int]] = ()
    apply: Sequence[tuple[str, str]] = ()
    cast: Sequence[tuple[str, str]] = ()
    fold: Sequence[str] = ()
    by_order: bool = False
    origin: str | None = None
    strict: bool = False
    rules: Rules | PathLike | None = None
    dialect: str | None = None
    to_dialect: str | None = None
    facts: Mapping[str, int | float] = field(default_factory=dict)
    sink: Kind | None = None

    @property
    def steered(self) -> bool:
        """Whether rules or a template are given: more than where it comes from and goes to."""
        plain = Request(to=self.to, strict=self.strict, sink=self.sink, origin=self.origin)
        return replace(self, rules=None) != plain or (self.rules is not None and self.family.steers)

    @functools.cached_property
    def family(self) -> Rules:
        """The rules that are given, read; empty ones where none are."""
        if isinstance(self.rules, Rules):
            return self.rules
        return Rules(name="") if self.rules is None else load(self.rules)

    @property
    def tables(self) -> Mapping[str, Convention]:
        """Name of a convention -> its table."""
        return self.family.tables


class Draft:
    """The state of one planning.

    Attributes:
        plan: What is filled in.
        problems: What is wrong so far.
        table: The source's convention.
        goal: The target's.
        survey: The source's tree, without what is dropped.
        kept: Its entries.
        made: Steps by target path, in order of making.
        known: Every module whose kind is decided, with the template's of its place.
        rules: (glob, kind) pairs of the user's, parsed.
    """

    def __init__(self, source: Source, request: Request, origin: str) -> None:
        self.source = source
        self.request = request
        self.table, self.goal = request.tables[origin], request.tables[request.to]
        self.plan = Plan(source.name, origin, request.to, header=_header(source.header, self.goal))
        self.problems: dict[Problem, None] = {}  # in order, each once
        self.made: dict[str, Step] = {}
        self._dropped: set[str] = set()
        self.known: list[tuple[Module, Decision, Module | None]] = []
        family = request.family
        self.rules = [(glob, said(kind)) for glob, kind in (*request.kinds, *family.kinds)]
        self.stacks = (*request.stacks, *family.stacks)
        self.missing = (*request.missing, *family.missing)
        self.applied = Applied(self._asked(), self._facts())
        self.sharing: dict[Operation, str] = {}  # what a target tensor is made of, but for its axes' order -> its path
        self._rename = Renames((*request.renames, *family.renames), self.table.separator)
        self._folds = dict.fromkeys(request.fold)
        self._casts = dict.fromkeys(glob for glob, _ in request.cast)
        self._rows = {entry.path: row for row, entry in enumerate(source.entries)}
        self.survey = self._surveyed()

    def _surveyed(self) -> Survey:
        self.kept = kept = self._kept()
        unstacked = stacked_in((*self.request.unstacks, *self.request.family.unstacks), self.table.separator)
        try:
            found = survey(kept, self.table, unstacked)
        except ValueError as error:
            self.problem("shape", "", f"--unstack: {error}")
            found = survey(kept, self.table)
        self._check_unstacks()
        self.applied.to(found, self.shown, self.problem)
        return found

    def _check_unstacks(self) -> None:
        """Each of the user's stacks is there, once those before it are taken apart."""
        if not self.request.unstacks:
            return
        leaves = survey(self.kept, self.table).leaves
        modules = {tuple("0" if name.isdigit() else name for name in leaf.module) for leaf in leaves}
        for path, axis in self.request.unstacks:
            head = tuple("0" if name.isdigit() else name for name in path.split(self.table.separator))  # any layer
            below = {module for module in modules if module[: len(head)] == head}
            modules = (modules - below) | {(*head, "0", *module[len(head) :]) for module in below}
            if not below:
                text = f"--unstack '{path}={axis}' matches no module with tensors; a stack within another goes first"
                self.problem("unused", path, text)

    def _asked(self) -> list[Rule]:
        """What is done to the source's tensors: as the user says, as the family does, from dialect to dialect."""
        family = self.request.family
        asked = [Rule(*pair) for pair in self.request.apply]
        asked += [Rule(*pair, who="rules") for pair in family.apply]
        self.dialect, self.dialect_guess = self._dialect()
        given = self.request.to_dialect
        template = self.request.template
        there = self._one_dialect(template, given, "--to-dialect") if template is not None else given
        self._known_dialect(there, "--to-dialect")
        if self.dialect is None:
            return asked
        there = there or next(iter(family.dialects))
        sink = self.request.sink
        if sink is None or sink.records:
            self.plan.header.metadata.pop(_DIALECT, None)
            self.plan.header.dialect = there
        else:
            self.plan.header.metadata[_DIALECT] = there
        if self.dialect != there:
            for name, back in ((self.dialect, False), (there, True)):
                asked += [Rule(*pair, who=f"dialect {name}", back=back) for pair in family.dialects.get(name, ())]
        return asked

    def _dialect(self) -> tuple[str | None, str]:
        """(the source's dialect, what else it may be): as recorded, as given, else the first, which is a guess."""
        known = self.request.family.dialects
        said = self._one_dialect(self.source, self.request.dialect, "--dialect")
        self._known_dialect(said, "--dialect")
        if not known:
            return None, ""
        first, *others = known
        return (said, "") if said else (first, f"the dialect {' or '.join(others)}" if others else "")

    def _one_dialect(self, source: Source, given: str | None, option: str) -> str | None:
        """The dialect that is recorded or given; a problem where these are two."""
        recorded = source.header.dialect or source.header.metadata.get(_DIALECT)
        if not self.request.family.dialects:
            recorded = None
        if given is not None and recorded is not None and given != recorded:
            text = f"{source.name} is recorded in the dialect {recorded!r}, but {option} says {given!r}"
            self.problem("contradiction", source.name, text)
        return given if given is not None or recorded is None else str(recorded)

    def _known_dialect(self, name: str | None, option: str) -> None:
        family = self.request.family
        if name is not None and not family.dialects:
            self.problem("unused", self.source.name, f"{option} {name}: no rules with dialects are given")
        elif name is not None and name not in family.dialects:
            text = f"the dialect {name!r} is none of {family.name}'s: {', '.join(family.dialects)}"
            self.problem("unsupported", self.source.name, text)

    def _facts(self) -> dict[str, object]:
        """Numbers for operations: the family's usual ones, those that the file records, those that the user gives."""
        return {**self.request.family.facts, **self.source.header.metadata, **self.request.facts}

    def assemble(self) -> None:
        """Take attention, cells and the like as one module each, where names leave no doubt or something says so."""
        claimed: list[Module] = []
        for module, fit in list(assemblies(self.survey)):
            path = self.table.separator.join(module.path)
            asked = [each for glob, each in self.rules if fnmatchcase(path, glob) and each.kind == fit.kind.name]
            recorded = module.node is not None and module.node.module == fit.kind.name
            # Where the target has no such layer, its parts go as what they are by themselves.
            inferred = not fit.form.declared and fit.kind.name in self.goal.forms
            if asked or recorded or inferred:
                claimed.append(module)
        self.survey.claim(claimed)

    def _kept(self) -> list[Entry]:
        """The source's entries without those that are dropped: by the user's globs, with their target, gradients."""
        gone: set[str] = set()
        kept: list[Entry] = []
        unused = dict.fromkeys(self.request.drop)
        wanted = dict.fromkeys(self.request.only)
        drops = (*self.request.drop, *self.request.family.drop)
        for entry in self.source.entries:
            shown = self.shown(entry.path)
            glob = next((glob for glob in drops if fnmatchcase(shown, glob)), None)
            only = next((glob for glob in self.request.only if fnmatchcase(shown, glob)), None)
            if isinstance(entry, Node):
                reason = ""
            elif glob is not None:
                reason = f"--drop {glob}"
            elif self.request.only and only is None:
                reason = "not among --only"
            elif isinstance(entry, Alias) and entry.target in gone:
                reason = f"tied to {self.shown(entry.target)}, which is dropped"
            elif isinstance(entry, TensorInfo) and entry.role == "gradient":
                reason = "a gradient"
            elif self._no_weight(entry):
                reason = f"a {getattr(entry, 'class_', None) or 'state'} is no weight"
            else:
                reason = ""
            if reason:
                unused.pop(glob or "", None)
                gone.add(entry.path)
                self.drop(entry.path, reason)
            else:
                if not isinstance(entry, Node):
                    wanted.pop(only or "", None)
                kept.append(entry)
        for glob in unused:
            self.problem("unused", glob, f"--drop '{glob}' matches no tensor")
        for glob in wanted:
            self.problem("unused", glob, f"--only '{glob}' matches no tensor")
        return kept

    def _no_weight(self, entry: Entry) -> bool:
        """Whether it is a state of nnx's, such as a random generator's, which no other framework has."""
        return self.table.follows == "nnx" != self.goal.follows and getattr(entry, "role", None) == "state"

    def shown(self, path: str) -> str:
        """A path of the source as its framework writes it."""
        return self.table.separator.join(paths.parse(path))

    def shown_goal(self, path: str) -> str:
        """A path of the target as its framework writes it."""
        return self.goal.separator.join(paths.parse(path))

    def of(self, leaf: Leaf) -> str:
        """A leaf with its shape."""
        return f"{self.shown(leaf.path)} {leaf.shape}"

    def row(self, made: Operation) -> int:
        """Where in the source the first tensor of a result stands."""
        return min((self._rows[given.path] for given in ops.sources(made) if not given.kept), default=0)

    def ruleless(self, leaf: Leaf) -> str | None:
        """What a leaf of no kind belongs to for which there is no rule, or None."""
        module = self.survey.modules.get(leaf.module)
        linen = self.table.follows == "linen"
        if linen and leaf.name in ("mean", "var") and module and (leaf.collection, "scale") in module.leaves:
            return "a batch norm whose statistics stand among its parameters, as nnx keeps them (--from nnx)"
        if self.table.follows == "torch" and "parametrizations" in leaf.module:
            return "a parametrised layer: call torch.nn.utils.parametrize.remove_parametrizations first"
        return self.table.unsupported.get(leaf.name)

    def problem(self, kind: str, path: str, text: str) -> None:
        """Note what is wrong, once."""
        self.problems[Problem(kind, path, text)] = None

    def drop(self, path: str, reason: str) -> None:
        """Note a tensor of the source that is not carried over."""
        if path not in self._dropped:
            self._dropped.add(path)
            self.plan.dropped.append(f"{self.shown(path)}: {reason}")
            self.plan.dropped_paths.append(path)

    def drop_slotless(self, leaf: Leaf, slot: Slot) -> None:
        """Drop a tensor that the target's framework does not keep."""
        back = f"; it comes back as {slot.fill}" if slot.fill is not None else ""
        self.drop(leaf.path, f"{self.plan.goal} has no such tensor{back}")

    def renamed(self, path: Segments) -> Segments:
        """A module path after the user's prefix and renames."""
        old, new = (tuple(filter(None, part.replace("/", ".").split("."))) for part in self.request.prefix)
        if old or new:
            if path[: len(old)] != old:
                shown = self.table.separator.join(path)
                text = f"{shown} does not begin with the prefix {self.table.separator.join(old)}"
                self.problem("ambiguous", shown, text)
                return path
            path = (*new, *path[len(old) :])
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
        for glob in self._folds:
            self.problem("unused", glob, f"--fold '{glob}' matches no module with a norm that can be folded")
        for glob in self._casts:
            self.problem("unused", glob, f"--cast '{glob}' matches no tensor of the target")

    def decided(self, module: Module, template: Module | None = None) -> Decision | None:
        """What a module is, or None after noting the problem."""
        name = self.table.separator.join(module.path)
        folds = (*self.request.fold, *self.request.family.fold)
        fold = next((glob for glob in folds if fnmatchcase(name, glob)), None)
        decision = decide(module, self.table, self.goal, self.rules, template, fold is not None, self.shown_forms)
        if decision.problem:
            self.problem(decision.problem.kind, decision.problem.path, decision.problem.text)
            return None
        assert decision.choice is not None
        if decision.choice.fit.form.fold:
            self._folds.pop(fold or "", None)
            for slot, leaf in decision.choice.fit.held.items():
                if not slot.holds:
                    self.drop(leaf.path, "folded into the weight")
        self.plan.conditions += decision.choice.conditions
        self.known.append((module, decision, template))
        for slot in decision.choice.slotless:
            self.drop_slotless(decision.choice.fit.held[slot], slot)
        return decision

    @functools.cached_property
    def shown_forms(self) -> set[tuple[str, str]]:
        """Kinds and names of forms that have to be declared, and that a module has whose shapes fit nothing else."""
        found: set[tuple[str, str]] = set()
        declared = {
            (kind, form.name)
            for kind, forms in self.table.forms.items()
            for form in forms
            if form.declared and not form.whole
        }
        for module in self.survey.modules.values() if declared else ():
            fitting = [fit for fit in fits(module, self.table) if not fit.kind.explicit]
            if fitting and all((fit.kind.name, fit.form.name) in declared for fit in fitting):
                found.update((fit.kind.name, fit.form.name) for fit in fitting)
        return found

    def show_forms(self, pairs: Iterable[tuple[Module, Module]]) -> None:
        """Add to `shown_forms` those in which no more than the template's shapes show a module to be kept."""
        looked: set[object] = set()  # most of a model's layers are alike
        for module, place in pairs:
            name = self.table.separator.join(module.path)
            like = tuple((one.text, one.node and (one.node.module, one.node.class_)) for one in (module, place))
            if like in looked or any(fnmatchcase(name, glob) for glob, _ in self.rules):
                continue
            looked.add(like)
            choice = decide(module, self.table, self.goal, (), place).choice
            if choice is not None:
                declared = [form for form in (choice.fit.form, choice.form) if form.declared and not form.whole]
                self.shown_forms.update((choice.kind, form.name) for form in declared)

    def cast(self, path: str, made: Operation) -> Operation:
        """A target tensor in the type that the user asks for."""
        shown = self.shown_goal(path)
        for glob, dtype in (*self.request.cast, *self.request.family.cast):
            if fnmatchcase(shown, glob):
                self._casts.pop(glob, None)
                return ops.cast(made, dtype)
        return made

    def step(
        self,
        target: TensorInfo,
        made: Operation,
        decision: Decision,
        slot: Slot | None = None,
        axes: tuple[str, ...] | None = None,
    ) -> None:
        """Note how a target tensor is made; a problem when another one is made under its path."""
        shown = self.shown_goal(target.path)
        given = ops.sources(made)
        first = self.shown(given[0].path) if given else ""
        shown_source = f"{first} and {len(given) - 1} more" if len(given) > 1 else first
        if target.path in self.made:
            both = f"{self.made[target.path].shown_source} and {shown_source}"
            self.problem("ambiguous", given[0].path if given else "", f"{both} both become {shown}")
            return
        guess = self.guess(decision, slot)
        self.made[target.path] = Step(target, made, decision.evidence, shown, shown_source, axes, guess)
        inner, _ = split(made)
        self.sharing.setdefault(inner, target.path)

    def guess(self, decision: Decision, slot: Slot | None) -> str:
        """What else a tensor's module might be, where that would change the tensor; a bias is one in all its kinds."""
        choice = decision.choice
        essential = choice and slot and set(slot.holds).intersection(choice.fit.kind.essential)
        return decision.guess if essential or choice is None else ""

    def fill(self, target: TensorInfo, value: int | float, why: str = ABSENT) -> None:
        """Note a target tensor that has no source and gets a value."""
        made = ops.Fill(target.shape, target.dtype, value)
        self.made[target.path] = Step(target, made, why, self.shown_goal(target.path), "")

    def info(self, path: str, made: Operation, leaves: Sequence[Leaf], slot: Slot | None) -> TensorInfo:
        """A target tensor: type and shape as it is made, role and the like from the leaves that it is made of."""
        if not leaves:  # nothing but zeros
            return TensorInfo(path, made.dtype, made.shape, role=slot.role if slot else None)
        own = leaves[0].entry
        trainable = own.trainable if all(leaf.entry.trainable == own.trainable for leaf in leaves) else None
        axes = named_axes(slot, len(made.shape)) if slot else None
        if slot is None and isinstance(made, Given):
            axes = own.axes
        return TensorInfo(path, made.dtype, made.shape, axes or None, slot.role if slot else own.role, trainable)

    def alias(self, path: str, made: Operation) -> Alias | None:
        """An alias in the target for a tensor that is made of the same as another; None where there is none."""
        inner, perm = split(made)
        base = self.sharing.get(inner)
        if base is None or base == path:
            return None
        _, other = split(self.made[base].made)
        order = tuple(other.index(axis) for axis in perm)
        return Alias(path, base, None if order == identity(len(order)) else order)

    def tie(self, path: str, leaf: Leaf, made: Operation) -> bool:
        """Enter the alias in the target for an alias of the source; False where what it is tied to is not there."""
        alias = self.alias(path, made)
        if alias is None:
            return False
        self.plan.entries.append(alias)
        self.plan.tied.append(f"{self.shown_goal(path)} is {self.shown_goal(alias.target)} again")
        return True

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


def split(made: Operation) -> tuple[Operation, tuple[int, ...]]:
    """(what a tensor is made of, the order of its axes): the last permutation taken off."""
    if isinstance(made, ops.Permute):
        return made.of, made.perm
    return made, identity(len(made.shape))


def contributing(made: Operation, held: Mapping[Slot, Leaf]) -> list[Leaf]:
    """Those of a module's leaves that a tensor is made of, in their order."""
    given = {one.path for one in ops.sources(made)}
    return [leaf for leaf in held.values() if given & {one.path for one in ops.sources(leaf.made)}]


def _header(header: Header, goal: Convention) -> Header:
    """The target's header; `format` is safetensors' word for whose names a file has, and no longer true."""
    metadata = {key: value for key, value in header.metadata.items() if key != "format"}
    return Header(convention=goal.name, dialect=header.dialect, metadata=metadata)
