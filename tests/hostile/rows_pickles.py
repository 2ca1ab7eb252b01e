"""What torch.save might have written, and lies: both forms, around the same pickles."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

from hostile.archives import Member, members, packed
from hostile.pickling import laughs, number, storage, tensor, text
from hostile.seeds import seed
from hostile.smashing import ESCAPE

Row = tuple[str, bytes, str]


def torch(body: bytes, *storages: bytes, deflated: bool = False) -> bytes:
    """A zip form around a pickle of this body."""
    held = [Member(b"x/data.pkl", b"\x80\2" + body + b".", deflated)]
    return packed([*held, *(Member(f"x/data/{key}".encode(), data) for key, data in enumerate(storages))])


def under(item: bytes) -> bytes:
    """A dict with one item."""
    return b"}" + text("w") + item + b"s"


def _pickles() -> Iterator[Row]:
    """Bodies of pickles."""
    call = b"(" + text("touch owned") + b"tR"
    yield "os.system", b"cos\nsystem\n" + call, "TYPE"
    yield "builtins.eval", b"cbuiltins\neval\n" + call, "TYPE"
    yield "by the stack", text("os") + text("system") + b"\x93" + call, "TYPE"
    yield "a global with orders", f"c{ESCAPE}\n{ESCAPE}\n".encode() + call, "TYPE"
    yield "a global without end", b"c" + b"a" * 10**5, "MALFORMED"
    yield "INST", b"(ios\nsystem\n", "MALFORMED"
    yield "OBJ", b"(cos\nsystem\no", "TYPE"
    yield "NEWOBJ", b"ccollections\nOrderedDict\n)\x81", "MALFORMED"
    yield "NEWOBJ_EX", b"ccollections\nOrderedDict\n)}\x92", "MALFORMED"
    yield "EXT1", b"\x82\1", "MALFORMED"
    yield "PERSID", b"Pabc\n", "MALFORMED"
    yield "BUILD on a list", b"]}b", "MALFORMED"
    yield "BUILD with slots", b"}}}\x86b", "MALFORMED"
    yield "a persistent id of a module", b"(" + text("module") + b"NNNNtQ", "MALFORMED"
    yield (
        "a persistent id of a deep tuple",
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + b")" + b"\x85" * 9000 + b"NNtQ",
        "MALFORMED",
    )
    yield "a million laughs", laughs(b"]", b"](h\0h\0e", 60), "LIMIT"
    yield "a million laughs in tuples", laughs(b")", b"h\0h\0\x86", 60), "LIMIT"
    yield "a million laughs in dicts", laughs(b"}", b"}(K\1h\0K\2h\0u", 60), "LIMIT"
    yield "a million laughs beneath a long key", b"}" + text("k" * 900) + laughs(b"]", b"](h\0h\0e", 60) + b"s", "LIMIT"
    yield "a key of a million laughs", b"}" + laughs(b")", b"h\0h\0\x86", 60) + b"Ns", "LIMIT"
    yield "a list in itself", b"]q\0h\0a", "TYPE"
    yield "9000 lists in one another", b"]" * 9000 + b"a" * 8999, "PATH"
    yield "a memo of 2^32", b"Nr\xff\xff\xff\xffj\xff\xff\xff\xfe", "MALFORMED"
    yield "LONG4", b"\x8b\xff\xff\xff\x7f", "MALFORMED"
    yield "LONG1 of 255 bytes", b"\x8a\xff" + b"\x7f" * 255, "LIMIT"
    yield "a text of 4 GiB", b"X\xff\xff\xff\xff", "TRUNCATED"
    yield "a text of 2^64", b"\x8d" + b"\xff" * 8, "TRUNCATED"
    yield "bytes of 2^63", b"\x8e" + b"\xff" * 7 + b"\x7f", "TRUNCATED"
    yield "a text no UTF-8", b"X\1\0\0\0\xff", "MALFORMED"
    yield "a key of 100000 characters", b"}" + text("k" * 10**5) + b"Ns", "PATH"
    yield "a key with orders", b"}" + text(ESCAPE) + b"Ns", "PATH"
    yield "an integer beyond 64 bits", under(number(2**70)), "LIMIT"
    yield (
        "10^8 sizes in 60000 bytes",
        b"(" + b"K\1" * 10**4 + b"tq\0ctorch\nSize\nq\1" + b"h\1h\0\x85R0" * 10**4 + b"00N",
        "LIMIT",
    )
    yield "a text 10000 times", text("a" * 10**5) + b"q\0000](" + b"h\0" * 10**4 + b"e", "LIMIT"
    yield "1000 keys of one text", _same_labels(1000), "read"
    yield "sound, a text with a surrogate", under(text("\ud800")), "read"
    yield "sound, a text of orders", under(text(ESCAPE)), "read"


def _same_labels(count: int) -> bytes:
    """A dict whose keys are tuples that all look alike when their parts are joined by commas."""
    keys = []
    for key in range(count):
        keys.append(b"(" + b"".join(b"h\0h\0" if key >> bit & 1 else b"h\1" for bit in range(16)) + b"tN")
    return text("a") + b"q\0000" + text("a,a") + b"q\x010}(" + b"".join(keys) + b"u"


SIX = storage("0", 6)


def _tensors() -> Iterator[Row]:
    """Bodies of pickles with a tensor over six numbers."""
    yield "strides beyond the storage", under(tensor(SIX, 0, (6,), (2,))), "EXTENT"
    yield "an offset beyond the storage", under(tensor(SIX, 6, (1,), (1,))), "EXTENT"
    yield "an offset of 2^62", under(tensor(SIX, 2**62, (1,), (1,))), "MALFORMED"
    yield "negative strides", under(tensor(SIX, 5, (6,), (-1,))), "MALFORMED"
    yield "a negative offset", under(tensor(SIX, -1, (1,), (1,))), "MALFORMED"
    yield "expanded to 2^50", under(tensor(SIX, 0, (2**50,), (0,))), "LIMIT"
    yield (
        "expanded to 16 MiB twice",
        b"](" + tensor(SIX, 0, (2**22,), (0,)) + tensor(SIX, 1, (2**22,), (0,)) + b"e",
        "LIMIT",
    )
    yield "empty and huge", under(tensor(SIX, 0, (2**50, 2**50, 0), (0, 0, 0))), "SHAPE"
    yield "of rank 40", under(tensor(SIX, 0, (1,) * 40, (1,) * 40)), "SHAPE"
    yield "of more strides than sizes", under(tensor(SIX, 0, (6,), (1, 1))), "MALFORMED"
    yield "without a storage", under(tensor(b"N", 0, (6,), (1,))), "MALFORMED"
    yield "over a shape", under(tensor(b"ctorch\nSize\n)R", 0, (6,), (1,))), "MALFORMED"
    yield "as a key", b"}" + tensor(SIX, 0, (6,), (1,)) + b"Ns", "TYPE"
    yield "whose attributes are built", under(tensor(SIX, 0, (6,), (1,))) + b"}b", "read"
    yield "sound, overlapping", under(tensor(SIX, 0, (4, 3), (1, 1))), "read"


def of_torch() -> Iterator[Row]:
    for name, body, code in _pickles():
        yield name, torch(body), code
    for name, body, code in _tensors():
        yield f"a tensor {name}", torch(body, bytes(24)), code
    sound = under(tensor(SIX, 0, (6,), (1,)))
    yield "a storage too short", torch(sound, bytes(20)), "EXTENT"
    yield "a storage too long", torch(sound, bytes(28)), "EXTENT"
    yield "no storage", torch(sound), "EXTENT"
    yield "a storage of orders", torch(under(tensor(storage(f"\n{ESCAPE}", 6), 0, (6,), (1,)))), "EXTENT"
    yield "a storage of 2^50", torch(under(tensor(storage("0", 2**50), 0, (6,), (1,))), bytes(24)), "EXTENT"
    yield "a pickle of 4 million dicts, deflated", torch(b"](" + b"}0" * 2 * 10**6 + b"e", deflated=True), "LIMIT"
    held = members(seed("torch").files["x.pt"])
    yield "code of TorchScript", packed([*held, Member(b"archive/constants.pkl", b"\x80\2N.")]), "TYPE"
    yield "two pickles", packed([*held, Member(b"other/data.pkl", b"\x80\2N.")]), "MALFORMED"
    yield (
        "no byte order",
        packed([replace(m, data=ESCAPE.encode()) if m.name.endswith(b"order") else m for m in held]),
        "MALFORMED",
    )


def legacy(tree: bytes, *storages: bytes, keys: bytes | None = None) -> bytes:
    """A legacy form around a pickle of this body."""
    listed = b"](" + b"".join(text(str(key)) for key in range(len(storages))) + b"e" if keys is None else keys
    pickles = (number(0x1950A86A20F9469CFC6C), number(1001), b"}", tree, listed)
    tail = b"".join(struct.pack("<q", len(data) // 4) + data for data in storages)
    return b"".join(b"\x80\2" + body + b"." for body in pickles) + tail


def of_legacy() -> Iterator[Row]:
    for name, body, code in _pickles():
        yield name, legacy(body), code
    old = storage("0", 6, legacy=True)
    for name, body, code in _tensors():
        yield f"a tensor {name}", legacy(body.replace(SIX, old), bytes(24)), code
    sound = under(tensor(old, 0, (6,), (1,)))
    yield "a storage cut off", legacy(sound, bytes(24))[:-1], "TRUNCATED"
    yield "a storage of another size", legacy(sound, bytes(28)), "EXTENT"
    yield "bytes behind", legacy(sound, bytes(24)) + b"x", "EXTENT"
    yield "keys of no storage", legacy(sound, bytes(24), keys=b"]" + text("1") + b"a"), "MALFORMED"
    yield "keys of laughs", legacy(sound, bytes(24), keys=b"]" + laughs(b"]", b"](h\0h\0e", 60) + b"a"), "MALFORMED"
