import { fail } from "./errors.js";
import { spanAt } from "./index.js";
import { Interner } from "./interner.js";
import { ARRAY, BINARY, BOOL, Cursor, decodeValue, INTEGER, MAP, STRING } from "./msgpack.js";
import { OWNERS, SPARSE, TYPE_NAMES } from "./schema.js";

/** A sparse column (section 3.2): step 45 of section 10.2 for one of them. */
export class SparseColumn {
  #bytes;
  #values = new Map();

  /**
   * @param {string} name
   * @param {import("./index.js").Index} index
   * @throws {import("./errors.js").FormatError}
   */
  constructor(name, index) {
    this.name = name;
    this.#bytes = index.bytes;
    const { body, length } = index.keys.get(name);
    const cursor = new Cursor(index.bytes, body);
    if (length !== 3) fail("SCHEMA", `${name} is no array of three`);
    const [rows, picks, table] = [spanAt(cursor), spanAt(cursor), spanAt(cursor)];
    if (rows.kind !== BINARY || picks.kind !== BINARY || table.kind !== ARRAY) {
      fail("SCHEMA", `${name} holds something else than two byte strings and an array`);
    }
    if (rows.length % 4 !== 0 || picks.length % 4 !== 0 || rows.length !== picks.length || rows.length === 0) {
      fail("SCHEMA", `rows and picks of ${name} have wrong lengths`);
    }
    this.#readRows(index, rows, picks);
    this.#readTable(index, table, picks);
  }

  #readRows(index, rows, picks) {
    const { view, types, size } = index, allowed = OWNERS[this.name];
    /** For each row the number of its value in the table, or -1. */
    this.picks = new Int32Array(size).fill(-1);
    for (let i = 0, last = -1; i < rows.length; i += 4) {
      const row = view.getUint32(rows.body + i, true);
      if (row <= last || row >= size) fail("SCHEMA", `the rows of ${this.name} do not ascend, or do not exist`);
      last = row;
    }
    for (let i = 0; i < rows.length; i += 4) {
      const row = view.getUint32(rows.body + i, true);
      if (!allowed.includes(types[row])) {
        fail("SCHEMA", `a ${TYPE_NAMES[types[row]]} has no ${this.name}`, index.path(row));
      }
      this.picks[row] = view.getUint32(picks.body + i, true) | 0;
    }
  }

  #readTable(index, table, picks) {
    let used = 0;
    for (let i = 0; i < picks.length; i += 4) {
      const pick = index.view.getUint32(picks.body + i, true);
      if (pick > used) fail("NONCANONICAL", `the table of ${this.name} is not in the order of its use`);
      if (pick === used) used += 1;
    }
    if (used !== table.length) fail("NONCANONICAL", `the table of ${this.name} is too short, or not used up`);
    const distinct = new Interner(index.bytes, table.length), cursor = new Cursor(index.bytes, table.body);
    /** Where each value of the table begins. */
    this.starts = new Uint32Array(table.length);
    for (let pick = 0; pick < table.length; pick += 1) {
      const { start, end } = spanAt(cursor);
      if (distinct.intern(start, end) !== pick) fail("NONCANONICAL", `a value stands twice in ${this.name}`);
      this.starts[pick] = start;
    }
  }

  /** Step 46: each value has the type of its column. */
  checkValues() {
    const cursor = new Cursor(this.#bytes), isRight = RIGHT[this.name];
    this.starts.forEach((start, pick) => {
      cursor.at = start;
      if (!isRight(cursor.next())) fail("SCHEMA", `value ${pick} of ${this.name} has a wrong type, or is empty`);
    });
  }

  /**
   * @param {number} row
   * @returns {import("./msgpack.js").Value | undefined} what it says of the entry; equal values are one object
   */
  value(row) {
    const pick = this.picks[row];
    if (pick < 0) return undefined;
    if (!this.#values.has(pick)) this.#values.set(pick, decodeValue(this.#bytes, this.starts[pick]));
    return this.#values.get(pick);
  }
}

function isText(cursor) {
  return cursor.kind === STRING && cursor.length > 0;
}

/** Whether the value is an array all of whose items pass. */
function isArrayOf(cursor, isRight) {
  let { kind, length } = cursor;
  if (kind !== ARRAY) return false;
  for (; length > 0; length -= 1) if (!isRight(cursor.next())) return false;
  return true;
}

/** A key is no map, nor is there one in a tuple, at any depth. */
function isKey(cursor) {
  let rest = 1;
  for (;;) {
    if (cursor.kind === MAP) return false;
    if (cursor.kind === ARRAY) rest += cursor.length;
    rest -= 1;
    if (rest === 0) return true;
    cursor.next();
  }
}

/** For each column, whether the value whose head was read last is of its type. */
const RIGHT = {
  attrs: (cursor) => cursor.kind === MAP && cursor.length > 0,
  axes: (cursor) => cursor.length > 0 && isArrayOf(cursor, isText),
  class: isText,
  keys: (cursor) => cursor.length > 0 && isArrayOf(cursor, isKey),
  module: isText,
  perm: (cursor) => isArrayOf(cursor, ({ kind }) => kind === INTEGER),
  role: isText,
  trainable: (cursor) => cursor.kind === BOOL,
};

/**
 * Steps 45 and 46.
 * @param {import("./index.js").Index} index
 * @returns {Map<string, SparseColumn>} the columns that are there
 * @throws {import("./errors.js").FormatError} SCHEMA or NONCANONICAL
 */
export function readSparse(index) {
  const columns = new Map();
  for (const name of SPARSE) if (index.keys.has(name)) columns.set(name, new SparseColumn(name, index));
  for (const column of columns.values()) column.checkValues();
  return columns;
}
