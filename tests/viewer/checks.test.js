import assert from "node:assert/strict";
import test from "node:test";
import { open } from "../../ptformat/viewer/ptformat.js";
import { REQUIRED } from "../../ptformat/viewer/schema.js";
import {
  alias, assemble, build, bytesOf, Float, frame, node, pack, parts, Raw, tensor, u32s, u64s, value,
} from "./build.js";

/** What breaks each step of section 10.2, in the order of the steps. */

const refusesBytes = (code, bytes, why) => {
  return assert.rejects(open(bytes), (error) => error.name === "FormatError" && error.code === code, why);
};
const refuses = (code, entries, options, why) => refusesBytes(code, build(entries, options), why);
const accepts = (entries, options) => open(build(entries, options));
const simple = [tensor("a", "uint8", [3], { data: Uint8Array.of(1, 2, 3) }), value("b", 1)];
const edited = (edit) => build(simple, { edit });
const trailerOf = (change) => {
  const { body, index } = parts(simple);
  return assemble(body, Uint8Array.from(pack(index)), { change });
};
const withByte = (at, byte) => {
  const bytes = build(simple);
  bytes[at < 0 ? bytes.length + at : at] = byte;
  return bytes;
};

test("steps 1 to 4: the preamble", async () => {
  const good = build(simple);
  await refusesBytes("MAGIC", new Uint8Array(0));
  for (const length of [1, 7, 8, 63, 64, 127]) await refusesBytes("TRUNCATED", good.slice(0, length), `${length}`);
  await refusesBytes("MAGIC", withByte(0, 0));
  await refusesBytes("MAGIC", Uint8Array.of(0x89, 0x51));
  await refusesBytes("MAGIC", withByte(7, 0).slice(0, 8));
  await refusesBytes("TRUNCATED", withByte(8, 2).slice(0, 100));
  await refusesBytes("VERSION", withByte(8, 2));
  await refusesBytes("VERSION", withByte(9, 1));
  await refusesBytes("NONZERO", withByte(12, 1));
  await refusesBytes("NONZERO", withByte(63, 1));
});

test("steps 5 to 11: the trailer", async () => {
  const good = build(simple);
  await refusesBytes("TRUNCATED", good.slice(0, -1));
  await refusesBytes("TRUNCATED", bytesOf(good, 0));
  await refusesBytes("CHECKSUM", withByte(-60, 99));
  await refusesBytes("CHECKSUM", withByte(-10, 99));
  await refusesBytes("VERSION", withByte(10, 1));
  await refusesBytes("VERSION", trailerOf((view) => view.setUint16(36, 2, true)));
  await refusesBytes("VERSION", trailerOf((view) => view.setUint16(38, 1, true)));
  const { body, index } = parts(simple);
  assert.equal((await open(assemble(body, Uint8Array.from(pack(index)), { minor: 7 }))).minor, 7);
  await refusesBytes("FEATURE", trailerOf((view) => view.setUint32(32, 2, true)));
  await refusesBytes("FEATURE", trailerOf((view) => view.setUint32(32, 0x80000001, true)));
  await refusesBytes("TRUNCATED", trailerOf((view) => view.setBigUint64(40, BigInt(good.length + 1), true)));
  await refusesBytes("TRUNCATED", trailerOf((view) => view.setBigUint64(40, 2n ** 64n - 1n, true)));
  await refusesBytes("EXTENT", trailerOf((view) => view.setBigUint64(40, BigInt(good.length - 1), true)));
  await refusesBytes("EXTENT", trailerOf((view) => view.setBigUint64(0, 63n, true)));
  await refusesBytes("EXTENT", trailerOf((view) => view.setBigUint64(0, 2n ** 64n - 1n, true)));
  await refusesBytes("EXTENT", trailerOf((view) => view.setBigUint64(8, 2n ** 64n - 1n, true)));
});

