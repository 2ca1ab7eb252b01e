import assert from "node:assert/strict";
import test from "node:test";
import { check, decodeValue } from "../../ptformat/viewer/msgpack.js";
import { bytesOf, Float, pack } from "./build.js";

const read = (bytes) => {
  check(bytes);
  return decodeValue(bytes, 0);
};
const good = (...bytes) => read(Uint8Array.from(bytes));
const refuses = (code, ...bytes) => {
  assert.throws(() => check(Uint8Array.from(bytes)), { name: "FormatError", code }, bytes.slice(0, 20).join(" "));
};
const text = (length) => "x".repeat(length);

test("integers have one form, and are no floats", () => {
  const limits = [7n, 8n, 16n, 32n, 63n, 64n].flatMap((bits) => [1n << bits, (1n << bits) - 1n]).slice(0, -2);
  for (const limit of [...limits, (1n << 64n) - 1n, 0n, 1n]) {
    assert.equal(read(Uint8Array.from(pack(limit))), limit);
    const negative = -limit - 1n;
    if (negative >= -(1n << 63n)) assert.equal(read(Uint8Array.from(pack(negative))), negative);
  }
  assert.equal(good(0x01), 1n);
  assert.equal(good(0xe0), -32n);
  for (const bytes of [
    [0xcc, 0x7f], [0xcd, 0, 0xff], [0xce, 0, 0, 0xff, 0xff], [0xcf, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
    [0xd0, 0xe0], [0xd0, 5], [0xd1, 0xff, 0x80], [0xd1, 1, 0], [0xd2, 0xff, 0xff, 0x80, 0], [0xd2, 0, 1, 0, 0],
    [0xd3, 0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0], [0xd3, 0, 0, 0, 1, 0, 0, 0, 0],
  ]) refuses("NONCANONICAL", ...bytes);
});

test("floats", () => {
  for (const number of [0, -0, 1, 1.5, Infinity, -Infinity, 5e-324, NaN]) {
    const bytes = Uint8Array.from(pack(new Float(number)));
    assert.ok(Object.is(read(bytes), number));
  }
  refuses("NONCANONICAL", 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1);
  refuses("NONCANONICAL", 0xcb, 0xff, 0xf8, 0, 0, 0, 0, 0, 0);
  refuses("NONCANONICAL", 0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 1);
  refuses("NONCANONICAL", 0xcb, 0x7f, 0xf4, 0, 0, 0, 0, 0, 0);
  refuses("NONCANONICAL", 0xca, 0, 0, 0, 0);
  refuses("MALFORMED", 0xcb, 0, 0, 0, 0, 0, 0, 0);
});

test("lengths have one form", () => {
  for (const length of [0, 31, 32, 255, 256, 65535, 65536]) {
    assert.equal(read(Uint8Array.from(pack(text(length)))).length, length);
    assert.equal(read(Uint8Array.from(pack(new Uint8Array(length)))).length, length);
    assert.equal(read(Uint8Array.from(pack(Array(length).fill(null)))).length, length);
  }
  const keys = Array.from({ length: 65536 }, (_, i) => [String(i).padStart(5, "0"), i]);
  for (const length of [0, 15, 16, 65535, 65536]) {
    assert.equal(read(Uint8Array.from(pack(new Map(keys.slice(0, length))))).size, length);
  }
  refuses("NONCANONICAL", 0xd9, 31, ...text(31));
  refuses("NONCANONICAL", 0xda, 0, 255, ...new Uint8Array(255));
  refuses("NONCANONICAL", 0xdb, 0, 0, 255, 255, ...new Uint8Array(65535));
  refuses("NONCANONICAL", 0xc5, 0, 255, ...new Uint8Array(255));
  refuses("NONCANONICAL", 0xc6, 0, 0, 0, 1, 0);
  refuses("NONCANONICAL", 0xdc, 0, 15, ...new Uint8Array(15));
  refuses("NONCANONICAL", 0xdd, 0, 0, 0, 1, 0);
  refuses("NONCANONICAL", 0xde, 0, 0);
  refuses("NONCANONICAL", 0xdf, 0, 0, 0, 0);
});

test("the order of the checks of one head", () => {
  refuses("MALFORMED");
  refuses("MALFORMED", 0xc1);
  for (const byte of [0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8]) refuses("NONCANONICAL", byte);
  refuses("MALFORMED", 0xcd, 0);
  refuses("NONCANONICAL", 0xda, 0, 1);
  refuses("MALFORMED", 0xa2, 0x61);
  refuses("MALFORMED", 0x92, 0);
  refuses("MALFORMED", 0x82, 0xa1, 0x61, 0);
  refuses("MALFORMED", 0xdd, 255, 255, 255, 255);
  refuses("MALFORMED", 0xdf, 255, 255, 255, 255);
  refuses("MALFORMED", 0x00, 0x00);
  refuses("MALFORMED", 0x80, 0xc1);
});

test("keys", () => {
  const one = (...key) => [0x81, ...key, 0];
  for (const key of [[0x01], [0xc0], [0xc4, 0], [0x90], [0x80], [0xca, 0, 0, 0, 0], [0xd4, 0, 0]]) {
    refuses("NONCANONICAL", ...one(...key));
  }
  refuses("MALFORMED", ...one(0xc1));
  refuses("NONCANONICAL", 0x81, 0xcb, 0xff);
  refuses("DUPLICATE", 0x82, 0xa1, 0x61, 0, 0xa1, 0x61, 0);
  refuses("DUPLICATE", 0x82, 0xa0, 0, 0xa0, 0);
  refuses("NONCANONICAL", 0x82, 0xa1, 0x62, 0, 0xa1, 0x61, 0);
  refuses("NONCANONICAL", 0x82, 0xa2, 0x61, 0x61, 0, 0xa1, 0x61, 0);
  refuses("DUPLICATE", 0x82, 0xa1, 0x61, 0, 0xa1, 0x61, 0xc1);
  // U+FFFF comes before U+10000 in UTF-8, and after it in UTF-16.
  const map = read(Uint8Array.from(pack(new Map([["\uffff", 1], ["\u{10000}", 2]]))));
  assert.deepEqual([...map.keys()], ["\uffff", "\u{10000}"]);
  assert.equal(read(Uint8Array.from(pack(new Map([["__proto__", 1]])))).get("__proto__"), 1n);
});

test("texts", () => {
  const string = (...bytes) => [0xa0 + bytes.length, ...bytes];
  for (const bytes of [
    [0x80], [0xc0, 0x80], [0xc1, 0xbf], [0xc2], [0xc2, 0x41], [0xe0, 0x9f, 0xbf], [0xed, 0xa0, 0x80],
    [0xed, 0xbf, 0xbf], [0xe1, 0x80], [0xf0, 0x8f, 0xbf, 0xbf], [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80],
    [0xff], [0xe1, 0x80, 0x41],
  ]) refuses("MALFORMED", ...string(...bytes));
  for (const each of ["\0", "\u007f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\u{10000}",
    "\u{10ffff}", "\ufeffx", "a\ufeff"]) {
    assert.equal(read(Uint8Array.from(pack(each))), each);
  }
});

test("nesting and items", () => {
  const nested = (depth) => bytesOf(...Array(depth - 1).fill(0x91), 0x90);
  check(nested(32));
  assert.throws(() => check(nested(33)), { code: "LIMIT" });
  const array = (count) => bytesOf(0xdd, [24, 16, 8, 0].map((shift) => (count >> shift) & 255), new Uint8Array(count));
  const items = (count) => bytesOf(0x91, array(count));
  check(items(4194303));
  assert.throws(() => check(items(4194304)), { code: "LIMIT" });
  assert.throws(() => check(Uint8Array.of(0xdd, 0x7f, 255, 255, 255)), { code: "MALFORMED" });
});
