"""The recipes of the invalid cases: what the faults are put into is right, and every step has its faults."""

import pytest
import xxhash
import zstandard

from ptformat.conformance import recipes
from ptformat.conformance.recipes import spoilers, spoilt, steps
from ptformat.conformance.recipes.invalid import zstd_content
from ptformat.conformance.recipes.packed import RLE, bits, huffman, jumps, literals, sequences
from ptformat.conformance.recipes.xxh64 import xxh64
from ptformat.errors import FormatError
from ptformat.reader import Reader

FOUND = {
    f"{area}/{case.slug}": case
    for area in recipes.areas()
    if area.startswith("invalid/")
    for case in recipes.cases(area)
}
ELSEWHERE = {22, 24, 40, 44}  # area `limits` has the first two and the last; no file can fail step 40 alone


def test_each_step_has_a_case():
    assert set(steps.STEPS) == set(range(1, 57)) - ELSEWHERE
    wrong = {
        ident: FOUND[ident].step if ident in FOUND else "no such case"
        for step, conditions in steps.STEPS.items()
        for ident in conditions.values()
        if ident not in FOUND or FOUND[ident].step != step or FOUND[ident].level != "required"
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("table", "section", "rows"), [(steps.FRAMES, ("6.2", "6.3"), 10), (steps.PLANES, ("6.3",), 8)], ids=["6.2", "6.3"]
)
def test_each_row_has_a_case(table, section, rows):
    assert list(table) == list(range(1, rows + 1))
    for ident in table.values():
        assert (FOUND[ident].section in section, FOUND[ident].phase, FOUND[ident].level) == (True, "read", "required")


def test_what_is_checked_when_a_file_is_verified_has_a_case():
    phases = [FOUND[ident].phase for ident in steps.CHECKED.values()]
    assert phases == ["verify", "verify", "read", "read", "verify", "verify"]


@pytest.mark.parametrize("name", list(spoilers.SPOILERS))
def test_a_spoiler_alone_gives_its_code(name):
    fault = spoilers.SPOILERS[name]
    with pytest.raises(FormatError) as caught:
        Reader(spoilers.spoilt(fault))
    assert caught.value.code == fault.code


def test_what_is_spoilt_was_right():
    assert list(Reader(spoilers.spoilt())) == ["w", "s", "t", "v"]


def test_two_faults_of_one_key_cannot_be_combined():
    with pytest.raises(ValueError, match="two faults of \\['requires'\\]"):
        spoilers.spoilt(spoilers.SPOILERS["18"], spoilers.SPOILERS["19"])


@pytest.mark.parametrize(
    ("content", "block"),
    [
        (zstd_content.ONCE, zstd_content.EIGHT + sequences(1, zstd_content.CODES, zstd_content.BACK)),
        (zstd_content.BINARY, huffman(64, zstd_content.TREE, bits(*zstd_content.PAIRS)) + b"\0"),
        (zstd_content.BINARY, huffman(64, zstd_content.TREE, jumps([zstd_content.QUARTER] * 4), four=True) + b"\0"),
        (b"\1" * 64, literals(64, b"\1", RLE) + b"\0"),
        (b"\1" * 5000, literals(5000, b"\1", RLE) + b"\0"),
    ],
    ids=["sequence", "one-stream", "four-streams", "run", "long-run"],
)
def test_blocks_by_hand_without_a_fault_decode(content, block):
    assert zstandard.ZstdDecompressor().decompress(zstd_content.framed(content, block)) == content


@pytest.mark.parametrize("data", [b"\7" * 192, b"\7" * 3008, bytes(range(256))], ids=["short", "long", "mixed"])
def test_frames_without_a_fault_decode(data):
    assert zstandard.ZstdDecompressor().decompress(spoilt.whole(data)) == data


def test_xxh64():
    data = bytes(7 * i % 256 for i in range(300))
    assert xxh64(b"") == 0xEF46DB3751D8E999  # of the specification of XXH64
    assert [xxh64(data[:size]) for size in range(300)] == [xxhash.xxh64_intdigest(data[:size]) for size in range(300)]
