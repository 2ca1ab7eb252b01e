"""From names and shapes to kinds, each with its evidence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ptformat import paths
from ptformat.paths import Segments
from ptformat.tree import Alias, Entry, TensorInfo

from .conventions import SPATIAL, Convention, Form, Kind, Sizes, Slot
from .conventions.axes import ANY
from .keyed import STATE
from .kinds import Said
from .layout import Condition, named_axes, read, sizes_of, unknown, written
from .operations import Given, Operation
from .problems import Problem
from .survey import Fit, Leaf, Module, fits, seen

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
SIZES = "(channels=N,y=N,x=N)"  # of what is flattened, as a user says them
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True, slots=True)
class Choice:
    """A module as a kind, in the source's form and in the target's, and the tensors that come of it.

    Attributes:
        fit: Kind, the source's form, its leaves.
        form: The target's form.
        sizes: Of all axes.
        made: The target's tensors.
        conditions: What must be zero.
        slotless: Slots of the source whose parameters have no place in the target, and need none.
    """

    fit: Fit
    form: Form
    sizes: Sizes
    made: Mapping[Slot, Operation]
    conditions: tuple[Condition, ...] = ()
    slotless: tuple[Slot, ...] = ()

    @property
    def kind(self) -> str:
        """Name of the neutral kind."""
        return self.fit.kind.name

    @property
    def effect(self) -> frozenset[tuple[str, str, Operation]]:
        """What tells it from another choice: names and bytes of the result."""
        return frozenset((slot.collection, slot.name, made) for slot, made in self.made.items())

    @property
    def declared(self) -> bool:
        """Whether it is only considered where something says so, or nothing else fits."""
        kind = self.fit.kind
        return kind.declared or bool(kind.rival) or self.fit.form.declared or self.form.declared


@dataclass(frozen=True, slots=True)
class Decision:
    """What a module is.

    Attributes:
        choice: The kind and forms chosen, or None where there is a problem, or for what is of no kind.
        evidence: Why, in words.
        guess: What else it might be, or empty.
        problem: Why nothing could be decided, or None.
        kinds: All kinds that give the same.
    """

    choice: Choice | None
    evidence: str
    guess: str = ""
    problem: Problem | None = None
    kinds: tuple[str, ...] = ()


@dataclass(slots=True)
class Evidence:
    """All that is said of a module, beside its names and shapes.

    Attributes:
        kinds: Kind -> in words, who says so.
        forms: Names of forms that are asked for.
        facts: Sizes and other facts.
        classes: Of the module and of its template.
        fold: Whether a norm of the weight is to be folded into it.
        said: Names of the facts that the user gave.
        settled: Whether the kind is said of the source itself, and not of the template only.
    """

    kinds: dict[str, str] = field(default_factory=dict)
    forms: set[str] = field(default_factory=set)
    facts: dict[str, object] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)
    fold: bool = False
    said: set[str] = field(default_factory=set)
    settled: bool = False


def decide(
    module: Module,
    convention: Convention,
    target: Convention,
    rules: Iterable[tuple[str, Said]] = (),
    template: Module | None = None,
    fold: bool = False,
    shown: Collection[tuple[str, str]] = (),
) -> Decision:
    """Decide a module's kind from all the evidence there is.

    Args:
        module: The source's module.
        convention: The source's table.
        target: The target's table.
        rules: The user's (glob, kind) pairs; the glob is of the module's path as the source's framework writes it.
        template: The template's module of that place.
        fold: Whether the user asks to fold a norm of the weight into it.
        shown: Kinds and names of the forms that have to be declared and that other modules of the tree do have.
    """
    name = convention.separator.join(module.path) or "the root"
    evidence = _evidence(module, convention, target, rules, template, fold)
    if len(evidence.kinds) > 1:
        return _problem("contradiction", name, f"{name}: {' but '.join(evidence.kinds.values())}")
    if wrong := _unknown_words(evidence, convention, target):
        return _problem("unsupported", name, f"{name}: {wrong}")
    for attribute, what in convention.refused.items():
        if module.node and module.node.attrs and module.node.attrs.get(attribute):
            return _problem("unsupported", name, f"{name} has {attribute}, which {what}: there is no rule for it")
    fitting = fits(module, convention, evidence.facts)
    if evidence.kinds:
        ((kind, said),) = evidence.kinds.items()
        fitting = [fit for fit in fits(module, convention, evidence.facts, kind) if fit.kind.name == kind]
        if not fitting:
            return _unfit(module, kind, said, name, convention, evidence.facts)
    else:
        said = ""
        node = module.node
        own = node.class_ if node and node.class_ != STATE else None  # a State is what holds a module's Variables
        if own and own.startswith(convention.namespace) and not evidence.classes:
            return _problem("unsupported", name, f"{name} is a {own}, for which there is no rule yet")
        known = {one for forms in convention.forms.values() for form in forms for one in form.classes}
        if node and node.class_ in known and not any(node.class_ in fit.form.classes for fit in fitting):
            text = f"{name} is a {node.class_}, but it has {module.text}, for which there is no rule"
            return _problem("unsupported", name, text)
        if template is None and not evidence.classes:
            fitting = [fit for fit in fitting if not fit.kind.explicit]
        if not fitting:
            text = f"{name} has {module.text}: no kind with a rule has these names and ranks"
            return _problem("unsupported", name, text)
    fitting = _narrowed(fitting, evidence)
    choices, reasons = _choices(fitting, target, evidence, template)
    if not choices:
        return _problem(*_no_choice(module, name, fitting, target, template, reasons, said))
    return _chosen(module, convention, choices, said, template, evidence, shown)


def _evidence(
    module: Module,
    convention: Convention,
    target: Convention,
    rules: Iterable[tuple[str, Said]],
    template: Module | None,
    fold: bool,
) -> Evidence:
    found = Evidence(fold=fold)
    finer = ""
    for glob, said in rules:
        if fnmatchcase(convention.separator.join(module.path), glob):
            found.kinds.setdefault(said.kind, f"{said.kind}: --kind {glob}={said.text}")
            found.settled = True
            finer = convention.kinds[said.kind].refines if said.kind in convention.kinds else ""
            found.facts.update(said.facts)
            found.said.update(said.facts)
            if said.form:
                found.forms.add(said.form)
    sides = [(module.node, convention), (template.node if template else None, target)]
    for node, table in ((node, table) for node, table in sides if node is not None):
        for key, value in (node.attrs or {}).items():
            if key in table.facts and isinstance(value, (bool, int, float)):
                found.facts.setdefault(table.facts[key], value)
        classes = {kind for kind, forms in table.forms.items() for form in forms if (node.class_ or "") in form.classes}
        if classes and node.class_:
            found.classes.add(node.class_)
        if node.module and table is target:
            passing = {node.module} | {
                name for name, kind in target.kinds.items() if node.module in (kind.refines, kind.serves)
            }
            if node.module in target.kinds:
                passing.add(target.kinds[node.module].serves)
            if not passing.intersection(found.kinds):
                found.kinds.setdefault(node.module, f"{node.module}: the template's {node.class_ or 'module'}")
        elif node.module and node.module != finer:
            found.kinds.setdefault(node.module, f"{node.module}: recorded in the file")
            found.settled = True
        elif table is convention and len(classes) == 1 and not node.module and not classes & {finer, *found.kinds}:
            (kind,) = classes
            found.kinds.setdefault(kind, f"{kind}: the class {node.class_}")
            found.settled = True
    return found


def _unknown_words(evidence: Evidence, convention: Convention, target: Convention) -> str:
    """What a user says of a kind that neither table knows: a form, or the name of a fact; empty where all is known."""
    if not evidence.said and not evidence.forms:
        return ""
    (kind,) = evidence.kinds
    forms = [form for table in (convention, target) for form in table.forms.get(kind, ())]
    if not forms:
        return ""
    names = dict.fromkeys(form.name for form in forms if form.name)
    for asked in sorted(evidence.forms - names.keys()):
        return f"{evidence.kinds[kind]}; {kind} has no form {asked} (known: {', '.join(names) or 'none'})"
    facts = dict.fromkeys(name for parameter in convention.kinds[kind].parameters.values() for name in parameter)
    for form in forms:
        finer = [name for axes in form.refine.values() for name in axes]
        facts.update(dict.fromkeys([*finer, *form.when, *(name for slot in form.slots for name in slot.scale)]))
    if facts.pop(SPATIAL, "") is None:
        facts.update(dict.fromkeys("zyx"))
    for name in sorted(evidence.said - facts.keys()):
        known = ", ".join(fact for fact in facts if fact != ANY)
        return f"{evidence.kinds[kind]}; {kind} has nothing called {name} (known: {known})"
    return ""


def _narrowed(fitting: list[Fit], evidence: Evidence) -> list[Fit]:
    """The fits in the form that is asked for, or that what is known of the module speaks for; all where none is."""
    facts = evidence.facts
    tests: tuple[Callable[[Fit], bool], ...] = (
        lambda fit: fit.form.name in evidence.forms,
        lambda fit: all(facts.get(name, value) == value for name, value in fit.form.when.items()),
        lambda fit: bool(evidence.classes.intersection(fit.form.classes)),
        lambda fit: all(map(_as_recorded, fit.held.items())),
    )
    for test in tests:
        fitting = [fit for fit in fitting if test(fit)] or fitting
    return fitting


def _as_recorded(item: tuple[Slot, Leaf]) -> bool:
    """Whether a leaf's recorded axes, which tell apart what names and ranks do not, are those of a slot."""
    slot, leaf = item
    if leaf.tied or not isinstance(leaf.made, Given) or leaf.entry.axes is None:
        return True
    return leaf.entry.axes == named_axes(slot, len(leaf.shape))


