"""The numbers of the table, and files with a long index that are short."""

from __future__ import annotations

from .. import forms
from ..blocks import header, raw_blocks, rle_blocks
from ..draft import Draft

MOST = 2**53 - 1  # MAX_INTEGER, MAX_TENSOR_BYTES, MAX_TOTAL_BYTES
INDEX_BYTES, INDEX_RATIO, INDEX_VALUES = 2**28, 256, 2**22
ENTRIES, INNER_PATHS, METADATA = 2**20, 2**20, 2**20
CHUNK, RATIO, WINDOW = 2**26, 2**15, 2**26
LATER = "zz"  # an unknown key behind all others: what it holds is no content


def run_behind(draft: Draft, head: bytes, byte: int, count: int, *, window: int | None = None) -> bytes:
    """A file whose index ends with an unknown key: `head`, then one byte many times, in RLE blocks where it may be."""
    size = len(forms.keyed({**draft.keys(), LATER: head})) + count

    def frame(index: bytes) -> bytes:
        run = rle_blocks(byte, count)
        plain = max(0, -(-size // INDEX_RATIO) - len(index) - len(run))
        lead = index + bytes([byte]) * plain
        return header(size, window=window) + raw_blocks(lead, last=False) + rle_blocks(byte, size - len(lead))

    return draft.file(keys={LATER: head}, stored=frame, trailer={"decoded": size})


def metadata(size: int) -> Draft:
    """A file with metadata of so many bytes of msgpack."""
    plain = "".join(map(chr, range(0x21, 0x7F))) * 50  # so that the index is at most 256 times as long as it is stored
    rest = size - 1 - len(forms.text("k")) - 5 - len(forms.text("plain")) - len(forms.text(plain))
    return Draft(metadata={"k": "a" * rest, "plain": plain}).value("limit")
