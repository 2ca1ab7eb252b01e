import { DTYPES, dtypeNamed } from "../../ptformat/viewer/dtypes.js";
import { FORM_NAMES, TYPE_NAMES } from "../../ptformat/viewer/schema.js";
import { xxh3 } from "../../ptformat/viewer/xxh3.js";

/** Makes right and wrong files for the tests, by a way of its own: it shares tables with the reader, but no rules. */

const text = new TextEncoder();
const MAGIC = [0x89, 0x50, 0x54, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];

/** A float in what pack() takes; a plain number is an integer there. */
export class Float {
  constructor(value) {
    this.value = value;
  }
}

/** Bytes that pack() copies as they are. */
export class Raw {
  constructor(...bytes) {
    this.bytes = bytes;
  }
}

export function bytesOf(...parts) {
  return joined(parts);
}

function joined(parts) {
  const pieces = parts.map((part) => (typeof part === "number" ? [part] : part));
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

export function little(value, width) {
  return Uint8Array.from({ length: width }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 255n));
}

const big = (value, width) => little(value, width).reverse();

function sized(length, small, room, heads) {
  if (length < room) return [small + length];
  const widths = heads.length === 3 ? [1, 2, 4] : [2, 4];
  const i = widths.findIndex((width) => length < 2 ** (8 * width));
  return bytesOf(heads[i], big(length, widths[i]));
}

function packInteger(value) {
  if (value >= 0n) {
    if (value < 128n) return [Number(value)];
    const i = [8n, 16n, 32n, 64n].findIndex((bits) => value < 1n << bits);
    return bytesOf(0xcc + i, big(value, 1 << i));
  }
  if (value >= -32n) return [Number(value + 256n)];
  const i = [7n, 15n, 31n, 63n].findIndex((bits) => value >= -(1n << bits));
  return bytesOf(0xd0 + i, big(value, 1 << i));
}

export function compare(a, b) {
  const x = text.encode(a), y = text.encode(b);
  const i = x.findIndex((byte, at) => byte !== y[at]);
  return i < 0 ? x.length - y.length : x[i] - (y[i] ?? -1);
}

/** msgpack in the profile of the format. An object is a map, whose keys are put in order. */
export function pack(value) {
  if (value === null) return [0xc0];
  if (value === false) return [0xc2];
  if (value === true) return [0xc3];
  if (typeof value === "bigint" || typeof value === "number") return packInteger(BigInt(value));
  if (value instanceof Raw) return value.bytes;
  if (value instanceof Float) {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value.value);
    return bytesOf(0xcb, new Uint8Array(view.buffer));
  }
  if (typeof value === "string") {
    const bytes = text.encode(value);
    return bytesOf(sized(bytes.length, 0xa0, 32, [0xd9, 0xda, 0xdb]), bytes);
  }
  if (value instanceof Uint8Array) return bytesOf(sized(value.length, 0, 0, [0xc4, 0xc5, 0xc6]), value);
  if (Array.isArray(value)) return joined([sized(value.length, 0x90, 16, [0xdc, 0xdd])].concat(value.map(pack)));
  const pairs = value instanceof Map ? [...value] : Object.entries(value).sort(([a], [b]) => compare(a, b));
  return joined([sized(pairs.length, 0x80, 16, [0xde, 0xdf])].concat(pairs.flatMap(([k, v]) => [pack(k), pack(v)])));
}

export const u32s = (...numbers) => bytesOf(...numbers.map((number) => little(number, 4)));
export const u64s = (...numbers) => bytesOf(...numbers.map((number) => little(number, 8)));

function sparse(entries, name) {
  const rows = [], picks = [], table = [], seen = [];
  entries.forEach((entry, row) => {
    if (entry[name] === undefined) return;
    const form = String(pack(entry[name]));
    if (!seen.includes(form)) {
      seen.push(form);
      table.push(entry[name]);
    }
    rows.push(row);
    picks.push(seen.indexOf(form));
  });
  return rows.length === 0 ? undefined : [u32s(...rows), u32s(...picks), table];
}

function decodedLength({ dtype, shape }) {
  const count = shape.reduce((product, dim) => product * Number(dim), 1);
  return Math.ceil((count * dtypeNamed(dtype).bits) / 8);
}

/** The chunks of a tensor: its own, or raw ones of its data. */
function chunksOf(entry, chunk) {
  if (entry.chunks !== undefined) return entry.chunks;
  const data = entry.data ?? new Uint8Array(decodedLength(entry));
  const chunks = [];
  for (let at = 0; at < data.length; at += chunk) chunks.push([0, data.subarray(at, at + chunk)]);
  return chunks;
}

