"""The spec against the code: tables, numbers and worked examples say the same in both."""

import importlib.util
import itertools
import json
import math
import pathlib
import re
import struct

import craft
import ml_dtypes
import msgpack
import numpy as np
import pytest

import ptformat
from ptformat import columns, container, containers, dtypes, errors, index, limits, loading, paths, profile, tree
from ptformat.codecs import NAMES, planes, zstd

SPEC = pathlib.Path(__file__).parents[1] / "spec"
TEXT = (SPEC / "ptformat-1.0.md").read_text("utf-8")


def section(number):
    """The text from a heading to the next heading of any depth."""
    found = re.search(rf"^##+ {re.escape(number)} .*?(?=^##+ \d|\Z)", TEXT, re.M | re.S)
    assert found, number
    return found[0]


def tables(text):
    """Header -> rows of every table, as dicts of column name -> cell."""
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        head, _, *rows = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines())
        yield [dict(zip(head, row, strict=True)) for row in rows]


def table(number, *names):
    """The rows of the one table of a section that begins with these names."""
    found = [rows for rows in tables(section(number)) if [*rows[0]][: len(names)] == list(names)]
    assert len(found) == 1, (number, names)
    return found[0]


def code(cell):
    assert re.fullmatch("`[^`]+`", cell), cell
    return cell[1:-1]


def quoted(cell):
    return re.findall('`"(.*?)"`', cell)


def hexes(name):
    block = re.search(rf"```hex {name}\n(.*?)```", TEXT, re.S)
    return bytes.fromhex(block[1])


def test_tables_of_the_text_are_whole():
    for rows in tables(TEXT):
        assert rows


def test_limits():
    stated = {code(row["Name"]): int(row["Number"]) for row in table("9", "Name", "Number")}
    assert stated == {name: number for name, number in vars(limits).items() if name.isupper()}


def test_limits_name_known_codes():
    codes = {code(row["Code"]) for row in table("9", "Name", "Number") if row["Code"]}
    assert codes <= set(errors.READ_CODES)


def test_error_codes_and_their_order():
    assert tuple(code(row["Code"]) for row in table("10.1", "Code")) == errors.READ_CODES


def test_steps_are_numbered_and_use_every_code_but_that_of_elements():
    steps = table("10.2", "Step")
    assert [int(row["Step"]) for row in steps] == list(range(1, len(steps) + 1))
    assert {name for row in steps for name in re.findall("`([A-Z]+)`", row["Code"])} == {*errors.READ_CODES} - {"DATA"}


def test_every_code_beside_a_rule_is_listed():
    named = set(re.findall(r"\(`([A-Z]{4,})`", TEXT))
    assert named <= set(errors.READ_CODES)


def test_element_types():
    stated = [(int(row["Code"]), code(row["Name"]), int(row["Bits"])) for row in table("5.1", "Code")]
    assert stated == [(row.code, row.name, row.bits) for row in dtypes.TABLE]


def test_layouts_cover_the_real_floating_types():
    stated = [code(row["Name"]) for row in table("5.2", "Name")]
    assert stated == [row.name for row in dtypes.TABLE if row.floating and row.components == 1]


def number(row, pattern):
    """The number of a bit pattern, by section 5.2 alone."""
    exponent_bits, mantissa_bits, bias = (int(row[name]) for name in ("Exponent", "Mantissa", "Bias"))
    m = pattern & ((1 << mantissa_bits) - 1)
    e = pattern >> mantissa_bits & ((1 << exponent_bits) - 1)
    s = pattern >> (mantissa_bits + exponent_bits)
    full_e, full_m = (1 << exponent_bits) - 1, (1 << mantissa_bits) - 1
    special = row["Special values"]
    if special == "powers":
        return math.nan if pattern == 0xFF else 2.0 ** (e - bias)
    if special == "ieee" and e == full_e:
        return math.nan if m else (-1) ** s * math.inf
    if special == "fn" and (e, m) == (full_e, full_m):
        return math.nan
    if special == "fnuz" and pattern == 0x80:
        return math.nan
    if e == 0:
        return math.copysign(math.ldexp(m, 1 - bias - mantissa_bits), -1 if s else 1)
    return (-1) ** s * math.ldexp((1 << mantissa_bits) + m, e - bias - mantissa_bits)


