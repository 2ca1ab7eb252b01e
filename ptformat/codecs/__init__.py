"""The codecs of chunks (spec section 6): a byte in the index, one module each, of one shape.

`encode(chunk) -> bytes | None` gives the stored bytes, or None where they would hardly be smaller;
`decode(stored, into)` fills `into` exactly or raises `FormatError`.
"""

import os

from . import raw, zstd

RAW, ZSTD = 0, 1
MODULES = {RAW: raw, ZSTD: zstd}
NAMES = {RAW: "raw", ZSTD: "zstd"}
THREADS = min(8, os.cpu_count() or 1)  # that encode or decode; each holds a few chunks
