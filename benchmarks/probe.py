"""One operation in a process of its own: python probe.py WHAT SOURCE TARGET prints bytes of anonymous memory.

They are what it had at its highest beyond what the imports took; mapped files are the system's to give and take.
"""

import json
import sys
import threading

import commands
import numpy as np

import ptformat
import ptformat.codecs.planes
import ptformat.codecs.zstd
import ptformat.converters
import ptformat.writer
from ptformat.converters import convert, copy


def written(source: str, target: str, codec: str) -> None:
    """Every tensor of a safetensors file from a map of it, by the Writer."""
    with open(source, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    with ptformat.Writer(target, codec=codec, durable=False) as out:
        for name, facts in header.items():
            at = 8 + length + facts["data_offsets"][0]
            out.tensor(name, np.memmap(source, np.float32, "r", at, tuple(facts["shape"])))


OPERATIONS = {
    "convert": lambda source, target: convert(source, target, to="linen", strict=True, durable=False),
    "pack": lambda source, target: copy(source, target, codec="auto", durable=False),
    "unpack": lambda source, target: copy(source, target, durable=False),
    "Writer": lambda source, target: written(source, target, "raw"),
    "Writer, planes": lambda source, target: written(source, target, "planes"),
}


def main() -> None:
    what, source, target = sys.argv[1:]
    peak, done = 0, threading.Event()

    def sample() -> None:
        nonlocal peak
        while True:
            peak = max(peak, commands.memory()["RssAnon"])
            if done.wait(0.002):
                return

    sys.setswitchinterval(0.0005)  # so that the sampler is let in between
    before = commands.memory()["RssAnon"]
    thread = threading.Thread(target=sample, daemon=True)  # an error must not wait for it
    thread.start()
    OPERATIONS[what](source, target)
    done.set()
    thread.join()
    print(peak - before)


if __name__ == "__main__":
    main()
