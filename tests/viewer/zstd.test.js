import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { FormatError } from "../../ptformat/viewer/errors.js";
import { xxh3 } from "../../ptformat/viewer/xxh3.js";
import { checkFrame, decodeFrame } from "../../ptformat/viewer/zstd.js";
import { bytesOf, frame, little } from "./build.js";
import { block } from "./spec.js";

const vectors = JSON.parse(readFileSync(new URL("vectors/zstd.json", import.meta.url), "utf8"));
const frames = vectors.frames.map(([length, sum, base64]) => {
  return { length, sum, bytes: new Uint8Array(Buffer.from(base64, "base64")) };
});

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const header = (descriptor, ...rest) => bytesOf(MAGIC, descriptor, ...rest);
const blockOf = (type, size, last, ...content) => bytesOf(little((size << 3) | (type << 1) | last, 3), ...content);

function decode(bytes, length) {
  const out = new Uint8Array(length);
  decodeFrame(bytes, out);
  return out;
}

function refuses(code, bytes, length, why) {
  assert.throws(() => decode(Uint8Array.from(bytes), length), { name: "FormatError", code }, why);
}

test("frames of a compressor", () => {
  for (const { length, sum, bytes } of frames) {
    assert.equal(xxh3(decode(bytes, length)).toString(16).padStart(16, "0"), sum);
  }
});

test("the example of the text", () => {
  assert.deepEqual(decode(block("zstd"), 100), new Uint8Array(100).fill(0x2a));
});

test("frames of raw and RLE blocks", () => {
  for (const length of [1, 100, 131072, 131073, 300000]) {
    const bytes = Uint8Array.from({ length }, (_, i) => i);
    assert.deepEqual(decode(frame(bytes), length), bytes);
    assert.deepEqual(decode(frame(new Uint8Array(length)), length), new Uint8Array(length));
  }
});

test("the header", () => {
  const body = blockOf(0, 2, 1, 7, 8);
  const good = [
    header(0x20, 2, body), header(0x20 | 0x10, 2, body), header(0x80, 0, little(2, 4), body),
    header(0xc0, 0, little(2, 8), body), header(0xa0, little(2, 4), body), header(0xe0, little(2, 8), body),
  ];
  for (const bytes of good) assert.deepEqual(decode(bytes, 2), Uint8Array.of(7, 8));
  const long = new Uint8Array(258).fill(3);
  assert.deepEqual(decode(header(0x60, 2, 0, blockOf(1, 258, 1, 3)), 258), long);
  refuses("CODEC", [], 2);
  refuses("CODEC", MAGIC, 2);
  refuses("CODEC", header(0x20, 2).subarray(0, 5), 2, "5 bytes");
  refuses("CODEC", header(0x20, 2), 2, "no block");
  refuses("CODEC", bytesOf(0x50, 0x2a, 0x4d, 0x18, little(4, 4), 1, 2, 3, 4), 4, "skippable");
  refuses("CODEC", header(0x00, 0, body), 2, "no content size");
  refuses("CODEC", header(0x20, 3, body), 2, "another content size");
  refuses("CODEC", header(0xe0, 2, 0, 0, 0, 0, 0, 0, 1, body), 2, "a huge content size");
  refuses("CODEC", header(0xe0, 2, 0, 0), 2, "a header that is cut off");
  for (const bit of [0x08, 0x04]) refuses("CODEC", header(0x20 | bit, 2, body, 0, 0, 0, 0), 2);
  for (const [id, size] of [[1, 1], [2, 2], [3, 4]]) {
    refuses("CODEC", header(0x20 | id, new Uint8Array(size), 2, body), 2, "a dictionary");
  }
  refuses("LIMIT", header(0x80, 0x81, little(2, 4), body), 2, "a window over 64 MiB");
  assert.deepEqual(decode(header(0x80, 0x80, little(2, 4), body), 2), Uint8Array.of(7, 8));
  refuses("LIMIT", header(0x80, 0xff, little(2, 4), body), 2, "the largest window");
  refuses("LIMIT", header(0xa0, little(40000 * 32768, 4), blockOf(0, 0, 1)).subarray(0), 40000 * 32768, "ratio");
});

test("rules come in their order", () => {
  refuses("CODEC", header(0x84, 0xff, little(3, 4), blockOf(3, 0, 1)), 2, "the content size before the window");
  refuses("CODEC", header(0x84, 0xff, little(2, 4), blockOf(3, 0, 1)), 2, "a checksum before the window");
  refuses("LIMIT", header(0x80, 0xff, little(2, 4), blockOf(3, 0, 1)), 2, "the window before the blocks");
});

test("the ratio is exact", () => {
  const bytes = (length) => {
    const out = [...header(0xa0, little(length, 4))];
    for (let rest = length; rest > 0; rest -= 131072) {
      out.push(...blockOf(1, Math.min(rest, 131072), rest <= 131072 ? 1 : 0, 5));
    }
    return Uint8Array.from(out);
  };
  const size = bytes(131072 * 3).length;
  assert.ok(size * 32768 > 131072 * 3);
  checkFrame(bytes(131072 * 3), 131072 * 3);
});

