import assert from "node:assert/strict";
import test from "node:test";
import { DTYPES } from "../../ptformat/viewer/dtypes.js";
import { CapacityError, elements, encode, open } from "../../ptformat/viewer/ptformat.js";
import { permute } from "../../ptformat/viewer/permute.js";
import { hex, Sha256 } from "../../ptformat/viewer/sha256.js";
import { alias, build, bytesOf, Float, frame, node, tensor, value } from "./build.js";

const numbers = (length, change = 1) => Uint8Array.from({ length }, (_, i) => Math.imul(i, 40503) >> 7 & change * 255);
const encoded = async (file) => {
  const pieces = [];
  await encode(file, (piece) => pieces.push(piece.slice()));
  return bytesOf(...pieces);
};

/** The same content with other chunk sizes and codecs. */
function variants() {
  const data = bytesOf(new Uint8Array(640).fill(3), numbers(100));
  const raw = (chunk) => build([tensor("a", "uint8", [74, 10], { data })], { chunk });
  const packed = build([tensor("a", "uint8", [74, 10], { chunks: [
    [1, frame(data.subarray(0, 320))], [0, data.subarray(320, 640)], [0, data.subarray(640)]] })], { chunk: 320 });
  return { data, files: [raw(64), raw(128), raw(4194304), packed] };
}

test("the digest does not depend on chunks and codecs", async () => {
  const { data, files } = variants(), digests = new Set();
  for (const bytes of files) {
    const file = await open(bytes);
    await file.verify();
    digests.add(await file.digest());
    assert.deepEqual((await file.tensor("a")).bytes, data);
  }
  assert.equal(digests.size, 1);
});

test("written anew, a file is raw, and the same for the same chunk size", async () => {
  const { data, files } = variants();
  const raw = build([tensor("a", "uint8", [74, 10], { data })], { chunk: 320 });
  assert.deepEqual(await encoded(await open(files[3])), raw);
  for (const bytes of files.slice(0, 3)) assert.deepEqual(await encoded(await open(bytes)), bytes);
});

test("unknown keys are dropped, and change no digest", async () => {
  const entries = [tensor("a", "uint8", [4]), value("b", new Float(1))];
  const plain = await open(build(entries)), more = await open(build(entries, { zzz: [1, 2], b: null }));
  assert.deepEqual(await encoded(more), build(entries));
  assert.equal(await more.digest(), await plain.digest());
  assert.notEqual(await plain.digest(), await (await open(build([entries[0], value("b", 1)]))).digest());
});

test("large raw tensors lie on pages", async () => {
  const entries = [tensor("a", "uint8", [1]), tensor("b", "float32", [262144]), tensor("c", "uint8", [1048576],
    { chunks: [[1, frame(new Uint8Array(1048576))]] })];
  const file = await open(build(entries));
  await file.verify();
  assert.deepEqual(file.entries.map(({ offset }) => offset), [64, 4096, 4096 + 1048576]);
  const again = await open(await encoded(file));
  assert.deepEqual(again.entries.map(({ offset }) => offset), [64, 4096, 4096 + 1048576]);
  assert.equal(await again.digest(), await file.digest());
});

const codeOf = (promise) => promise.then(() => "ok", (error) => error.code ?? String(error));