test("steps 12 to 16: the stored index", async () => {
  const { body, index } = parts(simple), raw = Uint8Array.from(pack(index));
  await refusesBytes("LIMIT", assemble(body, raw, { decoded: 268435457 }));
  await refusesBytes("LIMIT", assemble(body, raw, { decoded: 268435457, flags: 1 }));
  await refusesBytes("LIMIT", assemble(body, raw, { decoded: 256 * raw.length + 1, flags: 1 }));
  await refusesBytes("EXTENT", assemble(body, raw, { decoded: raw.length + 1 }));
  const damaged = assemble(body, raw);
  damaged[body.length] ^= 1;
  await refusesBytes("CHECKSUM", damaged);
  const packed = frame(raw);
  assert.equal((await open(assemble(body, packed, { decoded: raw.length, flags: 1 }))).size, 2);
  await refusesBytes("CODEC", assemble(body, packed, { decoded: raw.length - 1, flags: 1 }));
  await refusesBytes("CODEC", assemble(body, raw, { flags: 1 }));
  await refusesBytes("CODEC", assemble(body, new Uint8Array(0), { flags: 1 }));
  await refusesBytes("MALFORMED", assemble(body, new Uint8Array(0)));
});

test("step 17: the profile, unknown keys too", async () => {
  await accepts(simple, { zzz: [1, { a: null }], b: "x" });
  await refuses("NONCANONICAL", simple, { zzz: new Raw(0xcc, 1) });
  await refuses("MALFORMED", simple, { zzz: new Raw(0xa1, 0xff) });
  await refuses("DUPLICATE", simple, { zzz: new Raw(0x82, 0xa0, 0xc0, 0xa0, 0xc0) });
  let deep = 1;
  for (let i = 0; i < 31; i += 1) deep = [deep];
  await accepts(simple, { zzz: deep });
  await refuses("LIMIT", simple, { zzz: [deep] });
});

test("steps 18 to 24: keys", async () => {
  const { body } = parts(simple);
  for (const other of [[], 1, "x", [1, 2]]) await refusesBytes("SCHEMA", assemble(body, Uint8Array.from(pack(other))));
  await refusesBytes("SCHEMA", edited((index) => delete index.requires));
  for (const wrong of [{}, "x", [1], ["a", "a"], ["b", "a"], ["a", null]]) {
    await refusesBytes("SCHEMA", edited((index) => (index.requires = wrong)));
  }
  await refusesBytes("FEATURE", edited((index) => (index.requires = ["parts"])));
  await refusesBytes("FEATURE", edited((index) => Object.assign(index, { requires: ["a", "b"], path: undefined })));
  for (const name of REQUIRED) {
    await refusesBytes("SCHEMA", edited((index) => delete index[name]), name);
    await refusesBytes("SCHEMA", edited((index) => (index[name] = null)), name);
  }
  for (const name of ["convention", "dialect", "metadata", "provenance", "axes", "role"]) {
    await refusesBytes("SCHEMA", edited((index) => (index[name] = 1)), name);
  }
  await refusesBytes("SCHEMA", edited((index) => (index.chunk = new Float(64))));
  await refusesBytes("NONCANONICAL", edited((index) => (index.convention = "")));
  await refusesBytes("NONCANONICAL", edited((index) => (index.dialect = "")));
  await refusesBytes("NONCANONICAL", edited((index) => (index.metadata = {})));
  await refusesBytes("NONCANONICAL", edited((index) => (index.provenance = {})));
  await accepts(simple, { metadata: { x: new Uint8Array(1048576 - 8) } });
  await refuses("LIMIT", simple, { metadata: { x: new Uint8Array(1048576 - 7) } });
  await accepts(simple, { provenance: { x: new Uint8Array(1048577) } });
  for (const name of ["dims", "stored", "sum", "alias"]) {
    await refusesBytes("SCHEMA", edited((index) => (index[name] = bytesOf(index[name], 0))), name);
  }
  const many = new Uint8Array(1048577).fill(2);
  await refusesBytes("LIMIT", edited((index) => (index.type = many)));
});

