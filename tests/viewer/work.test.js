import assert from "node:assert/strict";
import test from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Cursor } from "../../ptformat/viewer/msgpack.js";
import { mergeAxes, permute } from "../../ptformat/viewer/permute.js";
import { open } from "../../ptformat/viewer/ptformat.js";
import { decodeFrame } from "../../ptformat/viewer/zstd.js";
import { alias, build, frame, node, tensor, value } from "./build.js";

/** What work takes, in calls and objects. */

/** @returns {Promise<number>} calls of a method while `work` is done */
async function callsOf(prototype, name, work) {
  const own = prototype[name];
  let calls = 0;
  prototype[name] = function counted(...given) {
    calls += 1;
    return own.apply(this, given);
  };
  try {
    await work();
  } finally {
    prototype[name] = own;
  }
  return calls;
}

test("a flat key of many segments is decoded once", async () => {
  const deep = "a.".repeat(120), leaves = 50;
  const paths = Array.from({ length: leaves }, (_, i) => `x.${deep}${i}`);
  const file = await open(build([node("x", "flat"), ...paths.map((path) => value(path))]));
  let tree;
  const calls = await callsOf(TextDecoder.prototype, "decode", () => { tree = file.tree; });
  assert.ok(calls <= leaves + 5, `${calls}`);
  assert.deepEqual(tree.get("x").children.map(([key]) => key), paths.map((path) => path.slice(2)));
});

test("flat keys with escapes", async () => {
  const paths = ["a", "a\\.b", "c\\\\.d", "\\\\e.f", "\\e", "g.\\.h", "i\\."];
  const keys = ["a", "a.b", "c\\.d", "\\e.f", "", "g..h", "i."];
  for (const at of ["", "x\\\\y"]) {
    const below = (path) => (at === "" ? path : `${at}.${path}`);
    const { tree } = await open(build([node(at, "flat"), ...paths.map((path) => value(below(path)))]));
    const flat = at === "" ? tree : tree.get("x\\y");
    assert.deepEqual(flat.children.map(([key, leaf]) => [key, leaf.path]),
      paths.map((path, i) => [keys[i], below(path)]));
    for (const [i, key] of keys.entries()) assert.equal(flat.get(key).path, below(paths[i]));
  }
});

const AXES = Array.from({ length: 32 }, (_, i) => `axis ${i}`);
const REVERSED = Array.from({ length: 32 }, (_, i) => 31 - i);

function aliasesOfOne(count) {
  const shape = Array.from({ length: 32 }, (_, i) => (i < 2 ? i + 2 : 1));
  const aliases = Array.from({ length: count }, (_, i) => alias(`x${i}`, "t", { perm: REVERSED }));
  return build([tensor("t", "uint8", shape, { axes: AXES }), ...aliases]);
}

test("a permutation that many aliases share is read once", async () => {
  const calls = [];
  for (const count of [10, 1010]) {
    const bytes = aliasesOfOne(count);
    calls.push(await callsOf(Cursor.prototype, "integer", () => open(bytes)));
  }
  assert.equal(calls[1], calls[0]);
});

test("aliases share what is the same for them, and nobody can change it", async () => {
  const file = await open(aliasesOfOne(3)), [first, second, third] = ["x0", "x1", "x2"].map((path) => file.info(path));
  for (const name of ["shape", "perm", "axes"]) {
    assert.equal(first[name], second[name], name);
    assert.equal(first[name], third[name], name);
    assert.throws(() => first[name].reverse(), TypeError, name);
  }
  assert.deepEqual(first.perm, REVERSED);
  assert.deepEqual(first.axes, AXES.toReversed());
  assert.deepEqual(first.shape, [...Array(30).fill(1), 3, 2]);
  assert.equal((await file.tensor("x1")).shape, first.shape);
});

