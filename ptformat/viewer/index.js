import { fail, shown } from "./errors.js";
import { MAX_ENTRIES, MAX_METADATA_BYTES } from "./limits.js";
import { ARRAY, Cursor, decodeValue, MAP, STRING } from "./msgpack.js";
import {
  ALIAS, FEATURES, FORM_NAMES, KINDS_OF_KEYS, NODE, NOT_EMPTY, PACKED, REQUIRED, TENSOR, TYPE_NAMES, VALUE,
} from "./schema.js";
import { compareBytes, decodeText } from "./utf8.js";

/**
 * @typedef {object} Span a value in the bytes of the index: bytes[start:end]
 * @property {number} start
 * @property {number} end
 * @property {number} kind
 * @property {number} body where a text begins
 * @property {number} length of a text, an array or a map
 */

const NEWLINE = 0x0a;

/** @returns {Span} the value at the cursor, which passes over it */
export function spanAt(cursor) {
  const { kind, body, length } = cursor.next();
  const start = cursor.start;
  cursor.at = start;
  return { start, end: cursor.skip().at, kind, body, length };
}

/** The known keys. What an unknown key has is not looked at. */
function readKeys(bytes) {
  const cursor = new Cursor(bytes), keys = new Map();
  if (cursor.next().kind !== MAP) fail("SCHEMA", "the index is no map");
  for (let rest = cursor.length; rest > 0; rest -= 1) {
    // No known name is longer. A longer one may be too long to become a text.
    const name = cursor.next().length > 16 ? "" : cursor.text();
    const span = spanAt(cursor);
    if (KINDS_OF_KEYS.has(name)) keys.set(name, span);
  }
  return keys;
}

/** Steps 18 and 19. */
function checkRequires(bytes, span) {
  if (span === undefined || span.kind !== ARRAY) fail("SCHEMA", "requires is missing, or no array");
  const cursor = new Cursor(bytes, span.body);
  for (let i = 0, start = 0, end = 0; i < span.length; i += 1) {
    if (cursor.next().kind !== STRING) fail("SCHEMA", "requires holds something else than strings");
    if (i > 0 && compareBytes(bytes, start, end, bytes, cursor.body, cursor.at) >= 0) {
      fail("SCHEMA", "requires is not in ascending order");
    }
    start = cursor.body;
    end = cursor.at;
  }
  cursor.at = span.body;
  for (let i = 0; i < span.length; i += 1) {
    const { body, at } = cursor.next();
    const name = at - body > 1000 ? "(a very long name)" : decodeText(bytes, body, at);
    if (!FEATURES.has(name)) fail("FEATURE", `the file needs the feature ${shown(name)}`);
  }
}

/** Steps 20 to 23. */
function checkKeys(keys) {
  for (const name of REQUIRED) if (!keys.has(name)) fail("SCHEMA", `${name} is missing`);
  for (const [name, span] of keys) {
    if (span.kind !== KINDS_OF_KEYS.get(name)) fail("SCHEMA", `${name} has a wrong type`);
  }
  for (const name of NOT_EMPTY) if (keys.get(name)?.length === 0) fail("NONCANONICAL", `${name} is empty`);
  const metadata = keys.get("metadata");
  if (metadata !== undefined && metadata.end - metadata.start > MAX_METADATA_BYTES) {
    fail("LIMIT", `metadata of ${metadata.end - metadata.start} bytes`);
  }
  for (const [name, size] of Object.entries(PACKED)) {
    if (keys.get(name).length % size !== 0) fail("SCHEMA", `the bytes of ${name} are no multiple of ${size}`);
  }
}

/** What the index says of the entries: keys, types, paths and values. Steps 18 to 28 of section 10.2. */
export class Index {
  #said = new Map();

