"""An implementation that answers as it is told: `answering.py TABLE.json`, for the tests of the runner.

The table maps an operation, or `operation id`, to an answer, or to a string: `exit`, `abort`, `hang`, `noise`, `close`
or `allocate N` (MiB, then the answer `{"result": "ok"}`).
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
    answer = table.get(f"{operation} {request.get('id')}", table.get(operation, {"result": "skipped"}))
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
        with open(request["out"], "w") as file:
            file.write(answer["write"])
    print(json.dumps(answer), flush=True)