def _choices(
    fitting: Sequence[Fit], target: Convention, evidence: Evidence, template: Module | None
) -> tuple[list[Choice], list[str]]:
    """The ways in which a module can be laid out in the target, and why others cannot."""
    choices: list[Choice] = []
    reasons: list[str] = []
    apart: list[tuple[Fit, Form, dict[Slot, tuple[int, ...]]]] = []
    for fit in fitting:
        forms = target.forms.get(fit.kind.name, ())
        asked = [form for form in forms if form.name in evidence.forms]
        asked = asked or [form for form in forms if evidence.classes.intersection(form.classes)]
        for form in asked or forms:
            if not _allowed(fit.kind, form, evidence, template):
                continue
            held = _placed(form, template) if template is not None else {}
            if held is None:
                continue
            shapes = {slot: leaf.shape for slot, leaf in held.items()}
            sizes = sizes_of(fit.kind, [(fit.form, fit.shapes), (form, shapes)], evidence.facts)
            if sizes is None:
                apart.append((fit, form, shapes))
                continue
            made = _made(fit, form, sizes, evidence)
            if isinstance(made, str):
                reasons.append(made)
            elif all(made.made[slot].shape == shapes[slot] for slot in made.made if slot in shapes):
                choices.append(made)
                if template is None:
                    break  # the first form is the usual one
            else:
                apart.append((fit, form, shapes))
        if not forms:
            reasons.append(f"{target.name} has no counterpart of {fit.kind.name}")
    return choices or _loosely(apart, evidence, reasons), reasons


