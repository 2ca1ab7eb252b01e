import math
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptformat import limits, profile
from ptformat.errors import FormatError

# The one form of each value: bytes by hand, from the msgpack specification.
FORMS = {
    "c0": None,
    "c2": False,
    "c3": True,
    "00": 0,
    "7f": 127,
    "cc80": 128,
    "ccff": 255,
    "cd0100": 256,
    "cdffff": 65535,
    "ce00010000": 65536,
    "ceffffffff": 2**32 - 1,
    "cf0000000100000000": 2**32,
    "cfffffffffffffffff": 2**64 - 1,
    "ff": -1,
    "e0": -32,
    "d0df": -33,
    "d080": -128,
    "d1ff7f": -129,
    "d18000": -32768,
    "d2ffff7fff": -32769,
    "d280000000": -(2**31),
    "d3ffffffff7fffffff": -(2**31) - 1,
    "d38000000000000000": -(2**63),
    "cb3ff0000000000000": 1.0,
    "cb8000000000000000": -0.0,
    "cb7ff0000000000000": math.inf,
    "cbfff0000000000000": -math.inf,
    "a0": "",
    "a3c3a461": "äa",
    "bf" + "61" * 31: "a" * 31,
    "d920" + "61" * 32: "a" * 32,
    "da0100" + "61" * 256: "a" * 256,
    "db00010000" + "61" * 65536: "a" * 65536,
    "c400": b"",
    "c4ff" + "00" * 255: bytes(255),
    "c50100" + "00" * 256: bytes(256),
    "c600010000" + "00" * 65536: bytes(65536),
    "90": [],
    "9f" + "c0" * 15: [None] * 15,
    "dc0010" + "c0" * 16: [None] * 16,
    "dd00010000" + "c0" * 65536: [None] * 65536,
    "80": {},
    "82a16101a2616202": {"a": 1, "ab": 2},
    "81d920" + "61" * 32 + "01": {"a" * 32: 1},
}


def same(a, b):
    return (
        type(a) is type(b)
        and a == b
        and math.copysign(1, a if type(a) is float else 1) == math.copysign(1, b if type(b) is float else 1)
    )


@pytest.mark.parametrize(("form", "value"), FORMS.items(), ids=[form[:20] for form in FORMS])
def test_one_form_both_ways(form, value):
    assert same(profile.decode(bytes.fromhex(form)), value)
    assert profile.encode(value).hex() == form


def test_one_nan():
    form = bytes.fromhex("cb7ff8000000000000")
    assert math.isnan(profile.decode(form))
    payload = struct.unpack(">d", bytes.fromhex("fff8000000000001"))[0]
    assert profile.encode(payload) == profile.encode(math.nan) == form