@pytest.mark.parametrize("row", table("5.2", "Name"), ids=lambda row: code(row["Name"]))
def test_layouts_of_floating_types(row):
    dtype = dtypes.BY_NAME[code(row["Name"])]
    widths = [int(row[name]) for name in ("Sign", "Exponent", "Mantissa")]
    assert sum(widths) == dtype.bits
    assert float(ml_dtypes.finfo(dtype.numpy).max) == float(row["Largest"])
    if dtype.bits <= 16:
        patterns = np.arange(1 << dtype.bits, dtype=np.uint8 if dtype.bits <= 8 else "<u2")
    else:
        word = f"<u{dtype.bits // 8}"
        patterns = np.random.default_rng(0).integers(0, 1 << dtype.bits, 2000, word, endpoint=False)
    found = [float(x) for x in patterns.view(dtype.numpy)]
    expected = [number(row, int(pattern)) for pattern in patterns]
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.array_equal(np.signbit(found), np.signbit(expected)) or np.isnan(expected).any()
    signed = ~np.isnan(expected)
    assert np.array_equal(np.signbit(found)[signed], np.signbit(expected)[signed])


def test_packing_of_small_types():
    for row in table("5.3", "Type"):
        dtype = dtypes.BY_NAME[code(row["Type"])]
        elements = np.array([int(x) for x in row["Elements"].split(",")], dtype.numpy)
        assert dtypes.pack(elements, dtype).tobytes() == bytes.fromhex(code(row["Decoded bytes"]))


def test_keys_of_the_whole_file():
    kinds = {"array": list, "integer": int, "string": str, "map": dict}
    rows = table("3.2", "Key", "Type")
    stated = {code(row["Key"]): kinds[row["Type"]] for row in rows}
    required = {code(row["Key"]) for row in rows if row["Required"] == "yes"}
    assert required == set(index.REQUIRED) - set(columns.PACKED)
    known = {**index.REQUIRED, **index.OPTIONAL}
    assert stated == {name: known[name] for name in known if name not in columns.PACKED and name not in columns.SPARSE}


def test_packed_columns():
    stated = {code(row["Key"]): f"<u{int(row['Item'][1:]) // 8}" for row in table("3.2", "Key", "Item")}
    assert stated == columns.PACKED


def test_sparse_columns():
    rows = table("3.2", "Key", "Entries that may have it")
    stated = {code(row["Key"]): tuple(row["Entries that may have it"].split(", ")) for row in rows}
    assert stated == {name: tuple(columns.TYPES[kind] for kind in kinds) for name, kinds in columns.SPARSE.items()}
    assert list(stated) == list(columns.SPARSE)  # the order in which they are checked


def test_entry_types():
    assert [(int(row["Type"]), row["Entry"]) for row in table("3.2", "Type")] == list(enumerate(columns.TYPES))


def test_forms():
    assert [(int(row["Code"]), code(row["Form"])) for row in table("3.5", "Code")] == list(enumerate(tree.FORMS))


def test_codecs():
    stated = {int(row["Code"]): code(row["Codec"]) for row in table("6", "Code") if "reserved" not in row["Status"]}
    assert stated == NAMES


def test_roles():
    (row,) = (row for row in table("7", "Key") if row["Key"] == "`role`")
    assert tuple(re.findall("`([a-z]+)`", row["Known strings"])) == tree.ROLES


def test_keys_left_out_of_the_digest():
    listed = re.search("remove the keys (.*?), and every key", section("8.2"), re.S)[1]
    assert tuple(re.findall("`([a-z]+)`", listed)) == index.LAYOUT_KEYS


def fields(number):
    """(offset, struct format) of each field of a layout table."""
    formats = {"u16": "H", "u32": "I", "u64": "Q"}
    for row in table(number, "Offset", "Type"):
        yield int(row["Offset"]), formats.get(row["Type"]) or row["Type"].replace(" bytes", "s")


@pytest.mark.parametrize("number", ["2.1", "2.2"])
def test_fields_follow_each_other(number):
    at = 0
    for offset, kind in fields(number):
        assert offset == at
        at += struct.calcsize(f"<{kind}")
    assert at == container.FRAME_BYTES


def test_preamble():
    magic, *version, zeros = struct.unpack("<" + "".join(kind for _, kind in fields("2.1")), container.PREAMBLE)
    stated = re.search("magic: `([0-9a-f ]+)`", section("2.1"))[1]
    assert (magic, version, any(zeros)) == (container.MAGIC, [container.MAJOR, container.MINOR], False)
    assert magic == bytes.fromhex(stated)


