"""The options by which `plan` and `convert` are steered: what things are, what they are called, what becomes of them.

Every option is checked when it is given, before any file is opened; the converters are imported only then.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .failures import about, check_source
from .text import Verb

if TYPE_CHECKING:
    from ..converters.content import Source

CONVENTIONS = ("linen", "nnx", "torch")  # the converters' own, which are imported only when there is work
STYLES = ("nested", "linen-list", "linen-compact")
GROUPS = ("What things are", "Names", "Values", "Output")
KINDS, NAMES, VALUES, OUTPUT = GROUPS
_OBJECT = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
Command = TypeVar("Command", bound=Callable[..., Any])
Pairs = tuple[tuple[str, str], ...]


class Steered(Verb):
    """A verb whose help lists its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A section for each group; what has none is output."""
        rows: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                rows[getattr(param, "group", OUTPUT)].append(record)
        for group, records in rows.items():
            with formatter.section(group):
                formatter.write_dl(records)


class Option(click.Option):
    """An option of a group. Those of the first three steer."""

    def __init__(self, *args: Any, group: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.group = group


def given(context: click.Context) -> list[str]:
    """The options that steer, as far as they are given, `--to` aside: such as `--kind`."""
    said = click.core.ParameterSource.COMMANDLINE
    return [
        param.opts[0]
        for param in context.command.params
        if isinstance(param, Option) and param.group != OUTPUT and param.name not in ("to", "shapes")
        if context.get_parameter_source(param.name or "") is said
    ]


def pairs(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> Pairs:
    """`A=B` as pairs. The last `=` divides: a regular expression may hold one, a name or kind does not."""
    for text in given:
        if not text.partition("=")[0] or "=" not in text:
            raise _bad(context, option, f"{text!r} is not of the form {option.make_metavar(context)}")
    return tuple((left, right) for left, _, right in (text.rpartition("=") for text in given))


def renames(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> Pairs:
    """`REGEX=NEW` as pairs."""
    found = pairs(context, option, given)
    for pattern, _ in found:
        try:
            re.compile(pattern)
        except re.error as error:
            raise _bad(context, option, f"{pattern!r} is no regular expression: {error}") from None
    return found


def _bad(context: click.Context, option: click.Parameter, what: str) -> click.BadParameter:
    return click.BadParameter(what, context, option)


def _kinds(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> Pairs:
    """`GLOB=KIND`. The last `=` before the kind's facts divides: `qkv=attention:qkv(heads=12)`."""
    found = []
    for text in given:
        at = text.partition("(")[0].rfind("=")
        glob, kind = text[:at], text[at + 1 :]
        if at < 1:
            raise _bad(context, option, f"{text!r} is not of the form {option.make_metavar(context)}")
        from ..converters.kinds import said

        try:
            said(kind)
        except ValueError as error:
            raise _bad(context, option, str(error)) from None
        found.append((glob, kind))
    return tuple(found)


