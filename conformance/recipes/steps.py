"""A case for each condition of the tables of sections 10.2, 6.2, 6.3 and 10.3 of the specification.

Step or row -> condition -> the id of a case that breaks this condition alone. A step without any is found elsewhere:
22, 24 and 44 in area `limits`; 40 nowhere, since no index of 256 MiB has as many chunks as it takes. Step 12 is tried
with decoded bytes: as many stored ones would take a large file.
"""

from __future__ import annotations

STEPS: dict[int, dict[str, str]] = {
    1: {
        "the file is not empty": "invalid/length/empty",
        "it begins with the magic": "invalid/preamble/magic-lower-case",
        "of fewer than 8 bytes: with as much as there is": "invalid/preamble/magic-wrong-in-3",
    },
    2: {"at least 128 bytes": "invalid/length/preamble-and-63-bytes"},
    3: {"preamble: major is 1": "invalid/preamble/major-2"},
    4: {"preamble: bytes 12 to 63 are zero": "invalid/preamble/zeros-byte-40"},
    5: {"the last 8 bytes are the magic": "invalid/trailer/no-magic"},
    6: {"trailer: its own checksum": "invalid/trailer/own-checksum"},
    7: {
        "trailer: major is the preamble's": "invalid/trailer/major-2",
        "trailer: minor is the preamble's": "invalid/trailer/minor-1",
    },
    8: {"trailer: no flag but bit 0": "invalid/trailer/flag-1"},
    9: {"no fewer bytes than the file length": "invalid/length/lost-sixty-four"},
    10: {"no more bytes than the file length": "invalid/length/added-before-index"},
    11: {
        "index offset at least 64": "invalid/trailer/offset-63",
        "the index ends at the trailer": "invalid/trailer/stored-one-more",
    },
    12: {"MAX_INDEX_BYTES": "invalid/trailer/compressed-decoded-2-to-29"},
    13: {"MAX_INDEX_RATIO": "invalid/index-zstd/bomb-just-too-small"},
    14: {"raw index: stored and decoded bytes are equal": "invalid/trailer/decoded-one-more"},
    15: {"the stored index": "invalid/trailer/index-checksum"},
    16: {
        "compressed index: CODEC": "invalid/index-zstd/behind-zero",
        "compressed index: LIMIT": "invalid/index-zstd/window-72-mebibytes",
    },
    17: {
        "a first byte": "invalid/msgpack-heads/cut-index-to-0",
        "not c1": "invalid/msgpack-heads/c1-in-map",
        "not ca": "invalid/msgpack-forms/float32-one",
        "no extension": "invalid/msgpack-forms/fixext1",
        "length or number is there": "invalid/msgpack-heads/cut-uint16-after-1",
        "form of a length": "invalid/msgpack-forms/str8-of-31",
        "form of a number": "invalid/msgpack-forms/uint16-of-255",
        "form of a NaN": "invalid/msgpack-forms/nan-payload-1",
        "what it announces can be there": "invalid/msgpack-heads/bomb-array32",
        "UTF-8": "invalid/msgpack-text/surrogate-high-first",
        "nesting": "invalid/msgpack-heads/deep-arrays-million",
        "a key is a string": "invalid/msgpack-keys/key-integer",
        "a key is no c1": "invalid/msgpack-keys/key-c1",
        "keys ascend": "invalid/msgpack-keys/order-first-pair",
        "no key twice": "invalid/msgpack-keys/twice-first",
        "the bytes end with the value": "invalid/msgpack-heads/behind-zero",
    },
    18: {
        "the index is a map": "invalid/schema-keys/index-null",
        "requires is there": "invalid/schema-keys/missing-requires",
        "an array": "invalid/schema-types/requires-null",
        "of strings": "invalid/schema-keys/requires-of-integer",
        "strictly ascending": "invalid/schema-keys/requires-equal",
    },
    19: {"every name in requires is known": "invalid/schema-keys/feature-of-one-letter"},
    20: {
        "every required key is there": "invalid/schema-keys/missing-chunk",
        "every known key has its type": "invalid/schema-types/chunk-float",
        "a sparse column is an array": "invalid/schema-types/role-map",
    },
    21: {
        "convention": "invalid/schema-keys/empty-convention",
        "dialect": "invalid/schema-keys/empty-dialect",
        "metadata": "invalid/schema-keys/empty-metadata",
        "provenance": "invalid/schema-keys/empty-provenance",
    },
    23: {
        "dims": "invalid/schema-columns/dims-one-byte-more",
        "stored": "invalid/schema-columns/stored-one-byte-more",
        "sum": "invalid/schema-columns/sum-one-byte-less",
        "alias": "invalid/schema-columns/alias-one-byte",
    },
    25: {"entry types are known": "invalid/schema-columns/type-4-last"},
    26: {
        "path": "invalid/schema-columns/path-one-more",
        "value": "invalid/schema-columns/value-one-fewer",
        "dtype": "invalid/schema-columns/dtype-one-more",
        "rank": "invalid/schema-columns/rank-one-fewer",
        "alias": "invalid/schema-columns/alias-one-more",
        "form": "invalid/schema-columns/form-one-fewer",
        "without entries, path is empty": "invalid/schema-columns/no-entries-but-one-path",
    },
    27: {"dims": "invalid/schema-columns/dims-one-more"},
    28: {
        "forms are known": "invalid/schema-columns/form-7-last",
        "no value is an array": "invalid/schema-columns/value-array-middle",
        "no value is a map": "invalid/schema-columns/value-empty-map-first",
    },
    29: {
        "positive": "invalid/chunks/size-minus-64",
        "not zero": "invalid/chunks/size-zero",
        "a multiple of 64": "invalid/chunks/size-65",
    },
    30: {"MAX_CHUNK_BYTES": "invalid/chunks/size-twice-the-limit"},
    31: {"element types are known": "invalid/dtypes/code-28-middle"},
    32: {"MAX_RANK": "invalid/shapes/rank-34-of-ones"},
    33: {"each dimension: MAX_INTEGER": "invalid/shapes/dimension-2-to-53-and-0"},
    34: {
        "the product of its nonzero dimensions": "invalid/shapes/product-2-to-53-and-1",
        "that times the bits": "invalid/shapes/bits-float16-2-to-52",
    },
    35: {"MAX_TOTAL_BYTES": "invalid/shapes/total-largest-and-one"},
    36: {
        "codec": "invalid/chunks/codec-one-fewer",
        "stored": "invalid/chunks/stored-one-more",
        "sum": "invalid/chunks/sum-one-fewer",
    },
    37: {
        "codecs are known": "invalid/chunks/codec-3-middle",
        "planes only where an element has several bytes": "invalid/chunks/planes-of-int8",
    },
    38: {
        "raw: those of the chunk": "invalid/chunks/raw-middle-one-more",
        "zstd: at least 1": "invalid/chunks/zstd-last-none",
        "zstd: fewer than the chunk's": "invalid/chunks/zstd-first-as-many",
        "planes: at least 1": "invalid/chunks/planes-int16-none",
        "planes: fewer than the chunk's": "invalid/chunks/planes-int16-as-many",
    },
    39: {"zstd: MAX_ZSTD_RATIO": "invalid/chunks/ratio-zstd", "planes: MAX_ZSTD_RATIO": "invalid/chunks/ratio-planes"},
    41: {
        "not before the index": "invalid/extent/index-1-behind",
        "not behind its beginning": "invalid/extent/index-1-early",
    },
    42: {
        "no empty segment": "invalid/paths/doubled-dot",
        "no other escape": "invalid/paths/escaped-letter-x",
        "the empty mark stands alone": "invalid/paths/empty-mark-after-text",
        "no control character": "invalid/paths/control-1f",
        "MAX_PATH_BYTES": "invalid/paths/too-long-in-two-byte-letters",
        "MAX_PATH_DEPTH": "invalid/paths/too-deep-200",
    },
    43: {"no path stands twice": "invalid/paths/twice-apart"},
    45: {
        "an array of three": "invalid/sparse/of-four-parts",
        "of the right types": "invalid/sparse/rows-array",
        "multiples of 4 bytes": "invalid/sparse/rows-and-picks-one-byte-more",
        "as many rows as picks": "invalid/sparse/picks-one-fewer",
        "at least one": "invalid/sparse/empty",
        "rows ascend": "invalid/sparse/rows-descend-last",
        "rows exist": "invalid/sparse/rows-beyond-by-one",
        "entry types may have it": "invalid/sparse/role-at-node",
        "order of first use": "invalid/sparse/order-of-two",
        "no pick beyond the table": "invalid/sparse/pick-beyond-by-one",
        "all used": "invalid/sparse/unused-last",
        "none twice": "invalid/sparse/repeated-apart",
    },
    46: {
        "attrs": "invalid/facts/attrs-empty",
        "axes": "invalid/facts/axes-last-empty",
        "class": "invalid/facts/class-integer",
        "keys": "invalid/facts/keys-null",
        "module": "invalid/facts/module-empty",
        "perm": "invalid/facts/perm-first-bool",
        "role": "invalid/facts/role-binary",
        "trainable": "invalid/facts/trainable-one",
        "the items of keys are keys": "invalid/facts/keys-map-in-inner-tuple",
    },
    47: {
        "as many axes as the rank": "invalid/facts/count-one-fewer",
        "for an alias as its target's": "invalid/facts/alias-count-one-more",
    },
    48: {
        "nodes of form keys have keys": "invalid/facts/no-keys-last",
        "no others have": "invalid/facts/keys-of-list",
    },
    49: {
        "the target is earlier": "invalid/aliases/target-later-tensor",
        "not itself": "invalid/aliases/target-itself-only",
        "there": "invalid/aliases/target-beyond-by-one",
        "a tensor": "invalid/aliases/target-earlier-alias",
        "the perm is a permutation": "invalid/aliases/perm-repeated-0",
        "not the identity": "invalid/aliases/identity-of-rank-2",
    },
    50: {
        "axes": "invalid/aliases/repeats-axes-turned",
        "role": "invalid/aliases/repeats-role",
        "trainable": "invalid/aliases/repeats-trainable",
    },
    51: {"at least one entry": "invalid/nodes/no-entries"},
    52: {"no leaf has entries beneath it": "invalid/nodes/leaf-far-above"},
    53: {"every node stands before what is beneath it": "invalid/nodes/late-list"},
    54: {
        "a part lies in a flat map": "invalid/parts/in-map",
        "a part says something": "invalid/parts/silent",
        "a map says something": "invalid/nodes/silent-map",
    },
    55: {
        "list": "invalid/lists/list-gap",
        "tuple": "invalid/lists/tuple-leading-zero",
        "as many keys as children": "invalid/keys-nodes/count-2-for-1",
        "no key twice": "invalid/keys-nodes/twice-integer",
        "not all strings": "invalid/keys-nodes/strings-two",
        "no segment beneath a map holds a dot": "invalid/nodes/dot-in-map-with-node",
    },
    56: {
        "no two values have one key": "invalid/flat/equal-of-two",
        "every key is split": "invalid/flat/split-joined",
        "every part is split": "invalid/parts/split-joined",
    },
}

