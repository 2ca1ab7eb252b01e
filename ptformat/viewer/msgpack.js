import { fail } from "./errors.js";
import { MAX_DEPTH, MAX_INDEX_VALUES } from "./limits.js";
import { compareBytes, decodeText, isUtf8 } from "./utf8.js";

/**
 * The msgpack profile of section 3.1. check() walks the bytes once and builds nothing; a Cursor and decodeValue() then
 * read what is known to be right. Of the decoded values an integer is a bigint and a float a number, so that 1 and 1.0
 * stay apart; maps are Map objects, since any text may be a key; arrays are frozen, since many entries may share one.
 * @typedef {null | boolean | bigint | number | string | Uint8Array | readonly Value[] | Map<string, Value>} Value
 */

export const NULL = 0;
export const BOOL = 1;
export const INTEGER = 2;
export const FLOAT = 3;
export const STRING = 4;
export const BINARY = 5;
export const ARRAY = 6;
export const MAP = 7;
const RESERVED = 8;
const FORBIDDEN = 9;

/** For each first byte the kind of value and the bytes of the number, or of the length, that follows it. */
const KINDS = new Uint8Array(256);
const WIDTHS = new Uint8Array(256);
function describe(first, last, kind, ...widths) {
  for (let byte = first; byte <= last; byte += 1) {
    KINDS[byte] = kind;
    WIDTHS[byte] = widths[byte - first] ?? 0;
  }
}
describe(0x00, 0x7f, INTEGER);
describe(0x80, 0x8f, MAP);
describe(0x90, 0x9f, ARRAY);
describe(0xa0, 0xbf, STRING);
describe(0xc0, 0xc0, NULL);
describe(0xc1, 0xc1, RESERVED);
describe(0xc2, 0xc3, BOOL);
describe(0xc4, 0xc6, BINARY, 1, 2, 4);
describe(0xc7, 0xca, FORBIDDEN);
describe(0xcb, 0xcb, FLOAT, 8);
describe(0xcc, 0xcf, INTEGER, 1, 2, 4, 8);
describe(0xd0, 0xd3, INTEGER, 1, 2, 4, 8);
describe(0xd4, 0xd8, FORBIDDEN);
describe(0xd9, 0xdb, STRING, 1, 2, 4);
describe(0xdc, 0xdd, ARRAY, 2, 4);
describe(0xde, 0xdf, MAP, 2, 4);
describe(0xe0, 0xff, INTEGER);

/** The least length that a head with a length of 1, 2 or 4 bytes may have. */
const LEAST = { [STRING]: [32, 256, 65536], [BINARY]: [0, 256, 65536], [ARRAY]: [0, 16, 65536], [MAP]: [0, 16, 65536] };

/** @returns {number} the length that a head of type string, byte string, array or map tells */
function lengthOf(view, at) {
  const first = view.getUint8(at);
  switch (WIDTHS[first]) {
    case 1: return view.getUint8(at + 1);
    case 2: return view.getUint16(at + 1);
    case 4: return view.getUint32(at + 1);
    default: return KINDS[first] === STRING ? first & 31 : first & 15;
  }
}

/** Step 3 of a head: whether a number with bytes of its own could not have been written shorter. */
function isShortestNumber(view, at) {
  const high = () => view.getUint32(at + 1), low = () => view.getUint32(at + 5);
  switch (view.getUint8(at)) {
    case 0xcb: return (high() & 0x7fffffff) < 0x7ff00000 || (low() === 0 && (high() << 12) === 0)
      || (high() === 0x7ff80000 && low() === 0);
    case 0xcc: return view.getUint8(at + 1) >= 128;
    case 0xcd: return view.getUint16(at + 1) >= 256;
    case 0xce: return high() >= 65536;
    case 0xcf: return high() > 0;
    case 0xd0: return view.getInt8(at + 1) < -32;
    case 0xd1: return view.getInt16(at + 1) < -128;
    case 0xd2: return view.getInt32(at + 1) < -32768;
    case 0xd3: return view.getInt32(at + 1) < -1 || (view.getInt32(at + 1) === -1 && low() < 0x80000000);
    default: return true;
  }
}

class Checker {
  #bytes;
  #view;
  #at = 0;
  #items = 0;

  /** For each array and map around the place: the items that are still to come, whether it is a map, its last key. */
  #depth = 0;
  #rest = new Float64Array(MAX_DEPTH + 1);
  #isMap = new Uint8Array(MAX_DEPTH + 1);
  #keyStart = new Float64Array(MAX_DEPTH + 1);
  #keyEnd = new Float64Array(MAX_DEPTH + 1);