test("what is met when a file is read, and when it is verified", async () => {
  const gap = build([tensor("a", "uint8", [3]), tensor("b", "bool", [3]), tensor("c", "int2", [3])]);
  const faults = { gap: [70, 1, "NONZERO"], chunk: [65, 1, "CHECKSUM"] };
  for (const [at, byte, code] of Object.values(faults)) {
    const bytes = gap.slice();
    bytes[at] ^= byte;
    const file = await open(bytes);
    assert.equal(await codeOf(file.verify()), code);
    assert.equal(await codeOf(file.tensor("a")), code === "NONZERO" ? "ok" : code);
    assert.equal(await codeOf(file.tensor("b")), "ok");
  }
  for (const [dtype, shape, byte, code] of [
    ["bool", [1], 2, "DATA"], ["bool", [1], 1, "ok"], ["int2", [1], 4, "DATA"], ["int2", [1], 3, "ok"],
    ["int4", [1], 16, "DATA"], ["int4", [2], 255, "ok"], ["float4_e2m1fn", [3], 255, "DATA"],
    ["uint2", [3], 64, "DATA"], ["uint2", [4], 255, "ok"], ["uint8", [1], 255, "ok"],
  ]) {
    const data = new Uint8Array(dtype.includes("4_") ? 2 : 1).fill(byte);
    const file = await open(build([tensor("a", dtype, shape, { data })]));
    assert.equal(await codeOf(file.verify()), code, `${dtype} ${shape} ${byte}`);
    assert.equal(await codeOf(file.tensor("a")), "ok");
    assert.equal(await codeOf(encoded(file)), code);
  }
});

test("verifying goes tensor by tensor, and chunk by chunk", async () => {
  const good = new Uint8Array(64), bad = new Uint8Array(64).fill(9);
  const wrong = frame(good);
  wrong[4] |= 4;
  const chunked = (...chunks) => tensor(`t${chunks.length}${chunks[0][0]}`, "bool", [64 * chunks.length], { chunks });
  const first = async (...entries) => codeOf((await open(build(entries, { chunk: 64 }))).verify());
  assert.equal(await first(chunked([0, bad], [1, wrong])), "DATA");
  assert.equal(await first(chunked([1, wrong], [0, bad])), "CODEC");
  assert.equal(await first(chunked([0, good], [1, frame(good)])), "ok");
  const bytes = build([chunked([0, bad]), chunked([0, good], [0, good])], { chunk: 64 });
  bytes[64 + 64] ^= 1;
  assert.equal(await codeOf((await open(bytes)).verify()), "DATA");
});

test("aliases", async () => {
  const data = Uint8Array.of(1, 2, 3, 4, 5, 6);
  const file = await open(build([
    tensor("a", "uint8", [1, 2, 3], { data, axes: ["x", "y", "z"] }), alias("b", "a"),
    alias("c", "a", { perm: [2, 0, 1] }),
    tensor("p", "int4", [3, 2], { data: Uint8Array.of(0x21, 0x43, 0x65) }), alias("q", "p", { perm: [1, 0] }),
    tensor("e", "float64", [0, 3]), alias("f", "e", { perm: [1, 0] }),
  ]));
  assert.deepEqual((await file.tensor("b")).bytes, data);
  const turned = await file.tensor("c");
  assert.deepEqual([...turned.bytes], [1, 4, 2, 5, 3, 6]);
  assert.deepEqual([turned.shape, file.info("c").axes], [[3, 1, 2], ["z", "x", "y"]]);
  assert.deepEqual([...(await file.tensor("q")).bytes], [0x31, 0x25, 0x64]);
  assert.deepEqual((await file.tensor("f")).shape, [3, 0]);
  await assert.rejects(file.tensor("none"), RangeError);
});

test("permutations, compared with their definition", () => {
  const shape = [2, 3, 4, 5], perm = [2, 0, 3, 1], bytes = numbers(240);
  const out = permute(bytes, 16, shape, perm);
  const at = (x, dims) => dims.reduce((sum, dim, i) => sum * dim + x[i], 0);
  const turned = perm.map((axis) => shape[axis]);
  for (let n = 0; n < 120; n += 1) {
    const x = turned.map((dim, i) => Math.floor(n / turned.slice(i + 1).reduce((a, b) => a * b, 1)) % dim);
    const from = at(shape.map((_, axis) => x[perm.indexOf(axis)]), shape);
    assert.deepEqual(out.subarray(2 * n, 2 * n + 2), bytes.subarray(2 * from, 2 * from + 2));
  }
});