def test_trailer():
    trailer = container.Trailer(64, 2, 3, 4, 1, 130)
    data = trailer.pack()
    found = struct.unpack("<" + "".join(kind for _, kind in fields("2.2")), data)
    assert found[:8] == (64, 2, 3, 4, 1, container.MAJOR, container.MINOR, 130)
    assert found[8:] == (container.checksum(data[:48]), container.MAGIC)


def test_offsets_of_the_example():
    rows = table("2.3", "Tensor")
    decoded, stored, starts, ends = (
        [int(row[name]) for row in rows] for name in ("Decoded bytes", "Stored bytes", "Offset", "End")
    )
    coded = [row["Tensor"] == "e" for row in rows]
    assert container.offsets(decoded, stored, coded) == (starts, ends[-1])
    assert ends == [start + held for start, held in zip(starts, stored, strict=True)]
    assert f"index of this file begins at byte {ends[-1]}" in section("2.3")


def test_chunks_of_the_example():
    size, total = map(int, re.search(r"chunk size of (\d+), a tensor of (\d+) bytes", TEXT.replace("\n", " ")).groups())
    stated = re.search(r"has chunks of (\d+), (\d+) and (\d+) bytes", TEXT.replace("\n", " ")).groups()
    data = ptformat.save({"a": np.zeros(total, np.uint8)}, chunk=size)
    assert tuple(map(int, stated)) == tuple(ptformat.Reader(data).index.columns["stored"].tolist())


def test_sparse_column_of_the_example():
    held = {1: "parameter", 2: "buffer", 4: "parameter"}
    assert profile.encode(index._pack_sparse("role", held)) == hexes("sparse")


def test_path_column_of_the_example():
    listed = re.search("paths of four entries are (.*?)\\. The", section("3.2"), re.S)[1]
    assert profile.encode("\n".join(quoted(listed))) == hexes("path")


def test_planes_of_the_examples():
    into = bytearray(4)
    planes.decode(memoryview(hexes("planes")), memoryview(into), dtypes.named("bfloat16"))
    assert np.frombuffer(into, ml_dtypes.bfloat16).tolist() == [1.0, -2.0]
    plane = [place & 0x3F for place in range(80)]
    plane[9], plane[71] = 0xC9, 0xBF
    stored = hexes("sevens")
    chunk = struct.pack("<BIBI", 0, 80, 2, len(stored)) + bytes(80) + stored
    into = bytearray(160)
    planes.decode(memoryview(chunk), memoryview(into), dtypes.named("float16"))
    assert list(into[::2]) == plane
    assert not any(into[1::2])


def test_zstd_frame_of_the_example():
    into = bytearray(100)
    zstd.decode(memoryview(hexes("zstd")), memoryview(into))
    assert into == b"\x2a" * 100


def test_forms_of_integers_and_lengths():
    edges = [2**n + d for n in (0, 5, 7, 8, 15, 16, 31, 32, 63) for d in (-1, 0, 1)]
    rows = {row["Value"]: row["Form"] for row in table("3.1", "Value")}

    def number(text):
        sign, base, power, less = re.fullmatch(r"(-?)(\d+)(?:\^(\d+))?( - 1)?", text).groups()
        return (-1 if sign else 1) * int(base) ** int(power or 1) - bool(less)

    for value in {*edges, *(-n for n in edges)}:
        if not -(2**63) <= value < 2**64:
            continue
        (form,) = (
            form
            for name, form in rows.items()
            if (span := re.fullmatch(r"integer (\S+(?: - 1)?) to (\S+(?: - 1)?)", name))
            and number(span[1]) <= value <= number(span[2])
        )
        data = profile.encode(value)
        leads = re.findall("`([0-9a-f]{2})`", form)
        size = re.search(r"and (\d) byte", form)
        assert int(leads[0], 16) <= data[0] <= int(leads[-1], 16)
        assert len(data) == 1 + int(size[1] if size else 0)
        assert profile.decode(data) == value


def test_paths_and_their_segments():
    for row in table("4.1", "Path"):
        (path,) = quoted(row["Path"])
        segments = tuple(quoted(row["Segments"]))
        assert paths.parse(path) == segments
        assert paths.render(segments) == path


def test_texts_that_are_no_paths():
    listed = quoted(re.search("Not paths: (.*?)\n\n", section("4.1"), re.S)[1])
    assert len(listed) > 5
    for text in listed:
        with pytest.raises(ptformat.FormatError) as caught:
            paths.check(text)
        assert caught.value.code == "PATH"


