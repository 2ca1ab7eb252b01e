import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { alias, build, Float, node, tensor, value } from "./build.js";

const command = fileURLToPath(new URL("../../ptformat/viewer/conformance.js", import.meta.url));

/** @returns {Promise<{answers: object[], code: number}>} */
function ask(requests) {
  const child = spawn(process.execPath, [command], { stdio: ["pipe", "pipe", "inherit"] });
  const pieces = [];
  child.stdout.on("data", (piece) => pieces.push(piece));
  child.stdin.end(requests.map((request) => `${JSON.stringify(request)}\n`).join(""));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      const lines = Buffer.concat(pieces).toString("utf8").split("\n").slice(0, -1);
      resolve({ code, answers: lines.map((line) => JSON.parse(line)) });
    });
  });
}

const base64 = (bytes) => Buffer.from(bytes).toString("base64");

test("the protocol", async () => {
  const folder = await mkdtemp(join(tmpdir(), "viewer-"));
  try {
    const bytes = build([
      node("", "keys", { keys: [1, new Float(1), [null, Uint8Array.of(255)]], attrs: { a: [1, { b: "é" }] } }),
      tensor("1", "uint8", [2, 1], { data: Uint8Array.of(1, 2), axes: ["x", "y"], trainable: false }),
      alias("2", "1", { perm: [1, 0], role: "state" }), value("3", -7),
    ], { dialect: "d" });
    const damaged = build([tensor("1", "uint8", [2])]);
    damaged[64] ^= 1;
    const name = join(folder, "in.ptf"), out = join(folder, "out.ptf");
    await writeFile(name, bytes);
    const { answers, code } = await ask([
      { op: "hello", protocol: 1 }, { op: "decode", file: name, id: "x" }, { op: "verify", data: base64(bytes), id: 5 },
      { op: "encode", file: name, out }, { op: "verify", data: "" }, { op: "decode", data: base64(damaged) },
      { op: "verify", data: base64(damaged) }, { op: "dance" }, { op: "stop" }, { op: "verify", data: "" },
    ]);
    assert.equal(code, 0);
    assert.deepEqual(answers.map(({ result }) => result),
      ["ok", "ok", "ok", "ok", "reject", "reject", "reject", "skipped"]);
    assert.deepEqual(answers.slice(4, 7).map(({ code: each, phase }) => [each, phase]),
      [["MAGIC", "open"], ["CHECKSUM", "read"], ["CHECKSUM", "verify"]]);
    assert.deepEqual([answers[1].id, answers[2].id], ["x", 5]);
    assert.deepEqual(await readFile(out), Buffer.from(bytes));
    const { content } = answers[1], sum = content.entries[1].sha256;
    const keys = [{ int: "1" }, { float: "3ff0000000000000" }, [null, { bytes: "ff" }]];
    assert.deepEqual(content, {
      minor: "0", chunk: "4194304", dialect: "d", digest: content.digest,
      entries: [
        { type: "node", path: "", form: "keys", keys,
          attrs: { map: [["a", [{ int: "1" }, { map: [["b", "é"]] }]]] } },
        { type: "tensor", path: "1", dtype: "uint8", shape: ["2", "1"], sha256: sum, axes: ["x", "y"],
          trainable: false },
        { type: "alias", path: "2", target: "1", perm: ["1", "0"], shape: ["1", "2"], sha256: sum, axes: ["y", "x"],
          role: "state", trainable: false },
        { type: "value", path: "3", value: { int: "-7" } },
      ],
      tree: { keys: [[keys[0], { leaf: "1" }], [keys[1], { leaf: "2" }], [keys[2], { leaf: "3" }]] },
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});