test("elements of all types", async () => {
  for (const { name, bits } of DTYPES) {
    const data = new Uint8Array(Math.ceil((3 * bits) / 8));
    const file = await open(build([tensor("a", name, [3], { data })]));
    const read = elements(await file.tensor("a"));
    const zero = name === "bool" ? false : name.endsWith("int64") ? 0n : name.startsWith("complex") ? [0, 0]
      : name === "float8_e8m0fnu" ? 2 ** -127 : 0;
    assert.deepEqual(read, [zero, zero, zero], name);
  }
  const of = (dtype, ...bytes) => elements({ dtype, bytes: Uint8Array.from(bytes), count: 1 })[0];
  assert.equal(of("bfloat16", 0x80, 0x3f), 1);
  assert.equal(of("float16", 0x00, 0xc0), -2);
  assert.equal(of("float16", 0x01, 0x00), 2 ** -24);
  assert.equal(of("int64", 255, 255, 255, 255, 255, 255, 255, 255), -1n);
  assert.equal(of("uint64", 255, 255, 255, 255, 255, 255, 255, 255), 2n ** 64n - 1n);
  assert.ok(Object.is(of("float8_e5m2", 0x80), -0));
  for (const name of ["float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e4m3b11fnuz"]) assert.equal(of(name, 0x80), NaN);
});

test("a tensor is made only if it is asked for, and is not too large", async () => {
  const big = tensor("a", "uint8", [2 ** 40], { chunks: [] });
  await assert.rejects(open(build([big])), { code: "CHUNK" });
  const file = await open(build([tensor("a", "uint8", [3])]), { maxTensorBytes: 2 });
  await assert.rejects(file.tensor("a"), CapacityError);
  await file.verify();
});

test("opening reads the preamble, the trailer and the index, and a tensor its own chunks", async () => {
  const bytes = build([tensor("a", "uint8", [100], { data: numbers(100) }), tensor("b", "uint8", [10])], { chunk: 64 });
  const reads = [];
  const source = { size: bytes.length, async read(offset, length) {
    reads.push([offset, length]);
    return bytes.slice(offset, offset + length);
  } };
  const file = await open(source);
  assert.equal(reads.length, 3);
  reads.length = 0;
  await file.tensor("a");
  assert.deepEqual(reads, [[64, 100]]);
  const blob = await open(new Blob([bytes]));
  assert.deepEqual((await blob.tensor("a")).bytes, numbers(100));
});

test("texts that JavaScript might treat in a special way", async () => {
  const names = ["__proto__", "constructor", "toString", "\ufeffbom", "\uffff", "\u{10000}", "é", "e\u0301"];
  const file = await open(build(names.map((path, i) => value(path, i)), { metadata: new Map([["__proto__", 1]]) }));
  assert.deepEqual(file.entries.map(({ path }) => path), names);
  names.forEach((path, i) => assert.equal(file.info(path).value, BigInt(i)));
  assert.equal(file.metadata.get("__proto__"), 1n);
  const replaced = await open(build([value("\ufffd")]));
  assert.ok(replaced.info("\ufffd") !== undefined && replaced.info("\ud800") === undefined);
  assert.deepEqual(file.tree.children.map(([key]) => key), names);
  const attrs = await open(build([node("", "map", { attrs: new Map([["__proto__", new Float(-0)]]) })]));
  assert.ok(Object.is(attrs.info("").attrs.get("__proto__"), -0));
});

test("SHA-256", () => {
  const sum = (text) => hex(new Sha256().update(new TextEncoder().encode(text)).digest());
  assert.equal(sum(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  assert.equal(sum("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert.equal(sum("a".repeat(1000000)), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  const pieces = new Sha256();
  for (let i = 0; i < 1000; i += 1) pieces.update(new Uint8Array(i % 8).fill(97));
  assert.equal(hex(pieces.digest()), sum("a".repeat(3500)));
});