def _applied(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> Pairs:
    found = pairs(context, option, given)
    for _, text in found:
        from ..converters.applied import parsed

        try:
            parsed(text)
        except ValueError as error:
            raise _bad(context, option, str(error)) from None
    return found


def _missing(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> Pairs:
    found = pairs(context, option, given)
    for _, policy in found:
        with contextlib.suppress(ValueError):
            if policy == "keep" or math.isfinite(float(policy)):
                continue
        raise _bad(context, option, f"{policy!r} is neither keep nor a number")
    return found


def _casts(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> Pairs:
    """`GLOB=DTYPE`, or `DTYPE` for all."""
    found = []
    for text in given:
        glob, _, dtype = text.rpartition("=")
        from ..dtypes import BY_NAME

        if dtype not in BY_NAME:
            raise _bad(context, option, f"no element type is called {dtype!r}; there are {', '.join(BY_NAME)}")
        found.append((glob or "*", dtype))
    return tuple(found)


def _facts(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    found: list[tuple[str, float]] = []
    for text in given:
        name, _, value = text.partition("=")
        number = None
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                number = kind(value) if number is None else number
        if not name.isidentifier() or number is None or not math.isfinite(number) or name in dict(found):
            raise _bad(context, option, f"{text!r} is not of the form NAME=NUMBER, each name once")
        found.append((name, number))
    return tuple(found)


def _prefix(context: click.Context, option: click.Parameter, given: str | None) -> tuple[str, str] | None:
    if given is None:
        return None
    old, equals, new = given.partition("=")
    if not equals or not (old or new):
        raise _bad(context, option, f"{given!r} is not of the form OLD=NEW; one of them may be empty")
    return old, new


def _axes(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """`PATH` or `PATH=AXIS`."""
    return tuple(_axis(context, option, text) for text in given)


def _axis(context: click.Context, option: click.Parameter, text: str) -> tuple[str, int]:
    path, _, axis = text.rpartition("=") if "=" in text else (text, "", "0")
    if not path or not axis.isdecimal():
        raise _bad(context, option, f"{text!r} is not of the form PATH or PATH=AXIS, such as layers or layers=1")
    return path, int(axis)


def _stacks(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """`PATH`, `PATH=AXIS`, or `PATH:NAME=VALUE,…` as the arguments of a `Stack`."""
    found: list[dict[str, Any]] = []
    for text in given:
        path, colon, facts = text.partition(":")
        if not colon:
            path, axis = _axis(context, option, text)
            found.append({"list": path, "axis": axis})
            continue
        said: dict[str, Any] = {"list": path}
        for item in facts.split(","):
            name, _, value = (part.strip() for part in item.partition("="))
            number = name in ("axis", "cycle")
            if not path or not value or name not in ("axis", "cycle", "into", "rest") or name in said:
                what = f"{text!r} is not of the form PATH:NAME=VALUE,… with axis, cycle, into, rest, each once"
                raise _bad(context, option, what)
            if number and (not value.isdecimal() or (name == "cycle" and value == "0")):
                raise _bad(context, option, f"{text!r}: {name} is {value!r}, expected a number")
            said[name] = int(value) if number else value
        found.append(said)
    return tuple(found)


def _shown_conventions() -> str:
    return f"[{'|'.join(CONVENTIONS)}]"


def _options() -> list[Callable[[Command], Command]]:
    """Every option that steers, in the order of the help."""

    def option(*names: str, group: str, **facts: Any) -> Callable[[Command], Command]:
        return click.option(*names, cls=Option, group=group, **facts)

    many: dict[str, Any] = {"multiple": True}
    return [
        option(
            "--from",
            "origin",
            group=KINDS,
            metavar=_shown_conventions(),
            help="Whose names and layouts SRC has, where neither the file nor its names tell.",
        ),
        option(
            "--kind",
            "kinds",
            group=KINDS,
            metavar="GLOB=KIND",
            callback=_kinds,
            help="What these modules are, such as 'fc=linear' or '*.attn=attention:qkv(heads=12)'.",
            **many,
        ),
        option(
            "--fold", group=KINDS, metavar="GLOB", help="Fold these modules' spectral norm into the weight.", **many
        ),
        option("--rules", group=KINDS, metavar="FILE", help="A TOML file of rules, or a family such as gpt2 or llama."),
        option("--dialect", group=KINDS, metavar="NAME", help="Which of the rules' dialects SRC is in."),
        option("--to-dialect", group=KINDS, metavar="NAME", help="Which of them DST gets."),
        option(
            "--fact",
            "facts",
            group=KINDS,
            metavar="NAME=NUMBER",
            callback=_facts,
            help="A number that operations of rules name, such as head_dim=64.",
            **many,
        ),
        option("--strict", is_flag=True, group=KINDS, help="Refuse to guess."),
        option(
            "--rename", "renames", group=NAMES, metavar="REGEX=NEW", callback=renames, help="Name modules anew.", **many
        ),
        option("--prefix", group=NAMES, metavar="OLD=NEW", callback=_prefix, help="What all names of SRC begin with."),
        option(
            "--template",
            group=NAMES,
            metavar="WHAT",
            help="Take DST's names, structure and shapes from this file or package.module:function.",
        ),
        option("--by-order", is_flag=True, group=NAMES, help="Pair what has no namesake in the template by its order."),
        option(
            "--style",
            type=click.Choice(STYLES),
            metavar="NAME",
            group=NAMES,
            help=f"How names are joined without a template: {', '.join(STYLES[:-1])} or {STYLES[-1]}.",
        ),
        option(
            "--stack",
            "stacks",
            group=NAMES,
            metavar="PATH[=AXIS]",
            callback=_stacks,
            help="Stack a list of layers; also PATH:axis=0,cycle=2,into=NAME_{phase},rest=NAME_{n}.",
            **many,
        ),
        option(
            "--unstack",
            "unstacks",
            group=NAMES,
            metavar="PATH[=AXIS]",
            callback=_axes,
            help="Make a list of the layers that are stacked in the tensors below PATH.",
            **many,
        ),
        option("--only", group=VALUES, metavar="GLOB", help="Leave all other tensors out.", **many),
        option("--drop", group=VALUES, metavar="GLOB", help="Leave these tensors out.", **many),
        option(
            "--missing",
            group=VALUES,
            metavar="GLOB=POLICY",
            callback=_missing,
            help="What SRC does not have: keep takes the template's own, a number fills.",
            **many,
        ),
        option(
            "--apply",
            group=VALUES,
            metavar="GLOB=OPERATIONS",
            callback=_applied,
            help="Change tensors of SRC first: 'norm.weight=add(1)', '*.q=deinterleave(0, 2) | scale(0.125)'.",
            **many,
        ),
        option(
            "--cast",
            group=VALUES,
            metavar="[GLOB=]DTYPE",
            callback=_casts,
            help="Give these tensors of DST, or all, this element type.",
            **many,
        ),
    ]


def steering(command: Command) -> Command:
    """Add every option that steers; the command gets them as keywords for `steered`."""
    for decorate in reversed(_options()):
        command = decorate(command)
    return command


def to_option(required: bool) -> Callable[[Command], Command]:
    """`--to`, whose values depend on the rules that are given."""
    without = "" if required else " Without it: SRC's."
    return click.option(
        "--to",
        cls=Option,
        group=KINDS,
        required=required,
        metavar=_shown_conventions(),
        help=f"Whose names and layouts DST has.{without}",
    )


def steered(context: click.Context, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the converters are to be told, of the options that `steering` added and `--to`, but for the template.

    Raises:
        click.UsageError: For a convention that there is not.
        FormatError: For rules that are none.
        OSError: For rules that cannot be read.
    """
    said = {name: value for name, value in options.items() if name != "template" and value not in (None, (), False)}
    known: tuple[str, ...] = CONVENTIONS
    if "rules" in said:
        from ..converters.rules import load

        said["rules"] = load(said["rules"])
        known = tuple(sorted(said["rules"].tables))
    for name, flag in (("to", "--to"), ("origin", "--from")):
        if name in said and said[name] not in known:
            among = ", ".join(map(repr, known))
            raise click.BadParameter(f"{said[name]!r} is not one of {among}", context, param_hint=f"'{flag}'")
    if "facts" in said:
        said["facts"] = dict(said["facts"])
    if "stacks" in said:
        from ..converters.stacks import Stack

        said["stacks"] = tuple(Stack(**facts) for facts in said["stacks"])
    return said


def is_object(text: str) -> bool:
    """Whether it is the name of an object, `package.module:function`, and of no file."""
    return _OBJECT.fullmatch(text) is not None and not os.path.exists(text)


@contextlib.contextmanager
def opened(text: str, *, shapes: bool = False, convention: str | None = None) -> Iterator[Source]:
    """A file, a list of shapes in JSON, or what `package.module:function` gives, as a source; errors name it.

    Args:
        text: As the user gave it.
        shapes: Whether a file is a list of shapes.
        convention: Whose names an object has that does not tell.
    """
    if is_object(text):
        from ..converters.objects import resolve, source_of

        thing = resolve(text)
        with about(text):
            held = _of(source_of, thing, text, convention)
    else:
        check_source(text)
        from ..converters import shapes as lists
        from ..converters.files import open_source

        with about(text):
            listed = shapes and os.path.isfile(text) and _begins_as_json(text)
            held = lists.read(text) if listed else open_source(text)
    with contextlib.closing(held):
        yield held


def _of(source_of: Callable[..., Source], thing: Any, name: str, convention: str | None) -> Source:
    held = source_of(thing, name)
    if held.header.convention is None and isinstance(thing, Mapping) and convention is not None:
        return source_of(thing, name, convention=convention)
    return held


def _begins_as_json(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(64).lstrip()[:1] in (b"{", b"[")
