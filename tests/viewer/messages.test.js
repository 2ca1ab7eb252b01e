import assert from "node:assert/strict";
import test from "node:test";
import { FormatError, open } from "../../ptformat/viewer/ptformat.js";
import { build, frame, node, tensor, value } from "./build.js";

const errorOf = (bytes) => open(bytes).then(() => assert.fail("it was opened"), (error) => error);

/** Controls, marks of the direction of writing, line separators, and characters without a width. */
const HARMFUL = ["\u007f", "\u009b", "\u061c", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u202e", "\u2066",
  "\u2069", "\ufeff"];

test("a path in a message is escaped", async () => {
  const path = `a${HARMFUL.filter((character) => character !== "\u007f").join("")}"é漢`;
  const { code, message, path: told } = await errorOf(build([node(path, "map"), value(`${path}.x`, 1)]));
  assert.equal(code, "NONCANONICAL");
  assert.ok(message.includes(
    String.raw`(at "a\u009b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\"é漢")`), message);
  assert.equal(told, path);
});

test("the name of a feature is escaped", async () => {
  const { code, message } = await errorOf(build([value("a", 1)], { requires: [`p${HARMFUL.join("")}`] }));
  assert.equal(code, "FEATURE");
  assert.ok(message.endsWith(
    String.raw`"p\u007f\u009b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff"`), message);
});

test("a character of two units is escaped as both", () => {
  assert.equal(new FormatError("TREE", "x", "\u{e0041}").message, String.raw`TREE: x (at "\udb40\udc41")`);
});

test("a path that is longer than any path is cut, in the message and in the error", async () => {
  const error = await errorOf(build([tensor("p".repeat(100000), "int8", [1])], {
    edit: (index) => { index.dtype = Uint8Array.of(200); } }));
  assert.equal(error.code, "DTYPE");
  assert.equal(error.path, `${"p".repeat(1024)}…`);
  assert.ok(error.message.endsWith(`${"p".repeat(1024)}…")`));
});

test("a chunk that cannot be decoded is told with its tensor", async () => {
  const wrong = frame(new Uint8Array(64));
  wrong[4] |= 4;
  const file = await open(build([tensor("a.b", "uint8", [64], { chunks: [[1, wrong]] })]));
  const fails = { code: "CODEC", path: "a.b", message: /^CODEC: zstd: a frame with a checksum.* \(at "a\.b"\)$/ };
  await assert.rejects(file.tensor("a.b"), fails);
  await assert.rejects(file.verify(), fails);
  await assert.rejects(file.digest(), fails);
});
