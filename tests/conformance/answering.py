"""An implementation that answers as it is told: `answering.py TABLE.json`, for the tests of the runner.

The table maps an operation, or an id, to an answer, or to a string: `exit`, `abort`, `hang`, `noise`, `close` or
`allocate N` (MiB, then the answer `{"result": "ok"}`). An answer that has `write` first writes that text to the file
asked for, or makes it a folder where the text is empty.
"""

import json
import os
import pathlib
import sys
import time

table = json.loads(pathlib.Path(sys.argv[1]).read_text())
for line in sys.stdin:
    request = json.loads(line)
    operation = request["op"]
    if operation == "stop" and "stop" not in table:
        break
    answer = table.get(request.get("id"), table.get(operation, {"result": "skipped"}))
    if isinstance(answer, str):
        what, _, number = answer.partition(" ")
        if what == "exit":
            sys.exit("it was\nall too much")
        elif what == "abort":
            os.abort()
        elif what == "hang":
            time.sleep(1000)
        elif what == "close":
            os.close(1)
            time.sleep(1000)
        elif what == "noise":
            print("good morning", flush=True)
            continue
        elif what == "allocate":
            held = bytearray(int(number) * 2**20)
            del held
        answer = {"result": "ok"}
    if "write" in answer:
        out = pathlib.Path(request["out"])
        if answer["write"]:
            out.write_text(answer["write"])
        else:
            (out / "x").mkdir(parents=True)
    print(json.dumps({**answer, "id": request["id"]}), flush=True)
