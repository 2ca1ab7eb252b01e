"""Writes conformance/derived.json: which derived files are to be accepted, by the library's own verdict.

python tests/derived_verdicts.py

Both readers are held to it: what one of them accepts and the other does not is a fault, here or there.
"""

import json

import ptformat
from ptformat.conformance import derived


def accepted(data: bytes) -> bool:
    try:
        ptformat.verify(data)
    except ptformat.FormatError:
        return False
    return True


if __name__ == "__main__":
    text = json.dumps(derived.verdicts(accepted), indent=1)
    derived.VERDICTS.write_text(text + "\n", "utf-8")
    print(f"{derived.VERDICTS.name}: {len(text)} bytes")