def _loosely(
    apart: Sequence[tuple[Fit, Form, Mapping[Slot, tuple[int, ...]]]], evidence: Evidence, reasons: list[str]
) -> list[Choice]:
    """The ways that have the ranks of the template's tensors, though not their shapes: the problem is then a shape."""
    choices: list[Choice] = []
    for fit, form, shapes in apart:
        sizes = sizes_of(fit.kind, [(fit.form, fit.shapes), (form, {})], evidence.facts)
        made = _made(fit, form, sizes or fit.sizes, evidence)
        if isinstance(made, str):
            reasons.append(made)
        elif not made.declared and all(
            len(tensor.shape) == len(shapes.get(slot, tensor.shape)) for slot, tensor in made.made.items()
        ):
            choices.append(made)
    return choices


def _allowed(kind: Kind, form: Form, evidence: Evidence, template: Module | None) -> bool:
    """Whether a form of the target may be taken."""
    if form.name in evidence.forms or (evidence.classes.intersection(form.classes) and not form.when):
        return True
    for fact, value in form.when.items():
        known = evidence.facts.get(fact)
        if known != value and (known is not None or (template is None and value is not False)):
            return False
    return template is not None or not form.declared or (kind.declared and kind.name in evidence.kinds)


def _placed(form: Form, template: Module) -> dict[Slot, Leaf] | None:
    """The template's leaves in the slots of a form, if each has one."""
    slots = {(slot.collection, slot.name): slot for slot in form.slots}
    if not template.leaves.keys() <= slots.keys():
        return None
    return {slots[at]: leaf for at, leaf in template.leaves.items()}


def _numbers(facts: Mapping[str, object]) -> dict[str, float]:
    """The facts that are sizes or factors."""
    return {name: value for name, value in facts.items() if isinstance(value, (int, float)) and type(value) is not bool}


