import { fail } from "./errors.js";
import { MAX_PATH_BYTES } from "./limits.js";
import { FORM_FLAT, FORM_PART, NODE } from "./schema.js";
import { decodeText } from "./utf8.js";

const DOT = 0x2e;
const BACKSLASH = 0x5c;
const E = 0x65;

/**
 * Step 56 of section 10.2. A flat map beneath which no path holds a backslash is right as it is: a flat key is then the
 * text of its path, two equal ones are two equal paths, and a key that ends at a dot of another one would be a leaf
 * above it, or a container around it.
 * @param {import("./index.js").Index} index
 * @param {import("./structure.js").Structure} structure
 * @returns {void}
 * @throws {import("./errors.js").FormatError} TREE or NONCANONICAL
 */
export function checkFlatMaps(index, structure) {
  const { places } = structure;
  const isFlat = (row) => index.form(row) === FORM_FLAT;
  const flats = Array.from(index.rows[NODE].filter(isFlat), (row) => new FlatMap(index, row));
  if (flats.length === 0) return;
  const byPlace = new Map(flats.map((flat) => [places.places[flat.row], flat]));
  for (let row = 0; row < index.size; row += 1) {
    if (places.places[row] > 0) byPlace.get(structure.around(places.places[row]))?.add(row);
  }
  for (const flat of flats) flat.check();
}

class FlatMap {
  #index;
  #rows = [];
  #escaped = false;

  /** Where the rest of a path begins, from the path's start. */
  #skip;

  constructor(index, row) {
    this.#index = index;
    this.row = row;
    const length = index.pathEnds[row] - index.pathStarts[row];
    this.#skip = length === 0 ? 0 : length + 1;
  }

  add(row) {
    const { bytes, pathStarts, pathEnds } = this.#index;
    this.#rows.push(row);
    for (let at = pathStarts[row] + this.#skip; at < pathEnds[row] && !this.#escaped; at += 1) {
      this.#escaped = bytes[at] === BACKSLASH;
    }
  }

  check() {
    if (!this.#escaped) return;
    const items = this.#items();
    items.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : a.isPart - b.isPart));
    items.forEach((item, i) => {
      if (i > 0 && !item.isPart && items[i - 1].text === item.text) {
        fail("TREE", "two values of a flat map have one key", this.#index.path(item.row));
      }
    });
    this.#checkSplits(items);
  }

  /** The flat keys of all values and parts, unescaped, as bytes and as texts. */
  #items() {
    const { bytes, pathStarts, pathEnds, types } = this.#index;
    const size = this.#rows.reduce((sum, row) => sum + pathEnds[row] - pathStarts[row], 0);
    const room = new Uint8Array(size);
    let end = 0;
    return this.#rows.map((row) => {
      const start = end;
      for (let at = pathStarts[row] + this.#skip; at < pathEnds[row]; at += 1) {
        if (bytes[at] === BACKSLASH) {
          at += 1;
          if (bytes[at] === E) continue;
        }
        room[end] = bytes[at];
        end += 1;
      }
      const key = room.subarray(start, end);
      return { row, key, text: decodeText(key), isPart: types[row] === NODE && this.#index.form(row) === FORM_PART };
    });
  }

  /**
   * In this order the keys with which a key begins are those with which the one before it begins, as far as both are
   * alike, and that one itself: no set of all keys has to be asked for each dot.
   */
  #checkSplits(items) {
    const isKeyOfLength = new Uint8Array(MAX_PATH_BYTES + 1), lengths = [];
    let last = new Uint8Array(0);
    for (const { row, key, isPart } of items) {
      let shared = 0;
      while (shared < last.length && last[shared] === key[shared]) shared += 1;
      while (lengths.length > 0 && lengths.at(-1) > shared) isKeyOfLength[lengths.pop()] = 0;
      if (!this.#isSplit(row, key.length, isKeyOfLength)) {
        fail("NONCANONICAL", "a flat key is split in another way than its own", this.#index.path(row));
      }
      if (!isPart) {
        isKeyOfLength[key.length] = 1;
        lengths.push(key.length);
      }
      last = key;
    }
  }

  /**
   * Whether split() of section 4.2 gives the segments of a path.
   * @param {number} row
   * @param {number} length bytes of the key
   * @param {Uint8Array} isKeyOfLength whether the key's first p bytes are a key themselves
   */
  #isSplit(row, length, isKeyOfLength) {
    const { bytes, pathStarts, pathEnds } = this.#index;
    for (let at = pathStarts[row] + this.#skip, p = 0, start = 0; at < pathEnds[row]; at += 1) {
      const isEscaped = bytes[at] === BACKSLASH;
      if (isEscaped) at += 1;
      if (isEscaped && bytes[at] === E) continue;
      if (bytes[at] === DOT) {
        const isBoundary = p > start && p + 1 < length && isKeyOfLength[p] === 0;
        if (isBoundary === isEscaped) return false;
        if (isBoundary) start = p + 1;
      }
      p += 1;
    }
    return true;
  }
}