test("the blocks", () => {
  refuses("CODEC", header(0x20, 2, blockOf(0, 2, 1, 7)), 2, "a raw block that is cut off");
  refuses("CODEC", header(0x20, 2, blockOf(1, 2, 1)), 2, "an RLE block that is cut off");
  refuses("CODEC", header(0x20, 2, blockOf(0, 2, 0, 7, 8)), 2, "no last block");
  refuses("CODEC", header(0x20, 2, blockOf(0, 2, 1, 7, 8), 0), 2, "a byte after the frame");
  refuses("CODEC", header(0x20, 2, blockOf(0, 2, 1, 7, 8), MAGIC), 2, "another frame");
  refuses("CODEC", header(0x20, 2, blockOf(0, 1, 1, 7)), 2, "too little content");
  refuses("CODEC", header(0x20, 2, blockOf(0, 3, 1, 7, 8, 9)), 2, "a block larger than the window");
  refuses("CODEC", header(0x80, 0, little(2, 4), blockOf(0, 3, 1, 7, 8, 9)), 2, "too much content");
  refuses("CODEC", header(0x20, 2, blockOf(3, 0, 1)), 2, "the reserved type");
  refuses("CODEC", header(0xa0, little(131073, 4), blockOf(1, 131073, 1, 7)), 131073, "a block over 128 KiB");
  refuses("CODEC", header(0x80, 0, little(1025, 4), blockOf(1, 1025, 1, 7)), 1025, "a block over the window");
  assert.deepEqual(decode(header(0x20, 2, blockOf(0, 0, 0), blockOf(1, 0, 0, 9), blockOf(0, 2, 1, 7, 8)), 2),
    Uint8Array.of(7, 8));
});

test("compressed blocks", () => {
  const inFrame = (length, ...content) => {
    const body = bytesOf(...content);
    return header(0x80, 0, little(length, 4), blockOf(2, body.length, 1, body));
  };
  const good = (length, ...content) => decode(inFrame(length, ...content), length);
  assert.deepEqual(good(3, 3 << 3, 1, 2, 3, 0), Uint8Array.of(1, 2, 3), "raw literals");
  assert.deepEqual(good(3, (3 << 4) | 4, 0, 1, 2, 3, 0), Uint8Array.of(1, 2, 3), "a long head of raw literals");
  assert.deepEqual(good(5, (5 << 3) | 1, 9, 0), new Uint8Array(5).fill(9), "RLE literals");
  assert.deepEqual(good(3, 3 << 3, 1, 2, 3, 128, 0), Uint8Array.of(1, 2, 3), "no sequences, in two bytes");
  refuses("CODEC", inFrame(3), 3, "an empty block");
  refuses("CODEC", inFrame(3, 3 << 3, 1, 2, 3), 3, "no number of sequences");
  refuses("CODEC", inFrame(3, 3 << 3, 1, 2, 3, 0, 0), 3, "a byte after no sequences");
  refuses("CODEC", inFrame(3, 4 << 3, 1, 2, 3, 0), 3, "too few literals");
  refuses("CODEC", inFrame(3, 3 << 3, 1, 2, 3, 1, 1), 3, "reserved bits of the modes");
  refuses("CODEC", inFrame(3, 3 << 3, 1, 2, 3, 1, 0xfc, 1), 3, "tables to repeat that do not exist");
  refuses("CODEC", inFrame(3, 3, 0, 0, 0), 3, "a Huffman tree to use again that does not exist");
  // One sequence by RLE tables: literal length 3, offset code 2 (value 4 to 7), match length 3.
  assert.deepEqual(good(6, 3 << 3, 1, 2, 3, 1, 0x54, 3, 2, 0, 0b110), Uint8Array.of(1, 2, 3, 1, 2, 3));
  refuses("CODEC", inFrame(6, 3 << 3, 1, 2, 3, 1, 0x54, 3, 2, 0, 0b111), 6, "a match before the content");
  refuses("CODEC", inFrame(6, 3 << 3, 1, 2, 3, 1, 0x54, 3, 2, 0, 0b1110), 6, "a bit that is left over");
  refuses("CODEC", inFrame(6, 3 << 3, 1, 2, 3, 1, 0x54, 3, 2, 0, 0b11), 6, "a bit that is missing");
  refuses("CODEC", inFrame(6, 3 << 3, 1, 2, 3, 1, 0x54, 3, 2, 0, 0), 6, "no end mark");
  refuses("CODEC", inFrame(6, 3 << 3, 1, 2, 3, 1, 0x54, 3, 31, 0, 1, 1, 1, 1), 6, "the largest offset code");
  refuses("CODEC", inFrame(6, 3 << 3, 1, 2, 3, 1, 0x54, 3, 32, 0, 1, 1, 1, 1), 6, "an offset code beyond it");
  refuses("CODEC", inFrame(7, 3 << 3, 1, 2, 3, 1, 0x54, 4, 2, 0, 0b110), 7, "more literals than there are");
  // Without literals before it, the third short name is the last offset minus one: here 0.
  refuses("CODEC", inFrame(6, 3 << 3, 1, 2, 3, 1, 0x54, 0, 1, 0, 0b11), 6, "an offset of 0");
});

test("frames with a changed byte, and frames that are cut off", () => {
  let random = 12345;
  const next = (below) => {
    random = (Math.imul(random, 1103515245) + 12345) >>> 0;
    return (random >>> 8) % below;
  };
  for (const { length, bytes } of frames.filter((each) => each.length < 10000)) {
    const out = new Uint8Array(length);
    for (let i = 0; i < 60; i += 1) {
      const changed = bytes.slice(0, i % 4 === 0 ? next(bytes.length) : undefined);
      for (let n = next(3); n >= 0; n -= 1) changed[next(changed.length)] ^= 1 << next(8);
      try {
        decodeFrame(changed, out);
      } catch (error) {
        assert.ok(error instanceof FormatError, error.stack);
        assert.ok(["CODEC", "LIMIT"].includes(error.code));
      }
    }
  }
  for (const { length, sum, bytes } of frames.slice(0, 20)) {
    assert.equal(xxh3(decode(bytes, length)).toString(16).padStart(16, "0"), sum, "nothing is left of the faults");
  }
});
