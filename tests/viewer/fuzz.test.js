import assert from "node:assert/strict";
import test from "node:test";
import { CODES } from "../../ptformat/viewer/errors.js";
import { Container, encode, FormatError, open } from "../../ptformat/viewer/ptformat.js";
import { xxh3 } from "../../ptformat/viewer/xxh3.js";
import { build, bytesOf, Float, frame, node, pack, tensor, value } from "./build.js";
import { pathOf, split, tree, verdict } from "./naive.js";
import { hexdump } from "./spec.js";

/** Numbers that are the same in each run. */
function randomFrom(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 4294967296) * below);
  };
}

/** Everything that a program may ask of a file. */
async function useAll(bytes) {
  const file = await open(bytes);
  assert.ok(file.entries.length === file.size && file.tree !== undefined);
  for (const { type, path } of file.entries) {
    if (type === "tensor" || type === "alias") await file.tensor(path);
  }
  await file.verify();
  const written = [];
  await encode(file, (piece) => written.push(piece.slice()));
  const again = await open(bytesOf(...written));
  await again.verify();
  assert.equal(await again.digest(), await file.digest());
  return file;
}

async function survives(bytes) {
  try {
    await useAll(bytes);
    return "ok";
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    assert.ok(CODES.includes(error.code));
    return error.code;
  }
}

/** Makes the sums of the index and the trailer right again, so that a change behind them is met. */
function repair(bytes) {
  if (bytes.length < 128) return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const trailer = bytes.length - 64;
  const offset = Number(view.getBigUint64(trailer, true)), length = Number(view.getBigUint64(trailer + 8, true));
  if (offset + length <= bytes.length) {
    view.setBigUint64(trailer + 24, xxh3(bytes.subarray(offset, offset + length)), true);
  }
  view.setBigUint64(trailer + 48, xxh3(bytes.subarray(trailer, trailer + 48)), true);
  return bytes;
}

function mutate(bytes, random) {
  const out = bytes.slice();
  for (let n = random(4); n >= 0; n -= 1) {
    const at = random(out.length);
    const change = random(5);
    if (change === 0) out[at] = random(256);
    else if (change === 1) out[at] ^= 1 << random(8);
    else if (change === 2) out[at] = [0, 1, 127, 128, 192, 193, 196, 203, 220, 222, 255][random(11)];
    else if (change === 3) out[at] += random(2) * 2 - 1;
    else out.copyWithin(at, random(out.length), random(out.length));
  }
  return out;
}

const rich = () => build([
  node("", "flat", { class: "x" }), node("a", "part", { module: "m" }), value("a.b", 5),
  tensor("a.w", "bool", [70], { axes: ["n"], role: "buffer" }), node("k", "keys", { keys: [1, "x", [null]] }),
  value("k.0", new Float(NaN)), value("k.1", "text"), { type: "alias", path: "k.2", target: "a.w", trainable: true },
  node("l", "list"), tensor("l.0", "int4", [3, 3], { attrs: { x: [1, { y: true }] } }),
  { type: "alias", path: "l.1", target: "l.0", perm: [1, 0] }, value("y.\\.z", new Uint8Array(40)),
  tensor("z", "uint16", [100], { chunks: [[1, frame(new Uint8Array(64).fill(7))], [0, new Uint8Array(64)],
    [1, frame(new Uint8Array(64))], [0, new Uint8Array(8)]] }),
], { chunk: 64, metadata: { a: 1, b: [new Float(-0), "é"] }, dialect: "d" });

test("the files that are changed are right", async () => {
  assert.equal(await survives(rich()), "ok");
});

test("changed files, with right sums", async () => {
  const random = randomFrom(1), counts = {};
  for (const bytes of [hexdump(), rich()]) {
    for (let i = 0; i < 6000; i += 1) {
      const code = await survives(repair(mutate(bytes, random)));
      counts[code] = (counts[code] ?? 0) + 1;
    }
  }
  assert.ok(Object.keys(counts).length > 12, JSON.stringify(counts));
});