# Faults -> (code, what the message says). The fault stands at byte 0 unless it says otherwise.
FAULTS = {
    "": ("MALFORMED", "index byte 0: the bytes end"),
    "c1": ("MALFORMED", "the byte c1"),
    "81a561": ("MALFORMED", "index byte 2: a string of 5 bytes expected, 1 are left"),
    # wide forms
    "cc7f": ("NONCANONICAL", "127 as a 1-byte unsigned integer"),
    "cd00ff": ("NONCANONICAL", "255 as a 2-byte unsigned integer"),
    "ce0000ffff": ("NONCANONICAL", "65535 as a 4-byte unsigned integer"),
    "cf00000000ffffffff": ("NONCANONICAL", "4294967295 as a 8-byte unsigned integer"),
    "d001": ("NONCANONICAL", "1 as a 1-byte signed integer"),
    "d0e0": ("NONCANONICAL", "-32 as a 1-byte signed integer"),
    "d1ff80": ("NONCANONICAL", "-128 as a 2-byte signed integer"),
    "d2ffff8000": ("NONCANONICAL", "-32768 as a 4-byte signed integer"),
    "d3ffffffff80000000": ("NONCANONICAL", "-2147483648 as a 8-byte signed integer"),
    "d30000000000000080": ("NONCANONICAL", "128 as a 8-byte signed integer"),
    "d91f" + "61" * 31: ("NONCANONICAL", "str of length 31 in a 1-byte length form"),
    "da00ff" + "61" * 255: ("NONCANONICAL", "str of length 255 in a 2-byte length form"),
    "db0000ffff" + "61" * 65535: ("NONCANONICAL", "str of length 65535 in a 4-byte"),
    "c500ff" + "00" * 255: ("NONCANONICAL", "bin of length 255 in a 2-byte length form"),
    "c60000ffff" + "00" * 65535: ("NONCANONICAL", "bin of length 65535 in a 4-byte"),
    "dc000f" + "c0" * 15: ("NONCANONICAL", "array of length 15 in a 2-byte length form"),
    "dd0000ffff" + "c0" * 65535: ("NONCANONICAL", "array of length 65535 in a 4-byte"),
    "de0000": ("NONCANONICAL", "map of length 0 in a 2-byte length form"),
    "df00000001a161c0": ("NONCANONICAL", "map of length 1 in a 4-byte length form"),
    # other types
    "ca3f800000": ("NONCANONICAL", "float32 is not allowed"),
    "cb7ff8000000000001": ("NONCANONICAL", "NaN 7ff8000000000001, only 7ff8000000000000"),
    "cbfff8000000000000": ("NONCANONICAL", "NaN fff8000000000000"),
    "cb7ff0000000000001": ("NONCANONICAL", "NaN 7ff0000000000001"),
    "d40100": ("NONCANONICAL", "an ext type (d4)"),
    "d6ff00000000": ("NONCANONICAL", "an ext type (d6)"),
    "c70001": ("NONCANONICAL", "an ext type (c7)"),
    # maps
    "82a16101a16102": ("DUPLICATE", "index byte 4: map key 'a' is repeated"),
    "82a16101d9016102": ("NONCANONICAL", "index byte 4: str of length 1 in a 1-byte length form"),
    "82a16201a16102": ("NONCANONICAL", "index byte 4: map key 'a' is out of order"),
    "82a2616101a16102": ("NONCANONICAL", "map key 'a' is out of order"),
    "82a3efbfbf01a4f09f998202": None,  # U+FFFF before U+1F642: bytes, not UTF-16 units
    "810101": ("NONCANONICAL", "index byte 1: a map key that is no string"),
    "81c4016101": ("NONCANONICAL", "index byte 1: a map key that is no string"),
    "81cd01": ("NONCANONICAL", "index byte 1: a map key that is no string"),
    "81d40101": ("NONCANONICAL", "index byte 1: a map key that is no string"),
    "81c101": ("MALFORMED", "index byte 1: a map key that is no string"),
    "81da01": ("MALFORMED", "2 bytes of an integer expected, 1 are left"),
    "81": ("MALFORMED", "map of length 1 expected, 0 bytes are left"),
    # UTF-8
    "a1ff": ("MALFORMED", "index byte 1: no valid UTF-8"),
    "a2c080": ("MALFORMED", "no valid UTF-8"),
    "a3eda080": ("MALFORMED", "no valid UTF-8"),
    "81a1ff01": ("MALFORMED", "index byte 2: no valid UTF-8"),
    # ends
    "c0c0": ("MALFORMED", "index byte 1: 1 bytes follow the value, expected none"),
    "cc": ("MALFORMED", "1 bytes of an integer expected, 0 are left"),
    "cf00": ("MALFORMED", "8 bytes of an integer expected, 1 are left"),
    "cb00": ("MALFORMED", "8 bytes of a float expected, 1 are left"),
    "a261": ("MALFORMED", "str of length 2 expected, 1 bytes are left"),
    "da": ("MALFORMED", "2 bytes of an integer expected, 0 are left"),
    "9200": ("MALFORMED", "array of length 2 expected, 1 bytes are left"),
    "81a161": ("MALFORMED", "index byte 3: the bytes end"),
    "81a261": ("MALFORMED", "a string of 2 bytes expected, 1 are left"),
}