test("steps 25 to 28: counts", async () => {
  await refusesBytes("SCHEMA", edited((index) => (index.type = Uint8Array.of(0, 4))));
  await refusesBytes("SCHEMA", edited((index) => (index.path = "a")));
  await refusesBytes("SCHEMA", edited((index) => (index.path = "a\nb\nc")));
  await refusesBytes("SCHEMA", edited((index) => (index.value = [])));
  for (const name of ["dtype", "rank", "form"]) {
    await refusesBytes("SCHEMA", edited((index) => (index[name] = bytesOf(index[name], 0))), name);
  }
  await refusesBytes("SCHEMA", edited((index) => (index.alias = u32s(0))));
  await refusesBytes("SCHEMA", edited((index) => (index.dims = u64s(3, 3))));
  await refuses("SCHEMA", [node("", "list")], { edit: (index) => (index.form = Uint8Array.of(7)) });
  await refusesBytes("SCHEMA", edited((index) => (index.value = [[]])));
  await refusesBytes("SCHEMA", edited((index) => (index.value = [{}])));
  await refuses("SCHEMA", [], { path: "x" });
  await refuses("SCHEMA", [], { path: "\n" });
  await refuses("TREE", [], { path: "" });
});

test("steps 29 to 35: types and shapes", async () => {
  const sized = (chunk) => edited((index) => (index.chunk = chunk));
  for (const chunk of [0, -64, 63, 65, 2n ** 64n - 1n]) await refusesBytes("CHUNK", sized(chunk));
  for (const chunk of [67108864 + 64, 2n ** 64n - 64n]) await refusesBytes("LIMIT", sized(chunk));
  await accepts(simple, { chunk: 67108864 });
  await refusesBytes("DTYPE", edited((index) => (index.dtype = Uint8Array.of(28))));
  const shaped = (shape, dtype = "uint8") => [tensor("a", dtype, shape, { chunks: [] })];
  await refuses("SHAPE", shaped(Array(33).fill(1)));
  await accepts([tensor("a", "uint8", Array(32).fill(1), { data: Uint8Array.of(1) })]);
  await refuses("SHAPE", shaped([2n ** 53n, 0]));
  await refuses("SHAPE", shaped([2n ** 62n, 2n ** 62n, 0]));
  await refuses("SHAPE", shaped([2n ** 27n, 2n ** 26n, 0]));
  await accepts(shaped([2n ** 53n - 1n, 0]));
  await accepts(shaped([0, 2n ** 53n - 1n, 1], "int2"));
  await refuses("SHAPE", shaped([2n ** 53n - 1n, 0], "int16"));
  await accepts(shaped([2n ** 52n - 1n, 0], "int16"));
  await refuses("SHAPE", shaped([2n ** 52n, 0], "int16"));
  await refuses("SHAPE", shaped([2n ** 49n, 0], "complex128"));
  await accepts(shaped([2n ** 49n - 1n, 0], "complex128"));
  const two = (a, b) => [tensor("a", "uint8", [a], { chunks: [] }), tensor("b", "uint8", [b], { chunks: [] })];
  await refuses("LIMIT", two(2n ** 53n - 1n, 1));
  await refuses("CHUNK", two(2n ** 53n - 2n, 1));
});

test("a fault of an entry whose path is not checked yet", async () => {
  const long = '"'.repeat(3000000);
  await refuses("SHAPE", [tensor(long, "uint8", Array(33).fill(1), { chunks: [] })]);
});

test("steps 36 to 41: chunks", async () => {
  for (const name of ["codec", "stored", "sum"]) {
    await refusesBytes("CHUNK", edited((index) => (index[name] = bytesOf(index[name], index[name]))), name);
  }
  await refusesBytes("CODEC", edited((index) => (index.codec = Uint8Array.of(3))));
  await refusesBytes("CODEC", edited((index) => (index.codec = Uint8Array.of(2))));
  await refusesBytes("CODEC", edited((index) => Object.assign(index, { codec: Uint8Array.of(2), stored: u32s(0) })));
  for (const stored of [2, 4]) await refusesBytes("CHUNK", edited((index) => (index.stored = u32s(stored))));
  for (const stored of [0, 3]) {
    const change = { codec: Uint8Array.of(1), stored: u32s(stored) };
    await refusesBytes("CHUNK", edited((index) => Object.assign(index, change)));
  }
  const long = (length, codec) => [tensor("a", "uint16", [length / 2], { chunks: [[codec, Uint8Array.of(1)]] })];
  for (const codec of [1, 2]) {
    await accepts(long(32768, codec));
    await refuses("LIMIT", long(32770, codec));
  }
  const { body, index } = parts(simple);
  await refusesBytes("EXTENT", assemble(bytesOf(body, 0), Uint8Array.from(pack(index))));
  await refusesBytes("EXTENT", assemble(body.slice(0, -1), Uint8Array.from(pack(index))));
});