# Section 6.2, row by row: of a chunk, but the ratio of a plane, since that of a chunk is step 39.
FRAMES: dict[int, str] = {
    1: "invalid/zstd-header/skippable-before",
    2: "invalid/zstd-header/cut-to-13-of-14",
    3: "invalid/zstd-header/size-missing",
    4: "invalid/zstd-header/size-one-more",
    5: "invalid/zstd-header/reserved-bit",
    6: "invalid/zstd-header/window-72-mebibytes",
    7: "invalid/planes/zstd-ratio-of-10-bytes",
    8: "invalid/zstd-blocks/rle-over-window-first",
    9: "invalid/zstd-blocks/behind-empty-frame",
    10: "invalid/zstd-content/content-one-less",
}
# Section 6.3, row by row.
PLANES: dict[int, str] = {
    1: "invalid/planes/heads-of-float32-one-byte-short",
    2: "invalid/planes/mode-3-of-float32-plane-2",
    3: "invalid/planes/last-byte-missing-of-float32",
    4: "invalid/planes/zstd-window-72-mebibytes-of-plane-1",
    5: "invalid/planes/sevens-count-one-more-of-plane-1",
    6: "invalid/planes/sevens-equal-of-plane-0",
    7: "invalid/planes/sevens-padding-205-bit-0-of-plane-1",
    8: "invalid/planes/byte-behind-of-float32",
}
# Section 10.3: what is checked when a file is verified, or a chunk decoded.
CHECKED: dict[str, str] = {
    "the gap is zero": "invalid/extent/gap-middle-byte",
    "checksum of a raw chunk": "invalid/checksums/flipped-middle-chunk-middle-byte",
    "checksum of a compressed chunk": "invalid/checksums/zstd-flipped-content-middle",
    "it decodes": "invalid/zstd-content/sequences-offset-beyond-by-one",
    "each bool is 0 or 1": "invalid/data/bool-2",
    "the bits after the last element are zero": "invalid/data/tail-int4-of-1-lowest-bit",
}