test("aliases of different tensors and permutations do not share", async () => {
  const file = await open(build([
    ...["a", "b"].map((path, i) => tensor(path, "uint8", [2 + 3 * i, 3 + 3 * i, 4 + 3 * i], { axes: ["x", "y", "z"] })),
    alias("c", "a", { perm: [2, 0, 1] }), alias("d", "b", { perm: [2, 0, 1] }), alias("e", "a", { perm: [1, 0, 2] }),
    alias("f", "b"), alias("g", "a"),
  ]));
  const entries = ["c", "d", "e", "f", "g"].map((path) => file.info(path));
  assert.deepEqual(entries.map(({ shape, axes }) => [shape, axes.join("")]), [
    [[4, 2, 3], "zxy"], [[7, 5, 6], "zxy"], [[3, 2, 4], "yxz"], [[5, 6, 7], "xyz"], [[2, 3, 4], "xyz"]]);
});

test("a wrong permutation is told of the first alias that has it", async () => {
  const tensors = [tensor("a", "uint8", [2, 3]), tensor("b", "uint8", [2, 3, 1])];
  const right = alias("right", "a", { perm: [1, 0] });
  for (const [target, perm] of [["a", [1, 1]], ["b", [1, 0]], ["b", [1, 0, 1]]]) {
    const wrong = ["first", "second"].map((path) => alias(path, target, { perm }));
    await assert.rejects(open(build([...tensors, right, ...wrong])), { code: "ALIAS", path: "first" });
  }
});

test("axes that move together are one, and those of length 1 none", () => {
  for (const [shape, perm, merged] of [
    [[2, 3], [1, 0], [[2, 3], [1, 0]]],
    [[2, 1, 3, 4], [2, 3, 0, 1], [[2, 12], [1, 0]]],
    [[2, 3, 4, 5], [3, 1, 2, 0], [[2, 12, 5], [2, 1, 0]]],
    [[2, 3, 4], [1, 0, 2], [[2, 3, 4], [1, 0, 2]]],
    [[16, 1], [1, 0], [[16], [0]]],
    [[16, ...Array(31).fill(1)], REVERSED, [[16], [0]]],
    [[1, 1], [1, 0], [[], []]],
    [[2, 3, 1, 4], [0, 2, 1, 3], [[24], [0]]],
  ]) assert.deepEqual(mergeAxes(shape, perm), { shape: merged[0], perm: merged[1] }, `${shape} ${perm}`);
});

test("permutations of every kind, compared with their definition", () => {
  const perms = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 2, 3], [2, 3, 0, 1], [0, 2, 1, 3], [3, 0, 1, 2]];
  for (const shape of [[2, 3, 4, 5], [1, 3, 4, 1], [2, 1, 1, 9], [3, 4, 2, 64]]) {
    const count = shape.reduce((product, dim) => product * dim, 1);
    for (const perm of perms) {
      for (const bits of [4, 8, 16, 64]) {
        const bytes = Uint8Array.from({ length: Math.ceil(count * (bits / 8)) }, (_, i) => Math.imul(i, 40503) >> 5);
        const element = (from, n) => (bits < 8 ? (from[n >> 1] >> (4 * (n & 1))) & 15
          : [...from.subarray(n * (bits / 8), (n + 1) * (bits / 8))]);
        const turned = perm.map((axis) => shape[axis]), out = permute(bytes, bits, shape, perm);
        assert.equal(out.length, bytes.length);
        for (let n = 0; n < count; n += 1) {
          const x = [];
          for (let i = 3, rest = n; i >= 0; i -= 1) {
            x[perm[i]] = rest % turned[i];
            rest = Math.floor(rest / turned[i]);
          }
          const from = x.reduce((sum, index, axis) => sum * shape[axis] + index, 0);
          if (String(element(out, n)) !== String(element(bytes, from))) assert.fail(`${shape} ${perm} ${bits} ${n}`);
        }
      }
    }
  }
});

test("a frame that cannot be decoded is not kept", async () => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc"), kept = [];
  for (const length of [300000, 300001]) {
    const out = new Uint8Array(length), good = frame(out);
    // The last of its blocks says that it has one byte less: its size is in the upper bits of these three.
    const last = good.length - 4, size = length % 131072 - 1;
    good.set([(size << 3 | 3) & 255, (size << 3) >> 8 & 255, (size << 3) >> 16], last);
    assert.throws(() => decodeFrame(good, out), { code: "CODEC" });
    kept.push(new WeakRef(out));
  }
  await new Promise((resolve) => { setTimeout(resolve); });
  gc();
  assert.deepEqual(kept.map((reference) => reference.deref()?.length), [undefined, undefined]);
});