test("steps 42 to 44: paths", async () => {
  await refuses("PATH", [value("a."), value("a.")]);
  for (const path of [".", "a\u0007", "a\\b", "x".repeat(1025)]) await refuses("PATH", [value("ok"), value(path)]);
  await refuses("DUPLICATE", [value("a"), value("b"), value("a")]);
  await refuses("DUPLICATE", [value(""), value("")]);
  await refuses("DUPLICATE", [value("a"), value("a.b"), value("a")]);
});

test("steps 45 and 46: sparse columns", async () => {
  const entries = [tensor("a", "uint8", [1]), tensor("b", "uint8", [1]), value("c")];
  const column = (name, content) => refuses.bind(null, "SCHEMA", entries, { [name]: content });
  const rows = (...numbers) => u32s(...numbers);
  for (const wrong of [
    [], [rows(0), rows(0)], [rows(0), rows(0), ["x"], 1], ["x", rows(0), ["x"]], [rows(0), [], ["x"]],
    [rows(0), rows(0), "x"], [rows(0), rows(0), {}], [Uint8Array.of(0), Uint8Array.of(0), ["x"]],
    [rows(), rows(), []], [rows(0, 1), rows(0), ["x"]],
    [rows(1, 0), rows(0, 0), ["x"]], [rows(0, 0), rows(0, 0), ["x"]],
    [rows(3), rows(0), ["x"]], [rows(2), rows(0), ["x"]], [rows(0), rows(0), [""]], [rows(0), rows(0), [1]],
  ]) await column("role", wrong)(JSON.stringify(wrong));
  for (const wrong of [
    [rows(0), rows(1), ["x", "y"]], [rows(0), rows(1), ["x"]], [rows(0), rows(0), ["x", "y"]], [rows(0), rows(0), []],
    [rows(0, 1), rows(0, 1), ["x", "x"]], [rows(0, 1), rows(1, 0), ["x", "y"]], [rows(0), u32s(4294967295), ["x"]],
  ]) await refuses("NONCANONICAL", entries, { role: wrong });
  await accepts(entries, { role: [rows(0, 1), rows(0, 1), ["x", "y"]] });
  const one = (table) => [rows(0), rows(0), [table]];
  await refuses("SCHEMA", entries, { attrs: one({}) });
  await refuses("SCHEMA", entries, { attrs: one([1]) });
  await refuses("SCHEMA", entries, { axes: one([]) });
  await refuses("SCHEMA", entries, { axes: one([""]) });
  await refuses("SCHEMA", entries, { axes: one(["a", 1]) });
  await refuses("SCHEMA", entries, { class: one("") });
  await refuses("SCHEMA", entries, { trainable: one(1) });
  await refuses("SCHEMA", entries, { module: one("x") }, "a tensor has no module");
  await refuses("SCHEMA", entries, { perm: one([0]) }, "a tensor has no perm");
  await refuses("NONCANONICAL", entries, { axes: [rows(0), rows(1), []], role: [1] }, "column by column");
  await refuses("SCHEMA", entries, { attrs: [1], role: [rows(0), rows(1), []] }, "column by column");
  const keyed = (keys) => [node("", "keys", { keys }), value("x")];
  await accepts(keyed([[]]));
  await accepts(keyed([[[], [null, new Float(1)]]]));
  await refuses("SCHEMA", keyed([]));
  await refuses("SCHEMA", keyed([{}]));
  await refuses("SCHEMA", keyed([[1, [{}]]]));
  await refuses("SCHEMA", keyed({}));
});