  /**
   * @param {Uint8Array} bytes that check() of msgpack.js has accepted
   * @throws {import("./errors.js").FormatError}
   */
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.keys = readKeys(bytes);
    checkRequires(bytes, this.keys.get("requires"));
    checkKeys(this.keys);
    this.#readTypes();
    this.#checkCounts();
    this.#checkRanks();
    for (const form of this.column("form")) if (form >= FORM_NAMES.length) fail("SCHEMA", `the unknown form ${form}`);
    this.#readValues();
    this.#readPaths();
  }

  /**
   * @param {string} name
   * @returns {Uint8Array} the bytes of a packed column
   */
  column(name) {
    const { body, end } = this.keys.get(name);
    return this.bytes.subarray(body, end);
  }

  /** @returns {number} items of a packed column */
  items(name) {
    return this.keys.get(name).length / PACKED[name];
  }

  /** Steps 24 and 25. */
  #readTypes() {
    /** The type of each entry. */
    this.types = this.column("type");
    /** The number of entries. */
    this.size = this.types.length;
    if (this.size > MAX_ENTRIES) fail("LIMIT", `${this.size} entries`);
    const counts = new Uint32Array(TYPE_NAMES.length);
    /** For each row, how many entries of its type stand before it. */
    this.nth = new Uint32Array(this.size);
    this.types.forEach((type, row) => {
      if (type >= TYPE_NAMES.length) fail("SCHEMA", `the unknown entry type ${type}`);
      this.nth[row] = counts[type];
      counts[type] += 1;
    });
    /** For each type, the rows of its entries. */
    this.rows = TYPE_NAMES.map((_, type) => new Uint32Array(counts[type]));
    this.types.forEach((type, row) => {
      this.rows[type][this.nth[row]] = row;
    });
  }

  /** Step 26. */
  #checkCounts() {
    const { body, end, length } = this.keys.get("path");
    const text = this.bytes.subarray(body, end);
    let paths = this.size === 0 && length === 0 ? 0 : 1;
    for (let at = text.indexOf(NEWLINE); at >= 0; at = text.indexOf(NEWLINE, at + 1)) paths += 1;
    if (paths !== this.size) fail("SCHEMA", `${paths} paths for ${this.size} entries`);
    if (this.keys.get("value").length !== this.rows[VALUE].length) fail("SCHEMA", "value has a wrong length");
    const owners = { dtype: TENSOR, rank: TENSOR, alias: ALIAS, form: NODE };
    for (const [name, type] of Object.entries(owners)) {
      if (this.items(name) !== this.rows[type].length) fail("SCHEMA", `${name} has a wrong length`);
    }
  }

  /** Step 27. */
  #checkRanks() {
    const axes = this.column("rank").reduce((sum, rank) => sum + rank, 0);
    if (this.items("dims") !== axes) fail("SCHEMA", "dims has a wrong length");
  }

  /** Step 28. */
  #readValues() {
    const { body, length } = this.keys.get("value");
    const cursor = new Cursor(this.bytes, body);
    this.valueStarts = new Uint32Array(length);
    for (let i = 0; i < length; i += 1) {
      const { kind, start } = cursor.next();
      if (kind === ARRAY || kind === MAP) fail("SCHEMA", "a value is an array or a map");
      this.valueStarts[i] = start;
    }
  }

  #readPaths() {
    const { body, end } = this.keys.get("path");
    /** Path `row` is bytes[pathStarts[row] : pathEnds[row]]. */
    this.pathStarts = new Uint32Array(this.size);
    this.pathEnds = new Uint32Array(this.size).fill(end);
    for (let row = 0, at = body; row < this.size; row += 1) {
      this.pathStarts[row] = at;
      if (row + 1 < this.size) this.pathEnds[row] = this.bytes.indexOf(NEWLINE, at);
      at = this.pathEnds[row] + 1;
    }
  }

  /**
   * @param {number} row
   * @returns {string} its path, as it stands in the file
   */
  path(row) {
    return decodeText(this.bytes, this.pathStarts[row], this.pathEnds[row]);
  }

  /**
   * @param {number} row of a value
   * @returns {import("./msgpack.js").Value}
   */
  value(row) {
    return decodeValue(this.bytes, this.valueStarts[this.nth[row]]);
  }

  /** @returns {number} row of the target of an alias */
  target(row) {
    return this.view.getUint32(this.keys.get("alias").body + 4 * this.nth[row], true);
  }

  /** @returns {number} form of a node */
  form(row) {
    return this.bytes[this.keys.get("form").body + this.nth[row]];
  }

  /**
   * @param {string} name a key of the whole file
   * @returns {import("./msgpack.js").Value | undefined} what it says, if it is there
   */
  say(name) {
    const span = this.keys.get(name);
    if (span !== undefined && !this.#said.has(name)) this.#said.set(name, decodeValue(this.bytes, span.start));
    return this.#said.get(name);
  }
}