@pytest.mark.parametrize(("form", "expected"), FAULTS.items(), ids=[form[:20] or "empty" for form in FAULTS])
def test_fault(form, expected):
    data = bytes.fromhex(form)
    if expected is None:
        assert list(profile.decode(data)) == ["\uffff", "\U0001f642"]
        return
    with pytest.raises(FormatError) as caught:
        profile.decode(data)
    code, message = expected
    assert caught.value.code == code
    assert message in caught.value.message


def test_depth():
    deepest = bytes([0x91] * 31) + b"\x90"
    assert profile.encode(profile.decode(deepest)) == deepest
    for inner in (b"\x90", b"\x80"):
        with pytest.raises(FormatError, match="nested deeper than 32") as caught:
            profile.decode(bytes([0x91] * 32) + inner)
        assert caught.value.code == "LIMIT"
    value = []
    for _ in range(32):
        value = [value]
    with pytest.raises(FormatError, match=r"x\[0\].*: nested deeper than 32") as caught:
        profile.encode(value, "x")
    assert caught.value.code == "LIMIT"


@pytest.mark.parametrize("head", ["ddffffffff", "dfffffffff", "c6ffffffff", "dbffffffff", "dcffff", "deffff"])
def test_a_declared_length_allocates_nothing(head):
    data = bytes.fromhex(head) + bytes(1000)
    tracemalloc.start()
    with pytest.raises(FormatError) as caught:
        profile.decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.code == "MALFORMED"
    assert peak < 100_000


def test_items_are_counted_before_they_are_built():
    """A byte of index can become 64 bytes in memory, so the number of items has a limit of its own."""
    count = limits.MAX_INDEX_VALUES + 1
    data = b"\xdd" + count.to_bytes(4, "big") + b"\x90" * count
    tracemalloc.start()
    with pytest.raises(FormatError, match="more than 4194304 items") as caught:
        profile.decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.code == "LIMIT"
    assert peak < 100_000


def test_items_are_counted_over_all_containers(monkeypatch):
    monkeypatch.setattr(profile, "MAX_INDEX_VALUES", 6)
    assert profile.decode(bytes.fromhex("9281a16100920102")) == [{"a": 0}, [1, 2]]  # 2 + 2 + 2
    with pytest.raises(FormatError, match="more than 6 items"):
        profile.decode(bytes.fromhex("9281a1610093010203"))


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (2**64, "LIMIT", "m: integer 18446744073709551616 does not fit"),
        (-(2**63) - 1, "LIMIT", "does not fit"),
        ({"a": [0, object()]}, "TYPE", "m['a'][1]: a object cannot stand"),
        ({1: 2}, "TYPE", "m: map key 1 is no string"),
        ("\ud800", "TYPE", "lone surrogate"),
        ({"\ud800": 1}, "TYPE", "lone surrogate"),
        ({1, 2}, "TYPE", "a set cannot stand"),
        (bytearray(1), "TYPE", "a bytearray cannot stand"),
    ],
)
def test_what_cannot_be_encoded(value, code, message):
    with pytest.raises(FormatError) as caught:
        profile.encode(value, "m")
    assert caught.value.code == code
    assert message in caught.value.message


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=40)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=3), inner, max_size=20),
    max_leaves=30,
)


@given(VALUES)
def test_any_value_comes_back_and_has_one_form(value):
    form = profile.encode(value)
    assert profile.decode(form) == value
    assert profile.encode(profile.decode(form)) == form


@given(st.binary(max_size=40))
def test_any_bytes_are_refused_or_canonical(data):
    try:
        value = profile.decode(data)
    except FormatError as error:
        assert error.code in ("MALFORMED", "NONCANONICAL", "DUPLICATE", "LIMIT")
    else:
        assert profile.encode(value) == data


def test_other_msgpack_is_read_by_token():
    ext = bytes.fromhex("c70301aabbcc")
    assert profile.token(ext, 0, strict=False) == ("ext", (1, 3), 3)
    assert profile.token(bytes.fromhex("d5ff0102"), 0, strict=False) == ("ext", (-1, 2), 2)
    assert profile.token(bytes.fromhex("ca3fc00000"), 0, strict=False) == ("scalar", 1.5, 5)
    assert profile.token(bytes.fromhex("cd0001"), 0, strict=False) == ("scalar", 1, 3)


