"""The checksum of the recipes against published values and against the library's."""

import pytest
import xxhash

from ptformat.conformance.recipes.xxh3 import xxh3_64

# Length of the buffer -> XXH3_64bits with seed 0: `XSUM_XXH3_testdata` of xxHash 0.8 (cli/xsum_sanity_check.c).
PUBLISHED = {
    0: 0x2D06800538D394C2,
    1: 0xC44BDFF4074EECDB,
    6: 0x27B56A84CD2D7325,
    12: 0xA713DAF0DFBB77E7,
    24: 0xA3FE70BF9D3510EB,
    48: 0x397DA259ECBA1F11,
    80: 0xBCDEFBBB2C47C90A,
    195: 0xCD94217EE362EC3A,
    403: 0xCDEB804D65C6DEA4,
    512: 0x617E49599013CB6B,
    2048: 0xDD59E2C3A5F038E0,
    2240: 0x6E73A90539CF2948,
    2367: 0xCB37AEB9E5D361ED,
}


def buffer(size):
    """The bytes that the published values are of: a generator of xxHash's own."""
    state, made = 2654435761, bytearray()
    for _ in range(size):
        made.append(state >> 56)
        state = state * 11400714785074694797 % 2**64
    return bytes(made)


@pytest.mark.parametrize("size", list(PUBLISHED))
def test_published_values(size):
    assert xxh3_64(buffer(size)) == PUBLISHED[size]


@pytest.mark.parametrize("sizes", [range(20), range(120, 140), range(235, 300), range(1000, 1100), range(4090, 4100)])
def test_the_same_as_xxhash(sizes):
    data = buffer(sizes[-1])
    assert [xxh3_64(data[:size]) for size in sizes] == [xxhash.xxh3_64_intdigest(data[:size]) for size in sizes]
