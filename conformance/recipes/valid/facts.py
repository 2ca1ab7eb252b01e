"""Roles, axes, kinds and conventions (spec section 7): vocabularies that are open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..case import Case, accept
from ..draft import Draft

_STRANGE = {
    "unknown": "something-else",
    "upper-case": "PARAMETER",
    "with-space": " parameter",
    "one-character": "p",
    "not-ascii": "größe",
    "four-bytes": "\U0001f9ee",
    "with-line-feed": "a\nb",
    "with-nul": "a\0b",
    "long": "x" * 300,
    "word-of-a-language": "null",
}


def cases() -> Iterator[Case]:
    """Each vocabulary with the words it knows and with others."""
    for role in ("parameter", "buffer", "gradient", "state"):
        yield _made(f"role-{role}", "a known role", Draft().tensor("grad.w", role=role))
    for slug, word in _STRANGE.items():
        yield _made(f"role-{slug}", "a role that no reader knows", Draft().tensor("x", role=word))
    for slug, word in _STRANGE.items():
        draft = Draft().node("n", module=word, class_=word).tensor("n.x", axes=[word, word], class_=word)
        yield _made(f"words-{slug}", "the same word as module, class and axis", draft)
    for slug, word in _STRANGE.items():
        draft = Draft(convention=word, dialect=word).tensor("x")
        yield _made(f"convention-{slug}", "the same word as convention and dialect", draft)
    for name in ("torch", "flax.linen", "flax.nnx"):
        yield _made(f"convention-{name.replace('.', '-')}", "a known convention", Draft(convention=name).tensor("w"))
    yield _made("dialect-without-convention", "a dialect of nothing", Draft(dialect="d").tensor("x"))
    yield from _tensors()
    yield from _nodes()


def _made(slug: str, comment: str, draft: Draft) -> Case:
    return accept(slug, draft, "7", comment)


def _tensors() -> Iterator[Case]:
    for slug, facts in (
        ("trainable-true", {"role": "parameter", "trainable": True}),
        ("trainable-false", {"role": "parameter", "trainable": False}),
        ("trainable-buffer", {"role": "buffer", "trainable": True}),
        ("trainable-without-role", {"trainable": False}),
    ):
        said: dict[str, Any] = dict(facts)
        yield _made(slug, "role and trainable know nothing of each other", Draft().tensor("x", **said))
    most = [f"axis{i}" for i in range(32)]
    yield _made(
        "axes-of-rank-32", "a name for each of the most axes", Draft().tensor("x", "int8", (1,) * 32, axes=most)
    )
    yield _made("axes-of-rank-1", "one name", Draft().tensor("x", "int8", (3,), axes=["x"]))
    yield _made("axes-alike", "the same name twice", Draft().tensor("x", axes=["x", "x"]))
    yield _made(
        "axes-of-an-empty-tensor", "names of axes of size zero", Draft().tensor("x", "int8", (0, 2), axes=["a", "b"])
    )
    yield _made("axes-that-look-like-paths", "dots, backslashes and digits", Draft().tensor("x", axes=["a.b\\", "0"]))
    key = Draft().tensor("rng", "uint32", (2,), class_="jax.random.key", attrs={"impl": "threefry2x32"})
    yield _made("random-key", "a key of a random number generator", key)
    gradient = Draft(convention="torch").tensor("w", role="parameter").tensor("grad.w", role="gradient")
    yield _made("gradient", "of the tensor at the path without its first segment", gradient)
    every: dict[str, Any] = {"n": None, "b": True, "i": -1, "f": 1.0, "s": "", "y": b"", "a": [], "m": {}, "": 0}
    yield _made("attrs-of-each-type", "every type of msgpack", Draft().tensor("x", attrs=every))
    deep: Any = []
    for _ in range(27):
        deep = [deep]
    yield _made("attrs-32-deep", "index, column, table, attrs, then 28 arrays", Draft().tensor("x", attrs={"a": deep}))


def _nodes() -> Iterator[Case]:
    for form in ("map", "list", "tuple", "namedtuple", "flat"):
        draft = Draft().node("n", form, module="m", class_="a.b.C", attrs={"k": {"l": [1]}})
        yield _made(f"node-{form}", "module, class and attrs of an empty container", draft)
    names = "os.system('x')", "builtins.eval", "../../C", "<b>C</b>", "__main__.Net.<locals>.C"
    for i, name in enumerate(names):
        yield _made(
            f"class-{i}", "text that no reader may run, import or open", Draft().node("n", class_=name).value("n.x")
        )
    metadata = Draft(metadata={"format": "pt", "license": "Apache-2.0", "tags": ["a", "b"], "step": 1000}).tensor("x")
    yield _made("metadata", "free facts", metadata)
    converted = Draft(
        convention="torch", provenance={"from": {"convention": "flax.linen"}, "steps": [["rename", "a", "b"]]}
    )
    yield _made("provenance", "what a conversion changed", converted.tensor("x"))