test("steps 47 to 50: axes, keys and aliases", async () => {
  const base = tensor("a", "uint8", [1, 1], { axes: ["x", "y"], role: "r", trainable: true });
  await refuses("SCHEMA", [tensor("a", "uint8", [1], { axes: ["x", "y"] })]);
  await refuses("SCHEMA", [tensor("a", "uint8", [], { axes: ["x"] })]);
  await refuses("SCHEMA", [base, alias("b", "a", { axes: ["x"] })]);
  await refuses("ALIAS", [alias("b", 0, { axes: ["x"] })], {}, "axes without a target are for step 49");
  await refuses("ALIAS", [base, alias("b", 1), value("c")]);
  await refuses("ALIAS", [base, alias("b", 2), tensor("c", "uint8", [])]);
  await refuses("ALIAS", [base, alias("b", 4294967295)]);
  await refuses("ALIAS", [value("v"), alias("b", 0)]);
  await refuses("ALIAS", [base, alias("b", "a"), alias("c", "b")]);
  for (const perm of [[0, 1], [0], [0, 0], [1, 2], [-1, 0], [1, 0, 2], [], [2n ** 64n - 1n, 0]]) {
    await refuses("ALIAS", [base, alias("b", "a", { perm })], {}, String(perm));
  }
  await refuses("ALIAS", [tensor("a", "uint8", []), alias("b", "a", { perm: [] })]);
  await refuses("SCHEMA", [base, alias("b", "a", { perm: [new Float(1), 0] })]);
  await refuses("NONCANONICAL", [base, alias("b", "a", { role: "r" })]);
  await refuses("NONCANONICAL", [base, alias("b", "a", { trainable: true })]);
  await refuses("NONCANONICAL", [base, alias("b", "a", { axes: ["x", "y"] })]);
  await refuses("NONCANONICAL", [base, alias("b", "a", { perm: [1, 0], axes: ["y", "x"] })]);
  const file = await accepts([base, alias("b", "a", { perm: [1, 0], axes: ["x", "y"], role: "s", trainable: false })]);
  assert.deepEqual(file.info("b").axes, ["x", "y"]);
  const taken = (await accepts([base, alias("b", "a", { perm: [1, 0] })])).info("b");
  assert.deepEqual([taken.axes, taken.role, taken.trainable], [["y", "x"], "r", true]);
  await refuses("SCHEMA", [node("", "keys"), value("x")]);
  await refuses("SCHEMA", [node("", "list", { keys: [1] }), value("0")]);
  await refuses("SCHEMA", [node("", "keys"), value("x"), value("x.y")], {}, "step 48 before step 52");
});

test("steps 51 to 53: one tree", async () => {
  await refuses("TREE", [value("a"), value("a.b")]);
  await refuses("TREE", [value("a.b"), value("a")]);
  await refuses("TREE", [value(""), value("a")]);
  await refuses("TREE", [value("a.b"), node("a", "list")]);
  await refuses("TREE", [value("a"), node("", "map", { class: "x" })]);
  await accepts([value("")]);
  await accepts([node("", "map")]);
});

test("step 54: parts and maps", async () => {
  const part = (path, more = { module: "m" }) => node(path, "part", more);
  await refuses("TREE", [part("a")]);
  await refuses("TREE", [part("")]);
  await refuses("TREE", [node("", "list"), part("0")]);
  await refuses("TREE", [node("", "flat"), node("a", "list"), part("a.0")]);
  await refuses("NONCANONICAL", [node("", "flat"), part("a", {})]);
  await accepts([node("", "flat"), part("a"), part("a.b", { attrs: { x: 1 } }), value("a.b.c")]);
  await refuses("NONCANONICAL", [node("", "map"), value("a")]);
  await refuses("NONCANONICAL", [node("a", "map"), value("a.b")]);
  await accepts([node("a", "map")]);
  await accepts([node("a", "map", { class: "c" }), value("a.b")]);
  await accepts([node("", "flat"), node("a", "map"), value("a.b")]);
  await refuses("NONCANONICAL", [node("", "flat"), node("a", "list"), node("a.0", "map"), value("a.0.b")]);
  await refuses("NONCANONICAL", [node("b", "map"), part("a"), value("b.c")], {}, "in row order");
  await refuses("TREE", [part("a"), node("b", "map"), value("b.c")], {}, "in row order");
});