def _made(fit: Fit, form: Form, sizes: Sizes, evidence: Evidence) -> Choice | str:
    """A choice, or why it cannot be."""
    if fit.form.fold and not evidence.fold:
        return "its weight stands under a spectral norm; --fold divides it by the norm, which changes its bits"
    factors = {**_numbers(evidence.facts), **sizes}
    known = {**{name: value for name, value in factors.items() if isinstance(value, int)}, **sizes}
    parameters = {parameter for slot in fit.held for parameter in slot.holds}
    missing = unknown(fit.kind, fit.form, parameters, known) or unknown(fit.kind, form, parameters, known)
    scales = {name for slot in (*fit.held, *form.slots) for name in slot.scale if name not in factors}
    if missing or scales:
        names = [*[name for name in missing if name not in fit.kind.usual][:1], *sorted(scales)]
        return f"nothing tells the size of {' and '.join(names)}. Say --kind 'GLOB={fit.kind.name}({names[0]}=N)'"
    try:
        reading = read(fit.kind, fit.form, {slot: leaf.made for slot, leaf in fit.held.items()}, known, factors)
        made = {slot: written(fit.kind, form, slot, reading.parameters, known, factors) for slot in form.slots}
    except ValueError as error:
        return str(error)
    tensors = {slot: one for slot, one in made.items() if one is not None}
    placed = {parameter for slot in tensors for parameter in slot.holds if parameter not in slot.addends}
    conditions = list(reading.conditions)
    slotless: list[Slot] = []
    for slot in fit.held:
        for parameter in slot.holds:
            if parameter in placed or parameter in slot.addends:
                continue
            if parameter in form.zero:
                text = f"{slot.name}: {parameter}, for which the target has no place"
                conditions.append(Condition(reading.parameters[parameter], text))
            elif slot.fill is not None:
                slotless.append(slot)
            else:
                return f"the target has no place for {slot.name} ({parameter})"
    return Choice(fit, form, known, tensors, tuple(conditions), tuple(slotless))


def _no_choice(
    module: Module,
    name: str,
    fitting: Sequence[Fit],
    target: Convention,
    template: Module | None,
    reasons: Sequence[str],
    said: str,
) -> tuple[str, str, str]:
    """Kind, path and text of the problem that no layout of the target takes a module."""
    why = f" ({said})" if said else ""
    if template is not None and not reasons:
        text = f"{name} has {module.text}{why}, its place in the template {template.text}: no kind has both"
        return "contradiction", name, text
    reason = next(iter(reasons), f"{target.name} has no counterpart of {fitting[0].kind.name}")
    kind = "ambiguous" if "nothing tells" in reason else "lossy" if "--fold" in reason else "unsupported"
    return (
        kind,
        name,
        f"{name} has {module.text}{why}: {reason.replace('GLOB', name).replace('--fold', f'--fold {name!r}')}",
    )


def _chosen(
    module: Module,
    convention: Convention,
    choices: Sequence[Choice],
    said: str,
    template: Module | None,
    evidence: Evidence,
    shown: Collection[tuple[str, str]],
) -> Decision:
    """The choice that the evidence speaks for, and what else it might be."""
    usual = [choice for choice in choices if not choice.declared or choice.form.name in evidence.forms]
    rare = [choice for choice in choices if choice not in usual]
    left = usual or rare
    text = module.text
    if template is not None and not said and len(left) < len(fits(module, convention, evidence.facts)):
        text = "the template's names"
    left, word = (left, "") if said else _by_word(left, module.path)
    groups: dict[object, list[Choice]] = {}
    for choice in left:
        groups.setdefault(choice.effect, []).append(choice)
    (first, *others) = groups.values()
    kinds = tuple(dict.fromkeys(choice.kind for choice in first))
    if said:
        guess = _form_of(others[0][0]) if others else ""
        if not evidence.settled:  # the template says what it is, but not in which form the source has it
            guess = guess or next(map(_form_of, _shown(rare, first[0], shown)), "")
        return Decision(first[0], said, guess, None, kinds)
    guess = " or ".join(_form_of(group[0]) if group[0].kind in kinds else group[0].kind for group in others)
    rivals = [one for one in _shown(rare, first[0], shown) if not word or one.kind in kinds]
    guess = (
        guess or next(map(_form_of, rivals), "") or _rival(module, convention, kinds, first[0], rare, word, template)
    )
    label = kinds[0] if len(kinds) == 1 else f"{kinds[0].split('_')[-1]} ({' or '.join(kinds)}: the same rule)"
    if first[0].fit.form.declared or first[0].form.declared:
        label = _form_of(first[0])
    classed = module.node.class_ if module.node else None
    if classed and any(len(leaf.shape) > 1 for leaf in module.leaves.values()):
        guess = guess or f"something else in a {classed}"
    return Decision(first[0], f"{label}: {f'the name {word}' if word else text}", guess, None, kinds)


