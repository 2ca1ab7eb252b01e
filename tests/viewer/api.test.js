import assert from "node:assert/strict";
import test from "node:test";
import { open, segmentsOf } from "../../ptformat/viewer/ptformat.js";
import { alias, build, Float, node, tensor, value } from "./build.js";

const small = build([tensor("", "uint8", [3])]);

test("rows that are none", async () => {
  const file = await open(build([value("a", 1), value("b", 2)]));
  assert.deepEqual([file.entry(0).path, file.entry(1).path], ["a", "b"]);
  for (const row of [-1, 2, 99, 0.5, NaN, undefined, "0"]) {
    assert.throws(() => file.entry(row), { name: "RangeError", message: `no row ${row}: the file has 2 entries` });
  }
});

test("paths that are none", async () => {
  const file = await open(small);
  assert.equal(file.info("").type, "tensor");
  for (const [path, kind] of [[undefined, "undefined"], [null, "object"], [0, "number"], [["a"], "object"]]) {
    const error = { name: "TypeError", message: `a path is a string, not ${kind}` };
    assert.throws(() => file.info(path), error);
    await assert.rejects(file.tensor(path), error);
    await assert.rejects(file.chunks(path).next(), error);
    assert.throws(() => segmentsOf(path), error);
  }
});

test("paths that are no tensor's", async () => {
  const file = await open(build([
    value("v", 1), node("n", "list"), tensor("t", "uint8", [2, 3]), alias("a", "t", { perm: [1, 0] }), alias("b", "t"),
  ]));
  for (const [path, why] of [["v", "it is a value"], ["n", "it is a node"], ["x\u202e", "there is no such entry"]]) {
    const error = { name: "RangeError", message: `no tensor "${path.replace("\u202e", "\\u202e")}": ${why}` };
    await assert.rejects(file.tensor(path), error);
    await assert.rejects(file.chunks(path).next(), error);
  }
  await assert.rejects(file.chunks("a").next(), {
    name: "RangeError", message: '"a" permutes the axes of "t": read the chunks of that one' });
  assert.deepEqual((await file.chunks("b").next()).value.bytes, new Uint8Array(6));
});

test("arrays that entries share are frozen", async () => {
  const file = await open(build([
    node("k", "keys", { keys: [1, [2, [3]]], attrs: { a: [1, [2]] } }), value("k.1", 1), value("k.2", 2),
    tensor("a", "int8", [1, 1], { axes: ["x", "y"] }), tensor("b", "int8", [1, 1], { axes: ["x", "y"] }),
  ], { metadata: { list: [1, [2]] } }));
  const { keys, attrs } = file.info("k"), { axes, shape } = file.info("a");
  const arrays = [keys, keys[1], keys[1][1], attrs.get("a"), attrs.get("a")[1], axes, shape, file.entries,
    file.tree.children, file.tree.children[0], file.metadata.get("list"), (await file.tensor("a")).shape];
  for (const array of arrays) assert.throws(() => { array[0] = "evil"; }, TypeError);
  assert.equal(axes, file.info("b").axes);
  assert.deepEqual(file.tree.get("k").children.map(([key]) => key), [1n, [2n, [3n]]]);
});

test("what is said of the whole file is decoded once", async () => {
  const more = { metadata: { a: 1 }, provenance: { b: 2 }, convention: "torch", dialect: "d" };
  const file = await open(build([value("a", 1)], more));
  assert.equal(file.metadata, file.metadata);
  assert.equal(file.provenance, file.provenance);
  assert.deepEqual([file.metadata.get("a"), file.convention, file.dialect], [1n, "torch", "d"]);
  const none = await open(build([value("a", 1)]));
  assert.deepEqual([none.metadata, none.provenance, none.convention, none.dialect], Array(4).fill(undefined));
});

test("children by key", async () => {
  const keys = [1, new Float(1), new Float(NaN), new Float(-0), "1", true, null, Uint8Array.of(1), [1], 0];
  const file = await open(build([node("", "keys", { keys }), ...keys.map((_, i) => value(`l${i}`, i))]));
  const { tree } = file, at = (key) => tree.get(key)?.path;
  assert.deepEqual([1n, 1, NaN, 0, "1", true, null, 0n].map(at), ["l0", "l1", "l2", "l3", "l4", "l5", "l6", "l9"]);
  assert.deepEqual([tree.children[7][0], tree.children[8][0]].map(at), ["l7", "l8"]);
  assert.deepEqual([2n, "l0", false, undefined, Uint8Array.of(1)].map(at), Array(5).fill(undefined));
  const list = await open(build([node("", "list"), value("0", 5), value("1.__proto__", 6)]));
  assert.equal(list.tree.get(0).path, "0");
  assert.equal(list.tree.get(1).get("__proto__").path, "1.__proto__");
  assert.equal(list.tree.get(2), undefined);
});

test("a file closes its source", async () => {
  let closed = 0;
  const read = (offset, length) => small.slice(offset, offset + length);
  const source = { size: small.length, read, close() { closed += 1; } };
  const file = await open(source);
  await file.close();
  assert.equal(closed, 1);
  await (await open(source))[Symbol.asyncDispose]();
  assert.equal(closed, 2);
  await (await open(small)).close();
});
