"""Files of named arrays that lie: .safetensors and .npz."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hostile.archives import END, Member, packed, wide
from hostile.smashing import ESCAPE

Row = tuple[str, bytes, str]


def safetensors(header: Any, data: bytes = bytes(4)) -> bytes:
    """A file with this header, as it is where it is bytes."""
    made = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(made)) + made + data


def said(dtype: Any = "U8", shape: Any = (4,), offsets: Any = (0, 4)) -> dict[str, Any]:
    """What a header says of a tensor."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def of_safetensors() -> Iterator[Row]:
    for name, length in (("zero", 0), ("one", 1), ("2^31", 2**31), ("2^63", 2**63), ("all ones", 2**64 - 1)):
        yield f"header length {name}", struct.pack("<Q", length) + b"{}", "FORMAT"
    yield "header length beyond the file", struct.pack("<Q", 100) + b'{"a":', "FORMAT"
    yield "offsets overlap", safetensors({"a": said(), "b": said(offsets=(2, 6))}, bytes(6)), "MALFORMED"
    yield "offsets negative", safetensors({"a": said(offsets=(-4, 0))}), "MALFORMED"
    yield "offsets of 2^63", safetensors({"a": said(offsets=(2**63, 2**63 + 4))}), "MALFORMED"
    yield "offsets float", safetensors({"a": said(offsets=(0.0, 4.0))}), "MALFORMED"
    yield "offsets not a number", safetensors({"a": said(offsets=(math.nan, math.inf))}), "MALFORMED"
    yield "offsets of 4000 digits", safetensors({"a": said(offsets=(0, 10**4000))}), "MALFORMED"
    yield "offsets text", safetensors({"a": said(offsets=f"\n{ESCAPE}")}), "MALFORMED"
    yield "a hole", safetensors({"a": said(), "b": said(offsets=(8, 12))}, bytes(12)), "MALFORMED"
    yield "name twice", safetensors(b'{"a":1,"a":1}'), "DUPLICATE"
    yield "nested 10^5 deep", safetensors(b'{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}"), "LIMIT"
    yield "nested 250 deep", safetensors(b'{"a":{"dtype":"U8","shape":' + b"[" * 240 + b"]" * 240 + b"}}"), "MALFORMED"
    yield "type unknown", safetensors({"a": said(ESCAPE)}), "DTYPE"
    yield "type a list", safetensors({"a": said(["U8"])}), "DTYPE"
    yield "product overflows", safetensors({"a": said(shape=[2**32, 2**32, 4])}), "SHAPE"
    yield "empty product overflows", safetensors({"a": said(shape=[2**52, 2**52, 0], offsets=(0, 0))}, b""), "SHAPE"
    yield "rank 10^5", safetensors({"a": said(shape=[1] * 10**5)}), "SHAPE"
    yield "name of a megabyte", safetensors({"a" * 10**6: said()}), "PATH"
    yield "name of dots", safetensors({"a." * 10**5 + "a": said(), "a": said(offsets=(4, 8))}, bytes(8)), "PATH"
    yield "name with orders for a terminal", safetensors({ESCAPE: said()}), "PATH"
    yield "name of two lines", safetensors({"a\nb": said()}), "PATH"
    yield "name with a surrogate", safetensors({"\ud800": said()}), "PATH"
    yield "metadata of a list", safetensors({"__metadata__": [ESCAPE], "a": said()}), "MALFORMED"
    yield "5 million lists", safetensors(b'{"a":[' + b"[]," * 5 * 10**6 + b"[]]}"), "LIMIT"
    yield "sound, metadata with orders", safetensors({"__metadata__": {ESCAPE: f"\r\n{ESCAPE}"}, "a": said()}), "read"
    yield "sound, metadata with a surrogate", safetensors({"__metadata__": {"a": "\ud800"}, "a": said()}), "read"
    yield "sound, name from right to left", safetensors({"a\u202eb": said()}), "read"
    yield (
        "sound, metadata like an endless tie",
        safetensors({"__metadata__": {"a." * 10**5 + "a": "a"}, "a": said()}),
        "read",
    )


def npy(descr: str = "'|u1'", order: str = "False", shape: str = "(4,)", data: bytes = bytes(4)) -> bytes:
    """A .npy whose header is of these literals."""
    head = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + data


def npz(*held: Member, **lies: Any) -> bytes:
    """An archive of these members."""
    return packed(list(held), **lies)


A, B = Member(b"a.npy", npy()), Member(b"b.npy", npy())
SQUEEZED = Member(b"a.npy", npy(shape="(1000,)", data=bytes(1000)), deflated=True)


def of_npz() -> Iterator[Row]:
    yield "members overlap", npz(A, replace(B, offset=0, own_name=b"b.npy", name=b"a.npy")), "DUPLICATE"
    yield "members share bytes", npz(replace(A, stored=200, nbytes=200), B), "MALFORMED"
    yield "a name twice", npz(A, replace(B, name=b"a.npy", own_name=b"a.npy")), "DUPLICATE"
    yield "another name in the directory", npz(replace(A, own_name=b"c.npy")), "MALFORMED"
    yield "encrypted", npz(replace(A, flags=1)), "FORMAT"
    yield "method 99", npz(replace(A, method=99)), "CODEC"
    yield "deflated to nothing", npz(replace(SQUEEZED, nbytes=2**31)), "MALFORMED"
    yield "deflated, less than said", npz(replace(SQUEEZED, nbytes=5000)), "EXTENT"
    yield "deflated, checksum", npz(replace(SQUEEZED, crc=1)), "CHECKSUM"
    yield "deflated, no deflate", npz(replace(A, method=8)), "MALFORMED"
    yield "a terabyte deflated", npz(Member(b"a.npy", npy(shape=f"({2**40},)"), True)), "EXTENT"
    yield "wide sizes", npz(replace(A, nbytes=0xFFFFFFFF, stored=0xFFFFFFFF, extra=wide(a=2**63, b=2**63))), "TRUNCATED"
    yield "wide offset", npz(replace(A, offset=0xFFFFFFFF, extra=wide(a=2**64 - 1))), "TRUNCATED"
    yield (
        "wide without numbers",
        npz(replace(A, nbytes=0xFFFFFFFF, stored=0xFFFFFFFF, extra=b"\1\0\xff\xff")),
        "TRUNCATED",
    )
    yield "65535 members", npz(A, count=0xFFFF), "MALFORMED"
    yield "directory too long", npz(A, size=0xFFFF), "MALFORMED"
    yield "directory behind the end", npz(A, at=0xFFFFFFF0), "MALFORMED"
    yield "an end record in the comment", npz(A, comment=END.pack(b"PK\5\6", 0, 0, 0, 0, 0, 0, 0) + b"x"), "MALFORMED"
    yield "name no UTF-8", npz(replace(A, name=b"\xff.npy", own_name=b"\xff.npy", flags=0x800)), "MALFORMED"
    yield "name with orders", npz(Member(f"{ESCAPE}.npy".encode(), npy())), "PATH"
    yield "name of a line", npz(Member(b"a\n.npy", npy())), "PATH"
    yield "objects", npz(Member(b"a.npy", npy("'|O'", data=bytes(32)))), "TYPE"
    yield "objects in a structure", npz(Member(b"a.npy", npy("[('a', 'O')]", data=bytes(32)))), "TYPE"
    yield "a structure", npz(Member(b"a.npy", npy("[('a', '<f4')]", data=bytes(16)))), "DTYPE"
    yield "an expression", npz(Member(b"a.npy", npy(shape="__import__('os').system('id')"))), "MALFORMED"
    yield "an expression as type", npz(Member(b"a.npy", npy("__import__('os').system('id')"))), "MALFORMED"
    yield "parentheses", npz(Member(b"a.npy", npy(shape="(" * 9000))), "MALFORMED"
    yield "minus 9000 times", npz(Member(b"a.npy", npy(shape="-" * 9000 + "1"))), "MALFORMED"
    yield "9000 digits", npz(Member(b"a.npy", npy(shape=f"({'9' * 9000},)"))), "MALFORMED"
    yield "shape of 2^62", npz(Member(b"a.npy", npy(shape=f"({2**62},)"))), "SHAPE"
    yield "shape empty and huge", npz(Member(b"a.npy", npy(shape=f"({2**62},{2**62},0)", data=b""))), "SHAPE"
    yield "shape negative", npz(Member(b"a.npy", npy(shape="(-4,)"))), "SHAPE"
    yield "order a number", npz(Member(b"a.npy", npy(order="2"))), "MALFORMED"
    yield "header longer than it", npz(Member(b"a.npy", b"\x93NUMPY\1\0\xff\xff{")), "MALFORMED"
    yield "a member that is none", npz(A, Member(b"../../etc/passwd", b"x")), "FORMAT"
    yield (
        "sound, names that climb",
        npz(*(Member(n, npy()) for n in (b"../../up.npy", b"/etc/x.npy", b"C:\\x.npy"))),
        "read",
    )
    yield "sound, 16 MiB of zeros", npz(Member(b"a.npy", npy(shape=f"({2**24},)", data=bytes(2**24)), True)), "read"