test("files that are cut off or continued, or of noise", async () => {
  const bytes = rich(), random = randomFrom(2);
  for (let length = 0; length < bytes.length; length += 1) {
    assert.ok(["MAGIC", "TRUNCATED"].includes(await survives(bytes.slice(0, length))));
  }
  assert.equal(await survives(bytesOf(bytes, bytes)), "EXTENT");
  for (let i = 0; i < 200; i += 1) await survives(Uint8Array.from({ length: random(500) }, () => random(256)));
});

const SEGMENTS = ["a", "b", "0", "1", "\\e", "a\\.b", "\\.", "\\\\", "a\\.", "c", "\\\\e"];
const FORMS = ["map", "list", "tuple", "namedtuple", "flat", "flat", "flat", "keys", "part"];
const KEYS = [1, "a", null, [1], new Float(1), true];

function randomEntries(random) {
  const paths = new Set();
  const count = 1 + random(6);
  for (let i = 0; i < count; i += 1) {
    const depth = random(4);
    paths.add(Array.from({ length: depth }, () => SEGMENTS[random(random(2) ? 4 : SEGMENTS.length)]).join("."));
  }
  const entries = [...paths].map((path) => {
    if (random(2)) return value(path);
    const form = FORMS[random(FORMS.length)];
    const more = random(2) ? { module: "m" } : {};
    if (form === "keys") more.keys = Array.from({ length: 1 + random(3) }, () => KEYS[random(KEYS.length)]);
    return node(path, form, more);
  });
  if (random(2)) entries.sort((a, b) => (a.path < b.path ? -1 : 1));
  if (random(3) === 0) entries.unshift(node("", "flat"));
  return entries;
}

function plain(place) {
  if (!(place instanceof Container)) return place.path;
  const { form, children } = place;
  const label = (key) => (form === "keys" ? String(repack(key)) : key);
  return { form, children: children.map(([key, child]) => [label(key), plain(child)]) };
}

/** A decoded key as pack() takes it, where a number is an integer. */
const repack = (key) => pack(Array.isArray(key) ? key : typeof key === "number" ? new Float(key) : key);

test("random trees, compared with the text as it stands", async () => {
  const random = randomFrom(3), counts = {};
  for (let i = 0; i < 40000; i += 1) {
    const entries = randomEntries(random), wanted = verdict(entries);
    let code, file;
    try {
      file = await open(build(entries));
    } catch (error) {
      code = error.code ?? error.stack;
    }
    assert.equal(code, wanted, JSON.stringify(entries));
    if (file) assert.deepEqual(plain(file.tree), tree(entries), JSON.stringify(entries));
    counts[code] = (counts[code] ?? 0) + 1;
  }
  assert.ok(counts.undefined > 1500, JSON.stringify(counts));
});

const KEY_PARTS = ["a", "b", ".", ".", "..", "\\", "e", "\\e", "c", "x"];

test("random flat maps", async () => {
  const random = randomFrom(4);
  for (let i = 0; i < 6000; i += 1) {
    const keys = new Set(Array.from({ length: 1 + random(7) }, () => {
      return Array.from({ length: random(6) }, () => KEY_PARTS[random(KEY_PARTS.length)]).join("");
    }));
    const at = random(2) ? [] : ["q"];
    const entries = [node(pathOf(at), "flat"), ...[...keys].map((key) => value(pathOf([...at, ...split(key, keys)])))];
    const file = await open(build(entries));
    const map = at.length === 0 ? file.tree : file.tree.get("q");
    assert.deepEqual(map.children.map(([key]) => key), [...keys]);
    // A dot that becomes another kind of dot: as the text has it.
    const changed = structuredClone(entries), victim = changed[1 + random(changed.length - 1)];
    const dots = [...victim.path.matchAll(/\\?\./g)];
    if (dots.length === 0) continue;
    const { index, 0: dot } = dots[random(dots.length)];
    victim.path = victim.path.slice(0, index) + (dot === "." ? "\\." : ".") + victim.path.slice(index + dot.length);
    const code = await open(build(changed)).then(() => undefined, (error) => error.code);
    if (code !== "PATH") assert.equal(code, verdict(changed), `${JSON.stringify([...keys])} ${victim.path}`);
  }
});