/**
 * @param {object[]} entries as a reader gives them: path, type, and what the type asks for; a tensor may have `chunks`,
 *   pairs of a codec and stored bytes
 * @param {object} [options] chunk, convention, …; `edit` may change the index before it is encoded; others
 *   are further keys
 * @returns {{body: Uint8Array, index: Record<string, unknown>}} what stands before the index, and the index
 */
export function parts(entries, { chunk = 4194304, edit, ...more } = {}) {
  const tensors = entries.filter(({ type }) => type === "tensor");
  const body = [...bytesOf(MAGIC, little(1, 2), new Uint8Array(54))];
  const codec = [], stored = [], sum = [];
  for (const tensor of tensors) {
    const chunks = chunksOf(tensor, chunk);
    const step = decodedLength(tensor) >= 1048576 && chunks[0]?.[0] === 0 ? 4096 : 64;
    while (body.length % step !== 0) body.push(0);
    for (const [code, bytes] of chunks) {
      codec.push(code);
      stored.push(bytes.length);
      sum.push(xxh3(Uint8Array.from(bytes)));
      for (const byte of bytes) body.push(byte);
    }
  }
  const rowOf = new Map(entries.map(({ path }, row) => [path, row]));
  const of = (type) => entries.filter((entry) => entry.type === type);
  const index = {
    requires: [], chunk, path: entries.map(({ path }) => path).join("\n"), value: of("value").map(({ value }) => value),
    type: Uint8Array.from(entries, ({ type }) => TYPE_NAMES.indexOf(type)),
    dtype: Uint8Array.from(tensors, ({ dtype }) => DTYPES.findIndex(({ name }) => name === dtype)),
    rank: Uint8Array.from(tensors, ({ shape }) => shape.length), dims: u64s(...tensors.flatMap(({ shape }) => shape)),
    codec: Uint8Array.from(codec), stored: u32s(...stored), sum: u64s(...sum),
    alias: u32s(...of("alias").map(({ target }) => rowOf.get(target) ?? target)),
    form: Uint8Array.from(of("node"), ({ form }) => FORM_NAMES.indexOf(form)), ...more,
  };
  for (const name of ["attrs", "axes", "class", "keys", "module", "perm", "role", "trainable"]) {
    const column = sparse(entries, name);
    if (column !== undefined) index[name] = column;
  }
  edit?.(index);
  for (const name of Object.keys(index)) if (index[name] === undefined) delete index[name];
  return { body: Uint8Array.from(body), index };
}

/** A file of its parts, with a trailer that fits; `change` may change the trailer before its sum is taken. */
export function assemble(body, stored, { decoded = stored.length, flags = 0, minor = 0, change } = {}) {
  const trailer = bytesOf(
    u64s(body.length, stored.length, decoded, xxh3(stored)), little(flags, 4), little(1, 2), little(minor, 2),
    u64s(body.length + stored.length + 64),
  );
  change?.(new DataView(trailer.buffer));
  const file = new Uint8Array(body.length + stored.length + 64);
  file.set(body);
  file.set(little(minor, 2), 10);
  file.set(stored, body.length);
  file.set(bytesOf(trailer, u64s(xxh3(trailer)), MAGIC), body.length + stored.length);
  return file;
}

/** A whole file; see parts(). */
export function build(entries, options) {
  const { body, index } = parts(entries, options);
  return assemble(body, Uint8Array.from(pack(index)));
}

export const node = (path, form, more) => ({ type: "node", path, form, ...more });
export const value = (path, content = null) => ({ type: "value", path, value: content });
export const alias = (path, target, more) => ({ type: "alias", path, target, ...more });
export const tensor = (path, dtype, shape, more) => ({ type: "tensor", path, dtype, shape, ...more });

/** A zstd frame of raw blocks, or of RLE blocks if all bytes are one. */
export function frame(bytes) {
  const out = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, ...little(bytes.length, 4)];
  const same = bytes.every((byte) => byte === bytes[0]);
  let at = 0;
  do {
    const part = bytes.subarray(at, at + 131072);
    at += part.length;
    const last = at === bytes.length ? 1 : 0;
    out.push(...little((part.length << 3) | (same ? 2 : 0) | last, 3));
    if (same) out.push(part[0]);
    else for (const byte of part) out.push(byte);
  } while (at < bytes.length);
  return Uint8Array.from(out);
}
