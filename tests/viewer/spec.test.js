import assert from "node:assert/strict";
import test from "node:test";
import { DTYPES, dtypeNamed } from "../../ptformat/viewer/dtypes.js";
import { elements, viewElements } from "../../ptformat/viewer/elements.js";
import { CODES } from "../../ptformat/viewer/errors.js";
import { alignedOffset } from "../../ptformat/viewer/layout.js";
import * as limits from "../../ptformat/viewer/limits.js";
import { check, decodeValue } from "../../ptformat/viewer/msgpack.js";
import { pathOf, segmentsOf, splitKey } from "../../ptformat/viewer/paths.js";
import { decodePlanes } from "../../ptformat/viewer/planes.js";
import { Container, encode, open } from "../../ptformat/viewer/ptformat.js";
import { build, bytesOf, node, pack, tensor, value } from "./build.js";
import { block, hexdump, quoted, spec, table } from "./spec.js";

const plain = (cell) => cell.replace(/`/g, "");

/** The tree as the JSON of the text's examples. */
function json(place) {
  if (!(place instanceof Container)) return null;
  if (place.form === "list") return place.children.map(([, child]) => json(child));
  return Object.fromEntries(place.children.map(([key, child]) => [key, json(child)]));
}

test("the file of section 14", async () => {
  const bytes = hexdump();
  assert.equal(bytes.length, 621);
  const file = await open(bytes);
  await file.verify();
  assert.equal(await file.digest(), spec.match(/content digest: ([0-9a-f]{64})/)[1]);
  assert.deepEqual((await file.tensor("0.weight")).data, Float32Array.of(1, 2, 3, 4, 5, 6));
  assert.deepEqual((await file.tensor("0.bias")).data, Float32Array.of(0.5, -1));
  const turned = await file.tensor("1");
  assert.deepEqual(turned.data, Float32Array.of(1, 4, 2, 5, 3, 6));
  assert.deepEqual(turned.shape, [3, 2]);
  assert.deepEqual(elements(await file.tensor("q")), [1, -2, 3]);
  assert.deepEqual(file.entries.map(({ path }) => path), ["0", "0.weight", "0.bias", "1", "q", "step"]);
  assert.deepEqual(file.info("1"), {
    row: 3, type: "alias", path: "1", target: "0.weight", dtype: "float32", shape: [3, 2], perm: [1, 0],
    axes: ["in", "out"], role: "parameter",
  });
  assert.equal(file.info("step").value, 7n);
  assert.equal(file.info("0").module, "linear");
  assert.equal(file.info("none"), undefined);
  assert.equal(file.convention, "torch");
  const written = [];
  await encode(file, (piece) => written.push(piece.slice()));
  assert.deepEqual(bytesOf(...written), bytes);
});

test("the same file, made by the helper of these tests", async () => {
  const floats = (...numbers) => new Uint8Array(Float32Array.from(numbers).buffer);
  const bytes = build([
    node("0", "map", { module: "linear" }),
    tensor("0.weight", "float32", [2, 3], { data: floats(1, 2, 3, 4, 5, 6), axes: ["out", "in"], role: "parameter" }),
    tensor("0.bias", "float32", [2], { data: floats(0.5, -1), axes: ["out"], role: "parameter" }),
    { type: "alias", path: "1", target: "0.weight", perm: [1, 0] },
    tensor("q", "int4", [3], { data: Uint8Array.of(0xe1, 0x03) }),
    value("step", 7),
  ], { convention: "torch" });
  assert.deepEqual(bytes, hexdump());
});

test("section 2.3: offsets", () => {
  let position = 64;
  for (const [name, decoded, stored, offset, end] of table("| Tensor | Decoded bytes | Stored")) {
    position = alignedOffset(position, Number(decoded), name !== "e");
    assert.equal(position, Number(offset));
    position += Number(stored);
    assert.equal(position, Number(end));
  }
});

test("section 3.1: heads", () => {
  for (const [what, form] of table("| Value | Form |")) {
    const heads = form.match(/`([0-9a-f]{2})`/g).map(plain);
    assert.ok(heads.length > 0, what);
  }
});

test("sections 3.2 and 4.3: examples", () => {
  for (const name of ["sparse", "path", "keys"]) check(block(name));
  assert.deepEqual(block("path"), Uint8Array.from(pack(["", "0", "0.weight", "a\\.b"].join("\n"))));
  assert.deepEqual(decodeValue(block("sparse"), 0)[2], ["parameter", "buffer"]);
  assert.deepEqual(decodeValue(block("keys"), 0)[2], [[1n, [1n, "a"], "x.y"]]);
});

test("section 3.5: trees", async () => {
  const rows = table("| Nodes | Other entries | Tree |");
  assert.equal(rows.length, 3);
  for (const [nodes, others, tree] of rows) {
    const forms = Array.from(nodes.matchAll(/(\w+) `"([^`]*)"`/g), ([, form, path]) => node(path, form));
    const file = await open(build([...forms, ...quoted(others).map((path) => value(path))]));
    assert.deepEqual(json(file.tree), JSON.parse(plain(tree)));
  }
});

test("section 4.1: paths", () => {
  const rows = table("| Path | Segments |");
  assert.equal(rows.length, 10);
  for (const [path, segments] of rows) {
    assert.deepEqual(segmentsOf(quoted(path)[0]), quoted(segments), path);
    assert.equal(pathOf(quoted(segments)), quoted(path)[0]);
  }
  const wrong = quoted(spec.match(/Not paths: .*/)[0]);
  assert.equal(wrong.length, 9);
  for (const path of wrong) assert.throws(() => segmentsOf(path), { code: "PATH" }, path);
  assert.throws(() => segmentsOf("a\u007f"), { code: "PATH" });
  assert.throws(() => segmentsOf("a\u001f"), { code: "PATH" });
  segmentsOf("a\u0080\u2028");
  segmentsOf("x".repeat(1024));
  assert.throws(() => segmentsOf("x".repeat(1025)), { code: "PATH" });
  segmentsOf(Array(128).fill("x").join("."));
  assert.throws(() => segmentsOf(Array(129).fill("x").join(".")), { code: "PATH" });
});

test("section 4.2: flat keys", async () => {
  const rows = table("| Keys | Paths |");
  assert.equal(rows.length, 7);
  for (const [keyCell, pathCell] of rows) {
    const keys = quoted(keyCell), paths = quoted(pathCell);
    assert.deepEqual(keys.map((key) => pathOf(splitKey(key, (text) => keys.includes(text)))), paths);
    const file = await open(build([node("", "flat"), ...paths.map((path) => value(path))]));
    assert.deepEqual(file.tree.children.map(([key]) => key), keys);
    const deep = await open(build([node("m", "flat"), ...paths.map((path) => value(`m.${path}`))]));
    assert.deepEqual(deep.tree.get("m").children.map(([key]) => key), keys);
  }
  for (const [keyCell, prefix, path] of table("| Keys | Prefix |")) {
    const keys = quoted(keyCell);
    const paths = keys.map((key) => pathOf(splitKey(key, (text) => keys.includes(text))));
    const part = node(quoted(path)[0], "part", { module: "x" });
    await open(build([node("", "flat"), part, ...paths.map((each) => value(each))]));
    assert.equal(pathOf(splitKey(quoted(prefix)[0], (text) => keys.includes(text))), quoted(path)[0]);
  }
});

test("section 4.3: keys of other types", async () => {
  const rows = table("| Key | In the column | Label | Path |");
  const paths = rows.map((row) => quoted(row[3])[0]);
  const keys = [1, [1, "a"], "x.y"];
  const file = await open(build([node("", "keys", { keys }), ...paths.map((path) => value(path))]));
  assert.deepEqual(file.tree.children.map(([key]) => key), [1n, [1n, "a"], "x.y"]);
  rows.forEach((row, i) => assert.equal(Buffer.from(pack(keys[i])).toString("hex"), plain(row[1]).replace(/ /g, "")));
});

test("section 5.1: element types", () => {
  const rows = table("| Code | Name | Bits | Elements |");
  assert.equal(rows.length, DTYPES.length);
  rows.forEach(([code, name, bits], i) => {
    assert.deepEqual([Number(code), plain(name), Number(bits)], [i, DTYPES[i].name, DTYPES[i].bits]);
  });
});

test("section 5.2: the largest numbers", () => {
  const rows = table("| Name | Sign | Exponent | Mantissa | Bias |");
  assert.equal(rows.length, 13);
  for (const [nameCell, ...cells] of rows) {
    const name = plain(nameCell), { bits } = dtypeNamed(name);
    if (bits > 16) continue;
    const count = 2 ** bits;
    const bytes = new Uint8Array(Math.max(1, bits / 8) * count);
    const patterns = bits === 16 ? Uint16Array.from({ length: count }, (_, i) => i) : undefined;
    if (patterns) bytes.set(new Uint8Array(patterns.buffer));
    else if (bits === 8) bytes.forEach((_, i) => (bytes[i] = i));
    else for (let i = 0; i < count; i += 2) bytes[i / 2] = i | ((i + 1) << 4);
    const numbers = elements({ dtype: name, bytes, count }).filter(Number.isFinite);
    assert.equal(Math.max(...numbers.slice(0, 40000), ...numbers.slice(40000)), Number(cells.at(-1)), name);
  }
});

test("section 5.3: packing", () => {
  for (const [type, numbers, bytes] of table("| Type | Elements | Decoded bytes |")) {
    const wanted = numbers.split(",").map(Number);
    const packed = Uint8Array.from(plain(bytes).split(" "), (pair) => parseInt(pair, 16));
    assert.deepEqual(elements({ dtype: plain(type), bytes: packed, count: wanted.length }), wanted);
  }
  assert.equal(viewElements("int4", Uint8Array.of(1)).length, 1);
});

test("section 6.3: planes", () => {
  const out = new Uint8Array(4);
  decodePlanes(block("planes"), out, dtypeNamed("bfloat16"));
  assert.deepEqual(out, Uint8Array.of(0x80, 0x3f, 0x00, 0xc0));
  // The plane of mode 2 as both planes of int16, whose bits are not regrouped.
  const plane = Uint8Array.from({ length: 80 }, (_, i) => i % 64);
  plane[9] = 0xc9;
  plane[71] = 0xbf;
  const sevens = block("sevens"), both = new Uint8Array(160);
  const head = [2, sevens.length, 0, 0, 0];
  decodePlanes(bytesOf(head, head, sevens, sevens), both, dtypeNamed("int16"));
  assert.deepEqual(both.filter((_, i) => i % 2 === 1), plane);
  assert.deepEqual(both.filter((_, i) => i % 2 === 0), plane);
});

test("sections 9 and 10.1: limits and codes", () => {
  for (const [name, number] of table("| Name | Number | Code |")) assert.equal(limits[plain(name)], Number(number));
  assert.deepEqual(table("| Code | Meaning |").map(([code]) => plain(code)), [...CODES]);
});