  constructor(bytes) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  check() {
    do {
      const depth = this.#depth;
      const isKey = this.#isMap[depth] === 1 && this.#rest[depth] % 2 === 0;
      this.#rest[depth] -= 1;
      this.#head(isKey);
      while (this.#depth > 0 && this.#rest[this.#depth] === 0) this.#depth -= 1;
    } while (this.#depth > 0);
    if (this.#at < this.#bytes.length) fail("MALFORMED", `bytes after the index, at ${this.#at}`);
  }

  #head(isKey) {
    const bytes = this.#bytes, at = this.#at;
    if (at >= bytes.length) fail("MALFORMED", "the index ends too early");
    const first = bytes[at], kind = KINDS[first], end = at + 1 + WIDTHS[first];
    if (kind === RESERVED) fail("MALFORMED", `the byte c1 at ${at}`);
    if (kind === FORBIDDEN) fail("NONCANONICAL", `a type that is not used here, at ${at}`);
    if (isKey && kind !== STRING) fail("NONCANONICAL", `a key that is no string, at ${at}`);
    if (end > bytes.length) fail("MALFORMED", "the index ends too early");
    this.#at = end;
    if (kind < STRING) {
      if (!isShortestNumber(this.#view, at)) fail("NONCANONICAL", `a number in another form than its own, at ${at}`);
      return;
    }
    const length = lengthOf(this.#view, at);
    if (WIDTHS[first] > 0 && length < LEAST[kind][WIDTHS[first] >> 1]) {
      fail("NONCANONICAL", `a length in another form than its own, at ${at}`);
    }
    if ((kind === MAP ? 2 * length : length) > bytes.length - end) fail("MALFORMED", "the index ends too early");
    if (kind === ARRAY || kind === MAP) this.#open(kind, length);
    else this.#text(kind, length, isKey);
  }

  #text(kind, length, isKey) {
    const bytes = this.#bytes, start = this.#at, end = start + length, depth = this.#depth;
    if (kind === STRING && !isUtf8(bytes, start, end)) fail("MALFORMED", `a string that is no UTF-8, at ${start}`);
    this.#at = end;
    if (!isKey) return;
    if (this.#keyStart[depth] > 0) {
      const order = compareBytes(bytes, this.#keyStart[depth], this.#keyEnd[depth], bytes, start, end);
      if (order === 0) fail("DUPLICATE", `a key stands twice, at ${start}`);
      if (order > 0) fail("NONCANONICAL", `keys out of order, at ${start}`);
    }
    this.#keyStart[depth] = start;
    this.#keyEnd[depth] = end;
  }

  #open(kind, length) {
    const items = kind === MAP ? 2 * length : length;
    if (this.#depth === MAX_DEPTH) fail("LIMIT", "the index is nested too deep");
    this.#items += items;
    if (this.#items > MAX_INDEX_VALUES) fail("LIMIT", "the index has too many items");
    this.#depth += 1;
    this.#rest[this.#depth] = items;
    this.#isMap[this.#depth] = kind === MAP ? 1 : 0;
    this.#keyStart[this.#depth] = 0;
  }
}

/**
 * Checks that the bytes are one value in the profile, and reports the first failure in byte order.
 * @param {Uint8Array} bytes
 * @returns {void}
 * @throws {import("./errors.js").FormatError} MALFORMED, NONCANONICAL, DUPLICATE or LIMIT
 */
export function check(bytes) {
  new Checker(bytes).check();
}

/** Walks over bytes that check() has accepted. */
export class Cursor {
  /** Of the last head: its first byte, its kind, and its length (of a text, an array or a map). */
  start = 0;
  kind = NULL;
  length = 0;

  /** Where a text begins; it ends at `at`. */
  body = 0;

  /**
   * @param {Uint8Array} bytes
   * @param {number} [at]
   */
  constructor(bytes, at = 0) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
  }

  /** Reads one head, and a text with it; of an array or a map the items come next. */
  next() {
    const first = this.bytes[this.at];
    this.start = this.at;
    this.kind = KINDS[first];
    this.body = this.at + 1 + WIDTHS[first];
    this.length = this.kind < STRING ? 0 : lengthOf(this.view, this.at);
    this.at = this.kind === STRING || this.kind === BINARY ? this.body + this.length : this.body;
    return this;
  }

  /** Passes over a whole value, its items with it. */
  skip() {
    const start = this.at;
    for (let rest = 1; rest > 0; rest -= 1) {
      this.next();
      if (this.kind === ARRAY) rest += this.length;
      if (this.kind === MAP) rest += 2 * this.length;
    }
    this.start = start;
    return this;
  }

  /** @returns {bigint} the integer whose head was read last */
  integer() {
    const { view, start } = this, first = view.getUint8(start);
    switch (first) {
      case 0xcc: return BigInt(view.getUint8(start + 1));
      case 0xcd: return BigInt(view.getUint16(start + 1));
      case 0xce: return BigInt(view.getUint32(start + 1));
      case 0xcf: return view.getBigUint64(start + 1);
      case 0xd0: return BigInt(view.getInt8(start + 1));
      case 0xd1: return BigInt(view.getInt16(start + 1));
      case 0xd2: return BigInt(view.getInt32(start + 1));
      case 0xd3: return view.getBigInt64(start + 1);
      default: return BigInt(view.getInt8(start));
    }
  }

  /** @returns {string} the string whose head was read last */
  text() {
    return decodeText(this.bytes, this.body, this.at);
  }

  /**
   * Reads a whole value. Values nest at most MAX_DEPTH deep.
   * @returns {Value}
   */
  value() {
    this.next();
    switch (this.kind) {
      case NULL: return null;
      case BOOL: return this.bytes[this.start] === 0xc3;
      case INTEGER: return this.integer();
      case FLOAT: return this.view.getFloat64(this.start + 1);
      case STRING: return this.text();
      case BINARY: return this.bytes.slice(this.body, this.at);
      case ARRAY: return this.#items(this.length);
      default: return this.#pairs(this.length);
    }
  }

  #items(length) {
    const items = [];
    for (let i = 0; i < length; i += 1) items.push(this.value());
    return Object.freeze(items);
  }

  #pairs(length) {
    const pairs = new Map();
    for (let i = 0; i < length; i += 1) {
      const key = this.next().text();
      pairs.set(key, this.value());
    }
    return pairs;
  }
}

/**
 * @param {Uint8Array} bytes that check() has accepted
 * @param {number} at where a value begins
 * @returns {Value}
 */
export function decodeValue(bytes, at) {
  return new Cursor(bytes, at).value();
}
