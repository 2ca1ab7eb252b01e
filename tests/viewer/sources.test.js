import assert from "node:assert/strict";
import test from "node:test";
import { runInNewContext } from "node:vm";
import { allocate } from "../../ptformat/viewer/allocate.js";
import { CapacityError, open, SourceError } from "../../ptformat/viewer/ptformat.js";
import { alias, assemble, build, bytesOf, frame, pack, parts, tensor, value } from "./build.js";

const data = Uint8Array.from({ length: 100 }, (_, i) => i);
const bytes = build([tensor("a", "uint8", [100], { data }), tensor("b", "uint8", [10])], { chunk: 64 });
const foreign = (expression) => runInNewContext(expression, { bytes });

/** A source over bytes that counts, and may fail. */
const sourceOver = (held, { reads = [], read } = {}) => ({
  size: held.length,
  async read(offset, length) {
    reads.push([offset, length]);
    return (read ?? ((from, to) => held.slice(from, to)))(offset, offset + length);
  },
});

test("bytes of every kind and realm", async () => {
  const kinds = {
    Uint8Array: bytes, ArrayBuffer: bytes.slice().buffer, Buffer: Buffer.from(bytes), Blob: new Blob([bytes]),
    File: new File([bytes], "a.ptf"), DataView: new DataView(bytes.slice().buffer),
    clamped: Uint8ClampedArray.from(bytes), shifted: bytesOf(0, bytes).subarray(1),
    "Uint8Array of another realm": foreign("new Uint8Array(bytes)"),
    "ArrayBuffer of another realm": foreign("new Uint8Array(bytes).buffer"),
    "source that gives buffers": sourceOver(bytes, { read: (from, to) => bytes.slice(from, to).buffer }),
    "source of another realm's arrays": sourceOver(bytes, {
      read: (from, to) => foreign(`new Uint8Array(bytes).slice(${from}, ${to})`) }),
  };
  for (const [name, what] of Object.entries(kinds)) {
    assert.deepEqual((await (await open(what)).tensor("a")).bytes, data, name);
  }
});

test("what is no source", async () => {
  for (const [what, message] of [
    ["model.ptf", /not from String/], [undefined, /not from Undefined/], [null, /not from Null/],
    [7, /not from Number/], [[1, 2], /not from Array/], [{}, /not from Object/], [{ size: 128 }, /not from Object/],
    [{ size: "128", read() {} }, /the size of a source is a number of bytes, not 128/],
    [{ size: 128n, read() {} }, /the size/], [{ size: NaN, read() {} }, /not NaN/], [{ read() {} }, /not undefined/],
    [{ size: -1, read() {} }, /not -1/], [{ size: 1.5, read() {} }, /not 1.5/],
    [{ size: 200, read() {} }, /the source gave Undefined for 64 bytes at 0/],
    [{ size: 200, read: () => "x".repeat(64) }, /the source gave String for 64 bytes at 0/],
  ]) await assert.rejects(open(what), { name: "TypeError", message });
});

test("a source that fails, or gives other bytes than it announced", async () => {
  const cause = new Error("the disk is gone");
  await assert.rejects(open({ size: 200, read: () => Promise.reject(cause) }), (error) => {
    assert.ok(error instanceof SourceError);
    assert.equal(error.message, "cannot read 64 bytes at 0: the disk is gone");
    assert.equal(error.cause, cause);
    return true;
  });
  let length = bytes.length;
  const file = await open(sourceOver(bytes, { read: (from, to) => bytes.slice(from, Math.min(to, length)) }));
  length = 70;
  const fails = { name: "SourceError", message: "the source gave 6 bytes at 64 instead of 100" };
  await assert.rejects(file.tensor("a"), fails);
  await assert.rejects(file.verify(), { name: "SourceError" });
  await assert.rejects(open({ size: 200, read: (_, wanted) => new Uint8Array(wanted + 1) }), {
    name: "SourceError", message: "the source gave 65 bytes at 0 instead of 64" });
});

test("a tensor of many chunks is read in pieces of 1 MiB, and no byte behind it", async () => {
  const size = 2 ** 21 + 100, zeros = new Uint8Array(size);
  const chunks = Array.from({ length: size / 65536 }, () => [0, zeros.subarray(0, 65536)]);
  chunks.push([0, zeros.subarray(0, 100)]);
  const held = build([tensor("t", "uint8", [size], { chunks }), tensor("u", "uint8", [3])], { chunk: 65536 });
  const reads = [], file = await open(sourceOver(held, { reads }));
  const byChunks = async () => { for await (const { bytes: piece } of file.chunks("t")) assert.ok(piece.length > 0); };
  for (const all of [() => file.tensor("t"), byChunks]) {
    reads.length = 0;
    await all();
    assert.deepEqual(reads, [[4096, 2 ** 20], [4096 + 2 ** 20, 2 ** 20], [4096 + 2 ** 21, 100]]);
  }
  reads.length = 0;
  await file.tensor("u");
  assert.deepEqual(reads, [[4096 + size + 28, 3]]);
});