def _shown(rare: Sequence[Choice], choice: Choice, shown: Collection[tuple[str, str]]) -> list[Choice]:
    """The choices that give something else, in forms that other modules of the tree do have."""
    return [
        one
        for one in rare
        if one.effect != choice.effect and any((one.kind, each.name) in shown for each in (one.fit.form, one.form))
    ]


def _form_of(choice: Choice) -> str:
    name = choice.fit.form.name or choice.form.name
    return f"{choice.kind}:{name}" if name else choice.kind


def _by_word(choices: list[Choice], path: Segments) -> tuple[list[Choice], str]:
    """The choices that a word of the module's name speaks for, and the word; all of them when none does."""
    named = next((segment for segment in reversed(path) if not segment.isdigit()), "")
    words = {word.lower() for word in _WORD.findall(named)}
    if path and path[-1].isdigit():
        words -= WEAK
    spoken = {kind: words.intersection(known) for kind, known in WORDS.items() if words.intersection(known)}
    chosen = [choice for choice in choices if choice.kind in spoken or ("norm" in choice.kind and "norm" in spoken)]
    return (chosen, named) if chosen and len(chosen) < len(choices) else (choices, "")


def _rival(
    module: Module,
    convention: Convention,
    kinds: Sequence[str],
    choice: Choice,
    rare: Sequence[Choice],
    word: str,
    template: Module | None,
) -> str:
    """A rarer kind that the names and shapes fit as well and that gives something else, or nothing."""
    found = [one for one in rare if one.fit.kind.rival in kinds and one.effect != choice.effect]
    if found and found[0].kind != "prelu_channels":
        return found[0].kind
    if "rms_norm" in kinds and convention.name == "torch" and not word:
        classed = module.node is not None and module.node.class_ is not None and "norm" in module.node.class_.lower()
        normed = any(part in " ".join(module.path).lower() for part in ("norm", "ln"))
        return "" if classed or normed or template is not None else "prelu"
    return ""


def _problem(kind: str, name: str, text: str) -> Decision:
    return Decision(None, "", problem=Problem(kind, name, text))


def _unfit(
    module: Module, kind: str, evidence: str, name: str, convention: Convention, facts: Mapping[str, object]
) -> Decision:
    if kind not in convention.kinds:
        known = ", ".join(convention.kinds)
        return _problem("unsupported", name, f"{name}: {evidence}; there is no rule for it yet (known: {known})")
    text = f"{name}: {evidence}, but it has {module.text}"
    needs = _needs_spatial(module, convention.forms.get(kind, ()), facts)
    if needs:
        return _problem(
            "ambiguous", name, f"{text}: nothing tells the sizes of {needs}. Say --kind '{name}={kind}{SIZES}'"
        )
    if "the class" in evidence:
        return _problem("unsupported", name, f"{text}, for which there is no rule")
    return _problem("contradiction", name, text)


def _needs_spatial(module: Module, forms: Sequence[Form], facts: Mapping[str, object]) -> str:
    """The axes that lie in one axis of a module and whose number nothing tells, or empty."""
    for form in forms:
        names = {(slot.collection, slot.name) for slot in form.slots}
        within = [dim for slot in form.slots for dim in slot.dims if SPATIAL in dim and len(dim) > 1]
        if within and module.leaves.keys() <= names and "x" not in facts:
            return " and ".join(name.strip("*") for name in within[0])
    return ""


def convention_of(entries: Sequence[Entry], tables: Mapping[str, Convention], recorded: str | None) -> str | None:
    """Whose names a tree has: as recorded, or by leaf names that only one framework has.

    None when none or several have them, and when a convention is recorded that has no table.
    """
    if recorded is not None:
        return next((name for name, table in tables.items() if table.name == recorded), None)
    split = [paths.parse(entry.path) for entry in entries if isinstance(entry, (TensorInfo, Alias)) and entry.path]
    own = {name: table.leaf_names | set(table.unsupported) for name, table in tables.items() if name != "nnx"}
    held = Counter(each for names in own.values() for each in names)
    speaking = [
        name
        for name, names in own.items()
        if any((last := seen(segments, tables[name])[1]) in names and held[last] == 1 for segments in split)
    ]
    return speaking[0] if len(speaking) == 1 else None