test("step 55: children", async () => {
  await accepts([node("", "list"), ...Array.from({ length: 12 }, (_, i) => value(String(i)))]);
  await refuses("TREE", [node("", "list"), value("1")]);
  await refuses("TREE", [node("", "tuple"), value("0"), value("2")]);
  await refuses("TREE", [node("", "list"), value("1"), value("0")]);
  await refuses("TREE", [node("", "list"), value("00")]);
  await refuses("TREE", [node("", "list"), value("0.a"), value("x"), value("1")]);
  await accepts([node("l", "list"), value("l.0.a"), value("x"), value("l.1"), value("l.0.b")]);
  await accepts([node("", "namedtuple"), value("a\\.b"), value("\\e")]);
  const keyed = (keys, ...paths) => [node("", "keys", { keys }), ...paths.map((path) => value(path))];
  await refuses("TREE", keyed([1, 2], "x"));
  await refuses("TREE", keyed([1], "x", "y"));
  await refuses("TREE", keyed([1], ...[]));
  await refuses("TREE", keyed([1, 1], "x", "y"));
  await refuses("TREE", keyed(["a", "a"], "x", "y"));
  await refuses("NONCANONICAL", keyed(["a", "b"], "x", "y"));
  await accepts(keyed([1, new Float(1), true], "x", "y", "z.a"));
  await refuses("NONCANONICAL", [value("a\\.b")]);
  await refuses("NONCANONICAL", [value("a.b\\.c")]);
  await refuses("NONCANONICAL", [value("a\\.b.c")]);
  await accepts([value("a\\\\b")]);
  await refuses("NONCANONICAL", [node("", "flat"), node("m", "map"), value("m.a\\.b")]);
});

test("step 56: flat maps", async () => {
  const flat = (...paths) => [node("", "flat"), ...paths.map((path) => value(path))];
  await refuses("TREE", flat("a.b", "a\\.b"));
  await refuses("TREE", flat("a.\\e.b", "a.\\.b"), {}, "equal keys come first");
  await refuses("NONCANONICAL", flat("a\\.b"));
  await accepts(flat("a", "a\\.b"));
  await refuses("NONCANONICAL", flat("a.\\e.b"));
  await refuses("NONCANONICAL", flat("a\\.b", "a\\.b\\.c"));
  await refuses("NONCANONICAL", flat("a", "a\\.b\\.c"));
  await accepts(flat("a", "a\\.b", "a\\.b\\.c"));
  await accepts(flat("a\\.b\\.c", "a\\.b", "a"));
  const part = (path) => node(path, "part", { module: "m" });
  await refuses("NONCANONICAL", [...flat("a", "a\\.b.c"), part("b\\.c")]);
  await accepts([...flat("a"), part("a\\.b"), value("a\\.b.c")]);
  await refuses("NONCANONICAL", [...flat("a", "x.y"), part("a\\.b"), part("a\\.b\\.c")]);
  await refuses("TREE", [node("a", "flat"), node("b", "flat"), value("a.x\\.y"), value("b.x.y"), value("b.x\\.y"),
    value("a.x.y")]);
  await refuses("NONCANONICAL", [node("a", "flat"), node("b", "flat"), value("b.x.y"), value("b.x\\.y"),
    value("a.x\\.y")], {}, "the first flat map first");
});

test("nothing behind the index, raw or compressed", async () => {
  const { body, index } = parts(simple);
  const raw = Uint8Array.from(pack(index));
  await refusesBytes("MALFORMED", assemble(body, bytesOf(raw, 0xc0)));
  await refusesBytes("CODEC", assemble(body, bytesOf(frame(raw), 0), { decoded: raw.length, flags: 1 }));
});