test("a chunk is read only when it is asked for", async () => {
  const reads = [], zeros = new Uint8Array(2 ** 20);
  const held = build([tensor("t", "uint8", [3 * 2 ** 20], { chunks: Array(3).fill([0, zeros]) })], { chunk: 2 ** 20 });
  const chunks = (await open(sourceOver(held, { reads }))).chunks("t");
  reads.length = 0;
  assert.equal((await chunks.next()).value.start, 0);
  assert.deepEqual(reads, [[4096, 2 ** 20]]);
  assert.equal((await chunks.next()).value.start, 2 ** 20);
  assert.deepEqual(reads, [[4096, 2 ** 20], [4096 + 2 ** 20, 2 ** 20]]);
  await chunks.return();
});

test("bounds that a caller sets", async () => {
  const entries = [tensor("a", "uint8", [10]), alias("b", "a"), tensor("p", "int2", [2, 4]),
    alias("q", "p", { perm: [1, 0] })];
  const held = build(entries), indexBytes = pack(parts(entries).index).length;
  for (const [maxTensorBytes, refused] of [[10, []], [9, ["a", "b"]], [8, ["a", "b"]], [7, ["a", "b", "q"]],
    [0, ["a", "b", "p", "q"]], [Infinity, []], [undefined, []]]) {
    const file = await open(held, { maxTensorBytes });
    for (const { path } of entries) {
      const name = await file.tensor(path).then(() => "ok", (error) => error.name);
      assert.equal(name, refused.includes(path) ? "CapacityError" : "ok", `${path} ${maxTensorBytes}`);
    }
  }
  await open(held, { maxIndexBytes: indexBytes });
  await assert.rejects(open(held, { maxIndexBytes: indexBytes - 1 }), {
    name: "CapacityError", message: `an index of ${indexBytes} bytes, at most ${indexBytes - 1} are read` });
  const { body, index } = parts([value("v", "x".repeat(5000))]), raw = Uint8Array.from(pack(index));
  const packed = assemble(body, frame(raw), { decoded: raw.length, flags: 1 });
  await open(packed, { maxIndexBytes: raw.length + 100 });
  await assert.rejects(open(packed, { maxIndexBytes: raw.length - 1 }), { name: "CapacityError" });
});

test("bounds that are none", async () => {
  for (const name of ["maxTensorBytes", "maxIndexBytes"]) {
    for (const wrong of [NaN, -1, 0.5, -Infinity]) {
      await assert.rejects(open(bytes, { [name]: wrong }), {
        name: "RangeError", message: `${name} is a number of bytes, not ${wrong}` });
    }
    for (const wrong of ["10 MB", "10", null, 10n, true]) {
      await assert.rejects(open(bytes, { [name]: wrong }), { name: "TypeError", message: new RegExp(`^${name} is`) });
    }
  }
  await assert.rejects(open(bytes, { maxTensorByte: 10 }), {
    name: "TypeError", message: 'no option "maxTensorByte"' });
  for (const wrong of [null, 5]) await assert.rejects(open(bytes, wrong), { name: "TypeError" });
});

test("the stored bytes of the index are bounded before they are read", async () => {
  const most = 2n ** 28n, small = parts([value("a", 1)]), head = small.body;
  for (const [stored, decoded, flags, wanted] of [
    [most + 1n, 100n, 1, "LIMIT"], [most + 1n, 100n, 0, "LIMIT"], [most + 1n, most + 1n, 0, "LIMIT"],
    [2n ** 40n, 100n, 1, "LIMIT"], [most, most + 1n, 1, "LIMIT"], [most, most - 1n, 0, "EXTENT"],
  ]) {
    const end = assemble(head, new Uint8Array(0), { flags, change(view) {
      for (const [at, number] of [[8, stored], [16, decoded], [40, 64n + stored + 64n]]) {
        view.setBigUint64(at, number, true);
      }
    } }).subarray(-64);
    const reads = [], size = Number(stored) + 128;
    const source = { size, read(offset) {
      reads.push(offset);
      return offset === 0 ? head.subarray(0, 64) : end;
    } };
    await assert.rejects(open(source), { name: "FormatError", code: wanted }, `${stored} ${decoded}`);
    assert.deepEqual(reads, [0, size - 64]);
  }
});

test("what the engine has no room for", () => {
  const cause = (error) => error instanceof CapacityError && error.cause instanceof RangeError;
  assert.throws(() => allocate(Uint8Array, 2 ** 53), cause);
  assert.throws(() => allocate(Float32Array, 2 ** 52), cause);
  assert.deepEqual(allocate(Float32Array, 2), new Float32Array(2));
});

test("a tensor that the engine has no room for", async () => {
  const whole = globalThis.Uint8Array;
  const file = await open(build([tensor("a", "uint8", [12345])]));
  globalThis.Uint8Array = class extends whole {
    constructor(...given) {
      if (given[0] === 12345) throw new RangeError("Array buffer allocation failed");
      super(...given);
    }
  };
  try {
    await assert.rejects(file.tensor("a"), { name: "CapacityError", message: "no room for 12345 bytes" });
  } finally {
    globalThis.Uint8Array = whole;
  }
  assert.deepEqual((await file.tensor("a")).bytes, new Uint8Array(12345));
});
