import assert from "node:assert/strict";
import test from "node:test";
import { DTYPES } from "../../ptformat/viewer/dtypes.js";
import { elements, MAX_ELEMENTS, open, toTypedArray } from "../../ptformat/viewer/ptformat.js";
import { build, bytesOf, little, tensor } from "./build.js";

const of = (dtype, count, ...bytes) => ({ dtype, count, bytes: Uint8Array.from(bytes) });

/** For each type two elements of it, and what they are. */
const TYPED = {
  bool: [[0, 1], Uint8Array.of(0, 1)],
  int2: [[0b0110], Int8Array.of(-2, 1)],
  int4: [[0xe1], Int8Array.of(1, -2)],
  int8: [[0x80, 5], Int8Array.of(-128, 5)],
  int16: [[0xff, 0xff, 0, 0x80], Int16Array.of(-1, -32768)],
  int32: [[...little(-7, 4), ...little(9, 4)], Int32Array.of(-7, 9)],
  int64: [[...little(-7, 8), ...little(2n ** 62n, 8)], BigInt64Array.of(-7n, 2n ** 62n)],
  uint2: [[0b0111], Uint8Array.of(3, 1)],
  uint4: [[0x9f], Uint8Array.of(15, 9)],
  uint8: [[255, 7], Uint8Array.of(255, 7)],
  uint16: [[0xff, 0xff, 1, 0], Uint16Array.of(65535, 1)],
  uint32: [[...little(2 ** 32 - 1, 4), ...little(9, 4)], Uint32Array.of(2 ** 32 - 1, 9)],
  uint64: [[...little(2n ** 64n - 1n, 8), ...little(9, 8)], BigUint64Array.of(2n ** 64n - 1n, 9n)],
  float16: [[0x01, 0x00, 0x00, 0xc0], Float32Array.of(2 ** -24, -2)],
  bfloat16: [[0x80, 0x3f, 0x80, 0xff], Float32Array.of(1, -Infinity)],
  float32: [[0, 0, 0x80, 0x3f, 0, 0, 0, 0x80], Float32Array.of(1, -0)],
  float64: [[...little(0x3ff0000000000000n, 8), ...little(0x7ff8000000000000n, 8)], Float64Array.of(1, NaN)],
  complex64: [[0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40, 0, 0, 0x80, 0x40], Float32Array.of(1, 2, 3, 4)],
  complex128: [[...[0x3ff0n, 0x4000n, 0x4008n, 0x4010n].flatMap((high) => [...little(high << 48n, 8)])],
    Float64Array.of(1, 2, 3, 4)],
  float8_e4m3fn: [[0x7e, 0xff], Float32Array.of(448, NaN)],
  float8_e5m2: [[0x7b, 0xfc], Float32Array.of(57344, -Infinity)],
  float8_e4m3fnuz: [[0x7f, 0x80], Float32Array.of(240, NaN)],
  float8_e5m2fnuz: [[0x7f, 0x80], Float32Array.of(57344, NaN)],
  float8_e4m3b11fnuz: [[0x7f, 0x80], Float32Array.of(30, NaN)],
  float8_e8m0fnu: [[0, 0xfe], Float32Array.of(2 ** -127, 2 ** 127)],
  float8_e3m4: [[0x6f, 0x80], Float32Array.of(15.5, -0)],
  float8_e4m3: [[0x77, 0xf8], Float32Array.of(240, -Infinity)],
  float4_e2m1fn: [[0x97], Float32Array.of(6, -0.5)],
};

test("elements of all types as typed arrays", () => {
  assert.deepEqual(Object.keys(TYPED), DTYPES.map(({ name }) => name));
  for (const [name, [bytes, wanted]] of Object.entries(TYPED)) {
    const all = of(name, 2, ...bytes), second = toTypedArray(all, 1), width = wanted.length / 2;
    assert.deepEqual(toTypedArray(all), wanted, name);
    assert.deepEqual(second, wanted.slice(width), name);
    assert.deepEqual(toTypedArray(all, 0, 0), new wanted.constructor(0), name);
    assert.equal(second.byteLength, second.buffer.byteLength, name);
  }
});

test("they are the numbers that elements() gives", () => {
  for (const { name, bits } of DTYPES.filter((dtype) => dtype.bits <= 16 && dtype.name !== "bool")) {
    const count = 2 ** bits, perByte = 8 / bits;
    const bytes = bits === 16 ? new Uint8Array(Uint16Array.from({ length: count }, (_, i) => i).buffer)
      : Uint8Array.from({ length: Math.ceil(count / perByte) }, (_, i) => {
        let byte = 0;
        for (let j = 0; j < perByte; j += 1) byte |= (i * perByte + j) << (bits * j);
        return byte;
      });
    assert.deepEqual([...toTypedArray({ dtype: name, count, bytes })], elements({ dtype: name, count, bytes }), name);
  }
});

test("an array of its own, even of a type that JavaScript has", async () => {
  const read = await (await open(build([tensor("a", "float32", [2])]))).tensor("a");
  toTypedArray(read)[0] = 5;
  assert.deepEqual([...read.bytes], [0, 0, 0, 0, 0, 0, 0, 0]);
});

test("bytes that stand where no view may begin", () => {
  const shifted = Uint8Array.of(9, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40).subarray(1);
  assert.deepEqual(elements({ dtype: "float32", bytes: shifted, count: 2 }), [1, 2]);
  assert.deepEqual(toTypedArray({ dtype: "float32", bytes: Buffer.from(shifted), count: 2 }), Float32Array.of(1, 2));
});

test("a range that is none", () => {
  const three = of("uint8", 3, 1, 2, 3);
  assert.deepEqual(elements(three, 1, 3), [2, 3]);
  assert.deepEqual(elements(three, 3), []);
  for (const [start, end] of [[-1, 2], [0.5, 2], [0, 2.5], [2, 1], [0, 4], [4], ["0", 2], [NaN, 2], [0, Infinity]]) {
    const message = `elements from ${start} to ${end ?? 3} of 3`;
    assert.throws(() => elements(three, start, end), { name: "RangeError", message });
    assert.throws(() => toTypedArray(three, start, end), { name: "RangeError", message });
  }
});

test("more elements than an array may have are refused before one is made", () => {
  const many = { dtype: "uint8", bytes: new Uint8Array(MAX_ELEMENTS + 1), count: MAX_ELEMENTS + 1 };
  assert.equal(MAX_ELEMENTS, 2 ** 24);
  assert.throws(() => elements(many), { name: "RangeError", message: /16777217 elements .* take a range of at most/ });
  assert.equal(toTypedArray(many).length, MAX_ELEMENTS + 1);
});

test("the chunks of a tensor, one by one", async () => {
  const data = bytesOf(...Array.from({ length: 40 }, (_, i) => little(i, 4)));
  const file = await open(build([tensor("a", "int32", [40], { data }), tensor("p", "int4", [129])], { chunk: 64 }));
  const found = [], held = [];
  for await (const chunk of file.chunks("a")) {
    found.push([chunk.dtype, chunk.start, chunk.count]);
    held.push(chunk.bytes);
    assert.deepEqual([...toTypedArray(chunk)], Array.from({ length: chunk.count }, (_, i) => chunk.start + i));
  }
  assert.deepEqual(found, [["int32", 0, 16], ["int32", 16, 16], ["int32", 32, 8]]);
  assert.deepEqual(bytesOf(...held), data);
  const packed = [];
  for await (const { start, count, bytes } of file.chunks("p")) packed.push([start, count, bytes.length]);
  assert.deepEqual(packed, [[0, 128, 64], [128, 1, 1]]);
});
