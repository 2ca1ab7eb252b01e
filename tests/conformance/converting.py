"""An implementation that converts as it is told: `converting.py TABLE.json`, for the tests of the runner.

The table maps an operation to its answer. One that has `write` writes that text to the file asked for.
"""

import json
import pathlib
import sys

table = json.loads(pathlib.Path(sys.argv[1]).read_text())
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "stop":
        break
    answer = table[request["op"]]
    if "write" in answer:
        pathlib.Path(request["out"]).write_text(answer["write"])
    print(json.dumps(answer), flush=True)
