"""The annotated hexdump of the format's spec: a small file, every byte of it explained.

    python spec/hexdump.py           prints it
    python spec/hexdump.py --check   exit 1 unless the spec shows the same
    python spec/hexdump.py --write   puts it into the spec

The file is made by the library; annotation and content digest come from the bytes alone, by the spec's text.
"""

from __future__ import annotations

import hashlib
import pathlib
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator

import numpy as np

import ptformat

SPEC = pathlib.Path(__file__).with_name("ptformat-1.0.md")
OPENING, CLOSING = "```hexdump\n", "```\n"
WIDTH = 16

# Packed column -> bytes of one item, and how items are shown.
COLUMNS = {"type": 1, "dtype": 1, "rank": 1, "dims": 8, "codec": 1, "stored": 4, "sum": 8, "alias": 4, "form": 1}
SPARSE = ("attrs", "axes", "class", "keys", "module", "perm", "role", "trainable")
CODES = {
    "type": ("tensor", "alias", "value", "node"),
    "dtype": {2: "int4", 15: "float32"},
    "codec": ("raw", "zstd"),
    "form": ("map", "list", "tuple", "namedtuple", "flat", "keys", "part"),
}

Span = tuple[int, int, str]  # start, end, what stands there


def example() -> bytes:
    """A file with tensors of two element types, an alias with a permutation, a value and a node."""
    import ml_dtypes

    weight = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "example.ptf"
        with ptformat.Writer(path, convention="torch", durable=False) as out:
            out.node("0", module="linear")
            out.tensor("0.weight", weight, axes=("out", "in"), role="parameter")
            out.tensor("0.bias", np.array([0.5, -1], np.float32), axes=("out",), role="parameter")
            out.alias("1", "0.weight", (1, 0))
            out.tensor("q", np.array([1, -2, 3], ml_dtypes.int4))
            out.value("step", 7)
        return path.read_bytes()


def hexdump(data: bytes) -> str:
    """The lines: offset, at most 16 bytes, and at the first line of a field what it is."""
    lines = []
    for start, end, what in annotate(data):
        for at in range(start, end, WIDTH):
            shown = data[at : min(at + WIDTH, end)].hex(" ")
            lines.append(f"{at:04x}  {shown:{3 * WIDTH - 1}}  {what if at == start else ''}".rstrip())
    return "\n".join(lines) + f"\n\ncontent digest: {digest(data)}\n"


def digest(data: bytes) -> str:
    """The content digest, put together from the index bytes of the keys that stay."""
    index = _Index(data)
    index.spans()
    kept = {name: index.raw[name] for name in index.raw if name not in ("requires", "chunk", "codec", "stored", "sum")}
    tensors = [data[start:end] for start, end, what in _tensors(data) if what.startswith("tensor")]
    whole = b"".join(hashlib.sha256(tensor).digest() for tensor in tensors)
    kept["sha256"] = b"\xa6sha256\xc4" + bytes([len(whole)]) + whole
    if len(kept) > 15:
        raise AssertionError(f"{len(kept)} keys need a longer map head")
    return hashlib.sha256(bytes([0x80 + len(kept)]) + b"".join(kept[name] for name in sorted(kept))).hexdigest()


def annotate(data: bytes) -> list[Span]:
    """Every byte in exactly one span, in order."""
    spans = [*_preamble(data), *_tensors(data), *_index(data), *_trailer(data)]
    at = 0
    for start, end, what in spans:
        if start != at:
            raise AssertionError(f"{what}: begins at byte {start}, expected {at}")
        at = end
    if at != len(data):
        raise AssertionError(f"explained up to byte {at} of {len(data)}")
    return spans


def _fields(data: bytes, at: int, part: str, layout: list[tuple[str, str]]) -> Iterator[Span]:
    for kind, name in layout:
        size = struct.calcsize(f"<{kind}")
        value = struct.unpack_from(f"<{kind}", data, at)[0]
        if isinstance(value, int):
            name += f": {value:016x}" if "xxh3" in name else f" {value}"
        yield at, at + size, f"{part}: {name}"
        at += size


def _preamble(data: bytes) -> Iterator[Span]:
    yield from _fields(data, 0, "preamble", [("8s", "magic"), ("H", "major"), ("H", "minor"), ("52s", "zeros")])


def _trailer(data: bytes) -> Iterator[Span]:
    names = ["index offset", "index stored bytes", "index decoded bytes", "xxh3-64 of the stored index"]
    layout = [("Q", name) for name in names]
    layout += [("I", "flags"), ("H", "major"), ("H", "minor"), ("Q", "file length")]
    layout += [("Q", "xxh3-64 of the trailer's bytes 0 to 47"), ("8s", "magic")]
    yield from _fields(data, len(data) - 64, "trailer", layout)


