import { fail } from "./errors.js";
import { Interner } from "./interner.js";
import { MAX_INNER_PATHS, MAX_PATH_DEPTH } from "./limits.js";
import { checkPath, segmentEnd } from "./paths.js";
import { NODE } from "./schema.js";
import { decodeText, encodeText, isWellFormed } from "./utf8.js";

const NEWLINE = 0x0a;

/**
 * All paths and inner paths of a file as places of one tree, numbered in the order of their first appearance: a place
 * comes after the one above it, and siblings stand in the tree's order (section 3.5). The root is 0. Steps 42 to 44 of
 * section 10.2, and what steps 52 and 53 need.
 */
export class PathTree {
  #index;
  #paths;
  #segments;

  /**
   * @param {import("./index.js").Index} index
   * @throws {import("./errors.js").FormatError} PATH, DUPLICATE or LIMIT
   */
  constructor(index) {
    this.#index = index;
    const { bytes, pathStarts, pathEnds, size } = index;
    for (let row = 0; row < size; row += 1) checkPath(bytes, pathStarts[row], pathEnds[row]);
    this.#paths = new Interner(bytes, size + 1);
    for (let row = 0; row < size; row += 1) {
      if (this.#paths.intern(pathStarts[row], pathEnds[row]) !== row) {
        fail("DUPLICATE", "a path stands twice", index.path(row));
      }
    }
    this.#build();
  }

  #build() {
    const { pathStarts, pathEnds, size, types } = this.#index;
    const most = this.#mostPlaces();
    this.#segments = new Interner(this.#index.bytes, Math.min(most, 2 * size + 1));
    /** For each place the row of its entry, or -1. */
    this.rows = new Int32Array(most).fill(-1);
    /** For each place whether something lies beneath it, how many children it has, and which child it is itself. */
    this.inner = new Uint8Array(most);
    this.children = new Uint32Array(most);
    this.ordinals = new Uint32Array(most);
    /** For each row its place. */
    this.places = new Uint32Array(size);
    /** The first row that breaks steps 52 and 53, or -1. */
    this.leafAbove = -1;
    this.lateNode = -1;
    this.#segments.intern(0, 0);
    const walk = { ids: new Uint32Array(MAX_PATH_DEPTH), ends: new Uint32Array(MAX_PATH_DEPTH), depth: 0, inner: 0 };
    for (let row = 0; row < size; row += 1) {
      const place = pathStarts[row] === pathEnds[row] ? 0 : this.#add(row, walk);
      if (pathStarts[row] === pathEnds[row]) walk.depth = 0;
      this.places[row] = place;
      this.rows[place] = row;
      if (this.inner[place] && types[row] === NODE && this.lateNode < 0) this.lateNode = row;
    }
    for (let row = 0; row < size && this.leafAbove < 0; row += 1) {
      if (types[row] !== NODE && this.inner[this.places[row]]) this.leafAbove = row;
    }
  }

  /** A bound on the places: each is a path or an inner path, and ends a segment. */
  #mostPlaces() {
    const { bytes, keys, size } = this.#index, { body, end } = keys.get("path");
    let segments = size + 1;
    for (let at = body; at < end; at += 1) if (bytes[at] === 0x2e) segments += 1;
    return Math.min(segments, size + MAX_INNER_PATHS + 2);
  }

  /** Goes down to the place of a path, from where it parts from the path before it. */
  #add(row, walk) {
    const { bytes, pathStarts, pathEnds } = this.#index, { ids, ends } = walk;
    const start = pathStarts[row], end = pathEnds[row];
    const shared = this.#sharedWithLast(row, walk.depth === 0 ? 0 : ends[walk.depth - 1]);
    let depth = 0;
    while (depth < walk.depth && ends[depth] < shared) depth += 1;
    let place = depth === 0 ? 0 : ids[depth - 1];
    for (let at = depth === 0 ? start : start + ends[depth - 1] + 1; at < end; depth += 1) {
      const stop = segmentEnd(bytes, at, end);
      if (!this.inner[place]) {
        this.inner[place] = 1;
        walk.inner += 1;
        if (walk.inner > MAX_INNER_PATHS) fail("LIMIT", "too many inner paths");
      }
      const before = this.#segments.size, above = place;
      place = this.#segments.intern(at, stop, above);
      if (place === before) {
        this.ordinals[place] = this.children[above];
        this.children[above] += 1;
      }
      ids[depth] = place;
      ends[depth] = stop - start;
      at = stop + 1;
    }
    walk.depth = depth;
    return place;
  }

  /** @returns {number} bytes that the path of a row begins with like that of the row before, which has `length` */
  #sharedWithLast(row, length) {
    if (length === 0) return 0;
    const { bytes, pathStarts, pathEnds } = this.#index;
    const start = pathStarts[row], last = pathStarts[row - 1];
    const most = Math.min(length, pathEnds[row] - start);
    let shared = 0;
    while (shared < most && bytes[start + shared] === bytes[last + shared]) shared += 1;
    return shared;
  }

  /** @returns {number} how many places there are */
  get size() {
    return this.#segments.size;
  }

  /** @returns {number} the place above a place, -1 for the root */
  above(place) {
    return this.#segments.parents[place];
  }

  /** The last segment of a place, as it is escaped, is bytes[segmentStart(place) : segmentEnd(place)]. */
  segmentStart(place) {
    return this.#segments.starts[place];
  }

  segmentEnd(place) {
    return this.#segments.ends[place];
  }

  /** @returns {string} the last segment of a place, as it is escaped */
  segment(place) {
    return decodeText(this.#index.bytes, this.segmentStart(place), this.segmentEnd(place));
  }

  /** @returns {string} the path of a place */
  path(place) {
    const { bytes, keys } = this.#index;
    if (place === 0) return "";
    let start = this.segmentStart(place);
    while (start > keys.get("path").body && bytes[start - 1] !== NEWLINE) start -= 1;
    return decodeText(bytes, start, this.segmentEnd(place));
  }

  /**
   * @param {string} path
   * @returns {number} the row of the entry with this path, or -1
   */
  find(path) {
    return isWellFormed(path) ? this.#paths.find(encodeText(path)) : -1;
  }
}