def test_characters_of_the_grammar():
    ranges = re.findall(r"%x([0-9A-F]+)-([0-9A-F]+)", re.search("plain    = (.*)", section("4.1"))[1])
    plain = {n for low, high in ranges for n in range(int(low, 16), int(high, 16) + 1)}
    for n in itertools.chain(range(0x300), range(0xD7F0, 0xE010), (0xFFFF, 0x10FFFF)):
        if n in plain:
            paths.check(chr(n))
        else:
            with pytest.raises(ptformat.FormatError):
                paths.check(chr(n))


def test_flat_keys():
    for row in table("4.2", "Keys", "Paths"):
        keys, stated = quoted(row["Keys"]), quoted(row["Paths"])
        assert [paths.render(segments) for segments in paths.split_flat(keys).values()] == stated
        assert [paths.join_flat(paths.parse(path)) for path in stated] == keys


def test_parts_of_flat_keys():
    for row in table("4.2", "Keys", "Prefix"):
        (prefix,), (path,) = quoted(row["Prefix"]), quoted(row["Path of its part"])
        assert paths.render(paths.split_key(prefix, quoted(row["Keys"]))) == path
        keys = paths.split_flat(quoted(row["Keys"])).values()
        values = [(paths.render(segments), "value") for segments in keys]
        facts = {"class_": craft.sparse([1], [0], ["M"])}
        ptformat.verify(craft.tree_file(("", "flat"), (path, "part"), *values, **facts))


def test_trees_of_the_example():
    rows = table("3.5", "Nodes")
    for row in rows:
        nodes = [(path, form) for form, path in re.findall('([a-z]+) `"(.*?)"`', row["Nodes"])]
        entries = [*nodes, *((path, "value") for path in quoted(row["Other entries"]))]
        assert loading.tree(ptformat.Reader(craft.tree_file(*entries))) == json.loads(code(row["Tree"]))
    assert len(rows) == 3


def test_recommended_labels():
    keys = [7, "7", "a", None, True, False, 1.5, b"\x00\xff", (1, "b", None), (), "a\n\x7f", "a%0A%7F"]
    expected = ["7", "7~2", "a", "null", "true", "false", "1.5", "00ff", "1,b,null", "", "a%0A%7F", "a%0A%7F~2"]
    assert containers._labels(keys) == expected


def test_keys_of_the_example():
    rows = table("4.3", "Key")
    keys = [1, (1, "a"), "x.y"]
    assert [bytes.fromhex(code(row["In the column"])) for row in rows] == [profile.encode(key) for key in keys]
    labels = [quoted(row["Label"])[0] for row in rows]
    assert labels == containers._labels(keys)
    assert [quoted(row["Path"])[0] for row in rows] == [paths.render([label]) for label in labels]
    assert profile.encode(index._pack_sparse("keys", {0: keys})) == hexes("keys")
    assert craft.index_map(ptformat.save(dict.fromkeys(keys, 0)))["keys"] == msgpack.unpackb(hexes("keys"))


def test_number_of_largest_block():
    assert f"at most {zstd._MAX_BLOCK} |" in section("6.2")


@pytest.fixture(scope="module")
def hexdump():
    spec = importlib.util.spec_from_file_location("hexdump", SPEC / "hexdump.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_hexdump_is_that_of_the_text(hexdump):
    assert hexdump.main(["--check"]) == 0


def test_hexdump_gives_the_file_and_its_digest(hexdump):
    dump = re.search(r"```hexdump\n(.*?)```", TEXT, re.S)[1]
    data = bytes.fromhex("".join(re.findall(r"^[0-9a-f]{4}  ((?:[0-9a-f]{2} )*[0-9a-f]{2})", dump, re.M)))
    assert data == hexdump.example()
    ptformat.verify(data)
    assert f"content digest: {ptformat.Reader(data).digest()}\n" in dump
    assert len(data) < 900


def test_sections_that_the_code_refers_to_exist():
    code_text = "".join(path.read_text() for path in pathlib.Path(ptformat.__file__).parent.rglob("*.py"))
    referred = set(re.findall(r"spec sections? (\d+(?:\.\d+)?)", code_text))
    assert referred
    for number in referred:
        assert section(number)


def test_text_is_wrapped():
    prose = (line for line in re.sub(r"```.*?```", "", TEXT, flags=re.S).splitlines() if not line.startswith("|"))
    assert [line for line in prose if len(line) > 120] == []