def _tensors(data: bytes) -> Iterator[Span]:
    """The stored bytes, at offsets computed from the columns. Every tensor of the example is one raw chunk."""
    columns = _columns(data)
    tensors = [p for p, kind in zip(columns["path"], columns["type"], strict=True) if kind == 0]
    at = 64
    for path, stored in zip(tensors, columns["stored"], strict=True):
        start = -(-at // 64) * 64
        if start > at:
            yield at, start, f"gap: zeros up to a multiple of 64 ({start})"
        yield start, start + stored, f"tensor {path!r}: {stored} bytes at {start}"
        at = start + stored


def _columns(data: bytes) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    _Index(data, lambda name, items: found.__setitem__(name, items)).spans()
    return found


def _index(data: bytes) -> Iterator[Span]:
    yield from _Index(data).spans()


class _Index:
    """Walks the msgpack map of the index and says what each head and body is."""

    def __init__(self, data: bytes, seen: Callable[[str, list[object]], None] | None = None) -> None:
        self.data = data
        self.at, stored = struct.unpack_from("<2Q", data, len(data) - 64)
        self.end = self.at + stored
        self.seen = seen or (lambda name, items: None)
        self.found: list[Span] = []
        self.raw: dict[str, bytes] = {}  # key -> the bytes of key and value

    def spans(self) -> list[Span]:
        count = self.head("index: map of {} keys")
        for _ in range(count):
            start = self.at
            name = self.text("key")
            self.member(name)
            self.raw[name] = self.data[start : self.at]
        if self.at != self.end:
            raise AssertionError(f"index read up to byte {self.at}, expected {self.end}")
        return self.found

    def take(self, size: int, what: str) -> bytes:
        start, self.at = self.at, self.at + size
        self.found.append((start, self.at, what))
        return self.data[start : self.at]

    def head(self, what: str) -> int:
        """Consume the head of a string, bin, array or map and give its length."""
        lead = self.data[self.at]
        if 0x80 <= lead < 0xC0:
            size, width = lead & (0x1F if lead >= 0xA0 else 0x0F), 1
        elif lead in (0xC4, 0xD9):
            size, width = self.data[self.at + 1], 2
        elif lead in (0xC5, 0xDA, 0xDC, 0xDE):
            size, width = struct.unpack_from(">H", self.data, self.at + 1)[0], 3
        else:
            raise AssertionError(f"byte {self.at}: head {lead:02x} does not occur in the example")
        self.take(width, what.format(size))
        return size

    def text(self, what: str) -> str:
        start = self.at
        size = self.head("")
        self.found.pop()
        self.at += size
        text = self.data[self.at - size : self.at].decode()
        shown = text.replace("\\", "\\\\").replace("\n", "\\n")
        self.found.append((start, self.at, f'{what} "{shown}"'))
        return text

    def member(self, name: str) -> None:
        if name in COLUMNS:
            size = self.head("  bin of {} bytes")
            self.items(name, size)
        elif name == "path":
            self.seen(name, list(self.text("  paths").split("\n")))
        elif name in SPARSE:
            self.head("  sparse column: array of {}")
            self.items("rows", self.head("    bin of {} bytes"))
            self.items("picks", self.head("    bin of {} bytes"))
            for _ in range(self.head("    table of {}")):
                self.plain("      ")
        else:
            self.plain("  ")

    def items(self, name: str, size: int) -> None:
        if not size:
            self.seen(name, [])
            return
        width = COLUMNS.get(name, 4)
        raw = self.take(size, "")
        items = [int.from_bytes(raw[at : at + width], "little") for at in range(0, size, width)]
        self.seen(name, list(items))
        names = CODES.get(name)
        shown = [f"{item} {names[item]}" if names else f"{item:016x}" if name == "sum" else str(item) for item in items]
        start, end, _ = self.found.pop()
        label = f"    u{8 * width}: " if name in COLUMNS else f"      {name}, u32: "
        # The checksums and other wide columns get one span per line, so that each item stands by its bytes.
        per = max(1, WIDTH // width) if width == 8 else len(items)
        for first in range(0, len(items), per):
            at = start + first * width
            upto = min(at + per * width, end)
            self.found.append((at, upto, label + ", ".join(shown[first : first + per])))

    def plain(self, indent: str) -> None:
        lead = self.data[self.at]
        if lead < 0x80:
            self.take(1, f"{indent}integer {lead}")
        elif 0xA0 <= lead < 0xC0:
            self.text(f"{indent}string")
        elif 0x90 <= lead < 0xA0:
            for _ in range(self.head(f"{indent}array of {{}}")):
                self.plain(indent + "  ")
        elif lead == 0xCE:
            value = int.from_bytes(self.data[self.at + 1 : self.at + 5], "big")
            self.take(5, f"{indent}integer {value}")
        else:
            raise AssertionError(f"byte {self.at}: head {lead:02x} does not occur in the example")


def _replaced(text: str, dump: str) -> str:
    before, _, rest = text.partition(OPENING)
    _, found, after = rest.partition(CLOSING)
    if not found:
        raise SystemExit(f"{SPEC.name}: no block that opens with {OPENING.strip()}")
    return before + OPENING + dump + CLOSING + after


def main(arguments: list[str]) -> int:
    """Print, `--check` or `--write`; the exit code."""
    dump = hexdump(example())
    if not arguments:
        print(dump, end="")
        return 0
    if arguments not in (["--check"], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    text = SPEC.read_text("utf-8")
    wanted = _replaced(text, dump)
    if arguments == ["--write"]:
        SPEC.write_text(wanted, "utf-8")
    elif text != wanted:
        print(f"{SPEC.name}: the hexdump is out of date; run python spec/hexdump.py --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
