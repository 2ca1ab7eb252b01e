"""The codecs of chunks (spec section 6): a byte in the index, one module each, of one shape.

`encode(chunk, dtype) -> bytes | None` gives the stored bytes, or None where they would hardly be smaller;
`decode(stored, into, dtype)` fills `into` exactly or raises `FormatError`. A chunk holds whole elements.
"""

import os

from ..dtypes import DType
from . import planes, raw, zstd

RAW, ZSTD, PLANES = range(3)
MODULES = {RAW: raw, ZSTD: zstd, PLANES: planes}
NAMES = {RAW: "raw", ZSTD: "zstd", PLANES: "planes"}
THREADS = min(8, os.cpu_count() or 1)  # that encode or decode; each holds a few chunks
SAMPLE_BYTES = 2**16


def choose(chunk: memoryview, dtype: DType) -> int:
    """The codec that makes the beginning of a chunk smallest, or else the one that suits its type."""
    sample = chunk[:SAMPLE_BYTES]
    fitting = (PLANES, ZSTD) if planes.suits(dtype) else (ZSTD,)
    sizes = {codec: len(MODULES[codec].encode(sample, dtype) or sample) for codec in fitting}
    return min(sizes, key=lambda codec: sizes[codec])
