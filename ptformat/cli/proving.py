"""`--verify`: a conversion counts only if the models with the weights of SRC and of DST give the same outputs."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .failures import Failure
from .text import plain

if TYPE_CHECKING:
    from ..converters import Plan
    from ..converters.proof import Verified

_EXPECTED = "(torch model, flax model, inputs) or (torch model, flax model, inputs, options)"


class Models:
    """What the user's function returns: two models, an example input, and options of `verify_conversion`."""

    def __init__(self, function: str) -> None:
        """Call the function.

        Raises:
            Failure: When it returns something else.
            FormatError: TYPE, when it is not there or raises.
        """
        from ..converters.objects import resolve

        found = resolve(function)
        if not isinstance(found, tuple) or len(found) not in (3, 4):
            what = f"a tuple of {len(found)}" if isinstance(found, tuple) else f"a {type(found).__name__}"
            raise Failure(f"{function} returned {what}, expected {_EXPECTED}")
        self.torch, self.flax, inputs, *rest = found
        self.inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        options = rest[0] if rest else {}
        if not isinstance(options, Mapping):
            raise Failure(f"{function} returned a {type(options).__name__} as options, expected a dict")
        self.options = dict(options)
        self.function = function

    def verified(self, plan: Plan, source: str, written: str) -> Verified:
        """Both models with the weights of their own file, compared on the input.

        Raises:
            Failure: When one of the files does not fit its model, or the models cannot be compared.
        """
        from ..converters.proof_numbers import ProofError
        from ..errors import FormatError

        if "torch" not in (plan.origin, plan.goal):
            raise Failure(f"--verify compares torch with Flax, not {plan.origin} with {plan.goal}")
        torch_file, flax_file = (source, written) if plan.origin == "torch" else (written, source)
        flax = plan.goal if plan.origin == "torch" else plan.origin
        if (flax == "linen") != _is_linen(self.flax):
            raise Failure(
                f"--verify {self.function}: a {type(self.flax).__name__} as flax model, expected one of {flax}"
            )
        with tempfile.TemporaryDirectory(prefix="ptformat-", ignore_cleanup_errors=True) as folder:
            try:
                self._load_torch(torch_file, folder)
                variables = self._load_flax(flax_file, folder, flax)
                return self._compared(plan, variables)
            except Exception as error:  # the models are the user's: whatever they raise is told as theirs
                ours = isinstance(error, (FormatError, ProofError))
                first, *rest = (str(error) if ours else f"{type(error).__name__}: {error}").split("\n")
                raise Failure(f"--verify {self.function}: {first}", *(line.strip() for line in rest[:20])) from error

    def _load_torch(self, path: str, folder: str) -> None:
        import ptformat.torch

        ptformat.torch.load_model(self.torch, _as_ptf(path, folder, "torch.ptf"))

    def _load_flax(self, path: str, folder: str, convention: str) -> Any:
        """Variables of a linen module; an nnx module gets them."""
        import ptformat.flax

        held = _as_ptf(path, folder, "flax.ptf")
        if convention == "nnx":
            ptformat.flax.load_model(self.flax, held)
            return None
        return {**self.options.pop("variables", {}), **ptformat.flax.load_file(held)}

    def _compared(self, plan: Plan, variables: Any) -> Verified:
        from ..converters.proof import verify_conversion
        from ..converters.proof_numbers import ProofError

        options = dict(self.options)
        if variables is not None:
            options["variables"] = variables
        own = options.pop("pairs", None)
        try:
            return verify_conversion(self.torch, self.flax, *self.inputs, pairs=own or paired(plan), **options)
        except ProofError as error:
            if own or "pairs" not in str(error):
                raise
        return verify_conversion(self.torch, self.flax, *self.inputs, **options)  # names of no layers that run


def _is_linen(model: Any) -> bool:
    return any(kind.__module__.startswith("flax.linen") for kind in type(model).__mro__)


def paired(plan: Plan) -> dict[str, str]:
    """Name of a layer in torch -> path in flax, where a plan makes all of one of all of the other."""
    from .. import paths
    from ..converters.conventions import CONVENTIONS

    there: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    back: dict[tuple[str, ...], set[tuple[str, ...]]] = {}

    def module(path: str, convention: str) -> tuple[str, ...]:
        segments = paths.parse(path)
        return segments[1 if segments[0] in CONVENTIONS[convention].collections else 0 : -1]

    for step in plan.steps.values():
        target = module(step.target.path, plan.goal)
        for given in step.sources:
            source = module(given.path, plan.origin)
            there.setdefault(source, set()).add(target)
            back.setdefault(target, set()).add(source)
    found = {}
    for source, targets in there.items():
        (target, *more) = targets
        if more or back[target] != {source} or not source or not target:
            continue
        torch, flax = (source, target) if plan.origin == "torch" else (target, source)
        if "parametrizations" not in torch:
            found[".".join(torch)] = "/".join(flax)
    return found


@contextlib.contextmanager
def unproven(target: str) -> Iterator[str]:
    """A path of the same name in a temporary sibling folder, which is gone afterwards."""
    final = os.path.realpath(target)
    parent = os.path.dirname(final)
    try:
        folder = tempfile.mkdtemp(prefix=f".{os.path.basename(final)[:40]}.", suffix=".tmp", dir=parent)
    except OSError as error:
        error.filename = target
        raise
    try:
        yield os.path.join(folder, os.path.basename(final))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def settle(written: str, target: str, again: Callable[[], Any]) -> None:
    """Give what is proven its name; `again` writes it where a directory has the name already."""
    final = os.path.realpath(target)
    if os.path.isdir(final):
        again()
    else:
        os.replace(written, final)


def _as_ptf(path: str, folder: str, name: str) -> Path:
    from .. import converters

    made = Path(folder) / name
    converters.copy(path, made, durable=False)
    return made


def told(verified: Verified) -> list[str]:
    """What was compared, in lines."""
    return [plain(line) for line in verified.text().split("\n")]