TEXTS = [
    "",
    "\n",
    "a",
    "a\n",
    "\na",
    "a\nbc\n\nd",
    "äöü\n日本\n\U0001f600",
    "x" * 20 + "\n\n",
    "\n" * 9,
    "\U0001f600" * 9,
]


@pytest.mark.parametrize("part", [4, 5, 7, 2**20])
@pytest.mark.parametrize("text", TEXTS)
def test_a_late_text_has_the_lines_of_the_string(monkeypatch, text, part):
    monkeypatch.setattr(profile, "_PART", part)
    found = profile.decode(profile.encode({"a": text, "b": {"a": text}, "c": 1}), "a")
    assert found["a"].lines() == text.split("\n")
    assert found["a"].count() == (len(text.split("\n")) if text else 0)
    assert (found["b"], found["c"]) == ({"a": text}, 1)


@pytest.mark.parametrize("part", [4, 5, 6, 7, 2**20])
@pytest.mark.parametrize(
    "raw", ["61ff61", "e697a5e697", "61616161616161e6", "f09f98800a80", "eda080", "c0af", "6161f09f980a61"]
)
def test_a_late_text_is_utf_8(monkeypatch, raw, part):
    """Its fault is found at the same byte, however the text is cut."""
    data = bytes.fromhex(f"81a161{0xA0 + len(raw) // 2:x}{raw}")
    with pytest.raises(FormatError) as whole:
        profile.decode(data)
    monkeypatch.setattr(profile, "_PART", part)
    with pytest.raises(FormatError) as late:
        profile.decode(data, "a")
    assert (late.value.code, late.value.message) == ("MALFORMED", whole.value.message)


@pytest.mark.parametrize(
    "form", ["81a161a3", "81a161d9", "81a161d90161", "81a161db00000004616161", "81a161c1", "81a16191"]
)
def test_a_late_text_that_is_none_is_refused_like_any_value(form):
    data = bytes.fromhex(form)
    with pytest.raises(FormatError) as whole:
        profile.decode(data)
    with pytest.raises(FormatError) as late:
        profile.decode(data, "a")
    assert str(late.value) == str(whole.value)


def test_what_is_under_a_late_key_may_be_no_string():
    assert profile.decode(profile.encode({"a": ["x"], "b": "y"}), "a") == {"a": ["x"], "b": "y"}
    assert profile.decode(profile.encode(["a"]), "a") == ["a"]


def test_what_was_decoded_is_encoded_again_without_a_look():
    value = {"a": [1, -1, 2**64 - 1, 0.5, math.nan, None, True, b"x", "ä", {"b": [], "ba": {}}], "aa": "x" * 300}
    data = profile.encode(value)
    assert profile.again(profile.decode(data)) == data


def test_a_string_in_other_bytes():
    assert profile.text(memoryview("xaäx".encode()), 1, 3) == "aä"
    with pytest.raises(FormatError, match=r"^MALFORMED: index byte 1: a string of 3 bytes expected, 2 are left$"):
        profile.text(b"abc", 1, 3)
    with pytest.raises(FormatError, match=r"^MALFORMED: index byte 2: no valid UTF-8"):
        profile.text(b"ab\xff", 1, 2)


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        ({0: 1}, "TYPE", "value: map key 0 is no string"),
        ({None: 1}, "TYPE", "value: map key None is no string"),
        ({"a": [1, {"b": ({"": {b"": 1}},)}]}, "TYPE", "value['a'][1]['b'][0]['']: map key b'' is no string"),
        ({"a": {"\ud800": 1}}, "TYPE", "value['a']: string '\\ud800' holds a lone surrogate"),
        ({"a": [[0, 2**64]]}, "LIMIT", "value['a'][0][1]: integer 18446744073709551616 does not fit"),
    ],
)
def test_where_a_value_is_that_cannot_be_written(value, code, message):
    with pytest.raises(FormatError) as caught:
        profile.encode(value)
    assert (caught.value.code, caught.value.message[: len(message)]) == (code, message)
