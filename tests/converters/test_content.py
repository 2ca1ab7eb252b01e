"""What moves between files: sources in memory, permuted ties, shapes beyond the limits."""

import numpy as np
import pytest
from sources import bits, same

from ptformat import FormatError
from ptformat.columns import Header
from ptformat.converters import content
from ptformat.converters.content import Entries, MemorySource, check_shape, moved, untied, whole
from ptformat.converters.files.spool import IN_MEMORY_BYTES, gather
from ptformat.tree import Alias, Node, TensorInfo, Value

W = bits("float32", (2, 3, 4))
HELD = MemorySource(
    [
        (Node("", "flat"), None),
        (TensorInfo("w", "float32", (2, 3, 4)), W),
        (Alias("a", "w", (2, 0, 1)), None),
        (Alias("b", "w"), None),
        (Value("v", 3), None),
    ],
    Header(convention="torch"),
    "held",
)


def joined(pieces: object) -> bytes:
    return b"".join(bytes(piece) for piece in pieces)  # type: ignore[attr-defined]


def test_a_source_in_memory() -> None:
    assert [entry.path for entry in HELD.entries] == ["", "w", "a", "b", "v"]
    assert HELD.array("w") is W
    assert joined(HELD.pieces("w")) == W.tobytes()
    assert (HELD.name, HELD.header.convention) == ("held", "torch")


def test_all_of_a_source() -> None:
    held = whole(HELD)
    assert held.nbytes == W.nbytes
    assert held.header is HELD.header
    tensor, alias, same_alias = held.entries[1:4]
    assert joined(held.pieces(tensor)) == W.tobytes()  # type: ignore[arg-type]
    assert joined(held.pieces(alias)) == W.transpose(2, 0, 1).tobytes()  # type: ignore[arg-type]
    assert joined(held.pieces(same_alias)) == W.tobytes()  # type: ignore[arg-type]


@pytest.mark.parametrize("perm", [None, (0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
@pytest.mark.parametrize("name", ["float32", "bfloat16", "float8_e4m3fn", "int4", "bool", "complex128"])
def test_moved(name: str, perm: tuple[int, ...] | None) -> None:
    array = bits(name, (3, 4, 5))
    held = MemorySource([(TensorInfo("w", name, (3, 4, 5)), array)])
    plain = array if perm is None else np.ascontiguousarray(array.transpose(perm))
    expected = MemorySource([(TensorInfo("w", name, plain.shape), plain)])
    assert joined(moved(held, "w", name, perm)) == joined(expected.pieces("w"))


def test_other_byte_order_and_strides_are_written_plain() -> None:
    array = np.arange(12, dtype=">f4").reshape(3, 4)[:, ::-1]
    held = MemorySource([(TensorInfo("w", "float32", (3, 4)), array)])
    assert joined(held.pieces("w")) == np.ascontiguousarray(array).astype("<f4").tobytes()


def test_untied() -> None:
    found = {info.path: (info.shape, entry.path) for info, entry in untied(HELD.entries)}
    assert found == {"w": ((2, 3, 4), "w"), "a": ((4, 2, 3), "a"), "b": ((2, 3, 4), "b")}


@pytest.mark.parametrize("size", [0, 1, 1000, IN_MEMORY_BYTES, IN_MEMORY_BYTES + 1])
def test_gather(size: int) -> None:
    data = np.resize(np.arange(251, dtype=np.uint8), size)
    assert same(gather((data[at : at + 999_983] for at in range(0, size, 999_983)), size), data)


@pytest.mark.parametrize("shape", [(1,) * 33, (2**53, 2), (2**53, 0, 2), (2**40, 2**40)])
def test_shapes_beyond_the_limits(shape: tuple[int, ...]) -> None:
    with pytest.raises(FormatError) as caught:
        check_shape(TensorInfo("p.q", "uint8", shape))
    assert (caught.value.code, caught.value.path) == ("SHAPE", "p.q")


def test_a_text_that_has_no_utf_8() -> None:
    content.check_text("é \U0001f9e0 \ue000", "there")
    with pytest.raises(FormatError, match=r"there: string 'a\\udfff' holds a lone surrogate") as caught:
        content.check_text("a\udfff", "there")
    assert caught.value.code == "TYPE"


@pytest.mark.parametrize("shape", [(), (0,), (1,) * 32, (2**50,), (2**50, 0)])
def test_shapes_within_the_limits(shape: tuple[int, ...]) -> None:
    check_shape(TensorInfo("p", "uint8", shape))


def test_entries_are_counted_and_their_paths_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = Entries(3)
    for path in ("a", "b.c", ""):
        entries.add(Value(path, 1))
    for path, code, message in (
        ("d", "LIMIT", "more than 3 entries"),
        ("d\n", "PATH", r"path 'd\n': control character U+000A"),
        ("d" * 1025, "PATH", f"path {'d' * 40!r}… has 1025 bytes, at most 1024 are allowed"),
    ):
        with pytest.raises(FormatError) as caught:
            entries.add(Value(path, 1))
        assert (caught.value.code, caught.value.message) == (code, message)
    assert [entry.path for entry in entries.found] == ["a", "b.c", ""]
    monkeypatch.setattr(content, "MAX_PATHS_BYTES", 10)
    entries = Entries(2**30)
    entries.add(Value("1234567890", 1))
    with pytest.raises(FormatError, match="paths of more than 10 bytes all together") as caught:
        entries.add(Value("1", 1))
    assert caught.value.code == "LIMIT"
    monkeypatch.setattr(content, "MAX_ENTRIES", 0)
    with pytest.raises(FormatError, match="more than 0 entries"):
        Entries(2**30).add(Value("", 1))
