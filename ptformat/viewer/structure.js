import { fail } from "./errors.js";
import { checkFlatMaps } from "./flat.js";
import { Interner } from "./interner.js";
import { Cursor, STRING } from "./msgpack.js";
import { holdsDot } from "./paths.js";
import { FORM_FLAT, FORM_KEYS, FORM_LIST, FORM_MAP, FORM_PART, FORM_TUPLE, NODE } from "./schema.js";
import { spanAt } from "./index.js";

/** Which places are containers, and which container lies around each (section 3.5). Steps 51 to 56 of section 10.2. */
export class Structure {
  #index;
  #facts;

  /**
   * @param {import("./index.js").Index} index
   * @param {import("./path-tree.js").PathTree} places
   * @param {import("./facts.js").Facts} facts
   * @param {import("./sparse.js").SparseColumn | undefined} keys
   * @throws {import("./errors.js").FormatError} TREE or NONCANONICAL
   */
  constructor(index, places, facts, keys) {
    this.#index = index;
    this.#facts = facts;
    this.places = places;
    if (index.size === 0) fail("TREE", "the file has no entries");
    if (places.leafAbove >= 0) fail("TREE", "a leaf with entries beneath it", index.path(places.leafAbove));
    if (places.lateNode >= 0) fail("TREE", "a node after what is beneath it", index.path(places.lateNode));
    this.#findContainers();
    for (const row of index.rows[NODE]) this.#checkNode(row);
    this.#checkChildren(keys);
    checkFlatMaps(index, this);
  }

  #findContainers() {
    const { places } = this, index = this.#index;
    /** For each place the form of the node there, -1 if there is none, or a part. */
    this.forms = new Int8Array(places.size).fill(-1);
    /** For each place the nearest place, it or above it, where a node other than a part stands; -1 if there is none. */
    this.nearest = new Int32Array(places.size).fill(-1);
    for (let place = 0; place < places.size; place += 1) {
      const row = places.rows[place];
      const form = row >= 0 && index.types[row] === NODE ? index.form(row) : -1;
      if (form >= 0 && form !== FORM_PART) this.forms[place] = form;
      this.nearest[place] = this.forms[place] >= 0 ? place : place > 0 ? this.nearest[places.above(place)] : -1;
    }
  }

  /**
   * @param {number} place
   * @returns {number} the place of the container around it; -1 around the root
   */
  around(place) {
    const above = this.places.above(place);
    if (above < 0) return -1;
    const node = this.nearest[above];
    return node >= 0 && this.forms[node] === FORM_FLAT ? node : above;
  }

  /** @returns {number} the form of the container around a place; -1 around the root */
  formAround(place) {
    const around = this.around(place);
    if (around < 0) return -1;
    return this.forms[around] < 0 ? FORM_MAP : this.forms[around];
  }

  /** @returns {boolean} whether a place is no container, but a prefix of flat keys */
  isPrefix(place) {
    return this.forms[place] < 0 && this.formAround(place) === FORM_FLAT;
  }

  /** Step 54. */
  #checkNode(row) {
    const place = this.places.places[row], form = this.#index.form(row);
    if (form !== FORM_PART && form !== FORM_MAP) return;
    const inFlat = this.formAround(place) === FORM_FLAT;
    if (form === FORM_PART && !inFlat) fail("TREE", "a part outside of a flat map", this.#index.path(row));
    if (["attrs", "class", "module"].some((name) => this.#facts.says(name, row))) return;
    if (form === FORM_PART || (this.places.inner[place] && !inFlat)) {
      fail("NONCANONICAL", "a node that says nothing", this.#index.path(row));
    }
  }

  /** Step 55. */
  #checkChildren(keys) {
    const { places, forms } = this, index = this.#index;
    const outOfPlace = this.#findWrongPositions();
    const tables = new KeyTables(index.bytes, keys);
    for (const row of index.rows[NODE]) {
      const place = places.places[row];
      if (outOfPlace[place]) fail("TREE", "the children are not 0, 1, 2, …", index.path(row));
      if (forms[place] === FORM_KEYS) tables.check(keys.picks[row], places.children[place], index.path(row));
    }
    for (let place = 1; place < places.size; place += 1) {
      if (this.formAround(place) !== FORM_MAP) continue;
      if (holdsDot(index.bytes, places.segmentStart(place), places.segmentEnd(place))) {
        fail("NONCANONICAL", "a key of a map holds a dot", places.path(place));
      }
    }
  }

  /** @returns {Uint8Array} for each place, whether it is a list or tuple with a child that has another segment */
  #findWrongPositions() {
    const { places, forms } = this, wrong = new Uint8Array(places.size);
    for (let place = 1; place < places.size; place += 1) {
      const above = places.above(place);
      if (forms[above] !== FORM_LIST && forms[above] !== FORM_TUPLE) continue;
      const length = places.segmentEnd(place) - places.segmentStart(place);
      if (length > 10 || places.segment(place) !== String(places.ordinals[place])) wrong[above] = 1;
    }
    return wrong;
  }
}

/** The values of the column `keys`. Many nodes may share one: each is looked through once. */
class KeyTables {
  #bytes;
  #column;
  #known = new Map();

  constructor(bytes, column) {
    this.#bytes = bytes;
    this.#column = column;
  }

  check(pick, children, path) {
    if (!this.#known.has(pick)) this.#known.set(pick, this.#look(pick));
    const { count, distinct, onlyStrings } = this.#known.get(pick);
    if (count !== children) fail("TREE", `${count} keys for ${children} children`, path);
    if (!distinct) fail("TREE", "a key stands twice", path);
    if (onlyStrings) fail("NONCANONICAL", "a node of form keys whose keys are all strings", path);
  }

  #look(pick) {
    const cursor = new Cursor(this.#bytes, this.#column.starts[pick]);
    const count = cursor.next().length, seen = new Interner(this.#bytes, count);
    let distinct = true, onlyStrings = true;
    for (let i = 0; i < count; i += 1) {
      const { start, end, kind } = spanAt(cursor);
      distinct &&= seen.intern(start, end) === i;
      onlyStrings &&= kind === STRING;
    }
    return { count, distinct, onlyStrings };
  }
}
