import { fail } from "./errors.js";
import { Interner } from "./interner.js";
import { MAX_INDEX_VALUES } from "./limits.js";
import { Cursor } from "./msgpack.js";
import { ALIAS, FORM_KEYS, NODE, TENSOR } from "./schema.js";

/** More than there are values in a sparse column, and -1. */
const PICKS = 2 * MAX_INDEX_VALUES;

/** @returns {readonly unknown[]} the array of a key, made when it is first asked for */
function cached(known, key, make) {
  if (!known.has(key)) known.set(key, Object.freeze(make()));
  return known.get(key);
}

/**
 * What the sparse columns say of tensors and aliases. Steps 47 to 50 of section 10.2.
 */
export class Facts {
  #index;
  #layout;
  #columns;
  #axisStarts = new Uint32Array(0);
  #axisIds = new Int32Array(0);

  /** Arrays that many aliases share: permutations by pick, shapes and axes by permutation and what they are of. */
  #perms = new Map();
  #shapes = new Map();
  #axes = new Map();

  /**
   * @param {import("./index.js").Index} index
   * @param {import("./layout.js").Layout} layout
   * @param {Map<string, import("./sparse.js").SparseColumn>} columns
   * @throws {import("./errors.js").FormatError}
   */
  constructor(index, layout, columns) {
    this.#index = index;
    this.#layout = layout;
    this.#columns = columns;
    this.#checkAxes();
    this.#checkKeys();
    this.#checkAliases();
    this.#checkRepeats();
  }

  /**
   * @param {string} name of a sparse column
   * @param {number} row
   * @returns {boolean} whether the entry itself has a value there
   */
  says(name, row) {
    return this.#pick(name, row) >= 0;
  }

  #pick(name, row) {
    return this.#columns.get(name)?.picks[row] ?? -1;
  }

  /** @returns {import("./msgpack.js").Value | undefined} */
  value(name, row) {
    return this.#columns.get(name)?.value(row);
  }

  /** @returns {number} row of the tensor that a tensor or an alias stands for; -1 if the target is none */
  #tensor(row) {
    if (this.#index.types[row] === TENSOR) return row;
    const target = this.#index.target(row);
    return target < row && this.#index.types[target] === TENSOR ? target : -1;
  }

  #rank(row) {
    return this.#layout.ranks[this.#index.nth[row]];
  }

  /** Step 47. Equal names get one number, since aliases compare them: a name may be long, and shared by all. */
  #checkAxes() {
    const column = this.#columns.get("axes");
    if (column === undefined) return;
    const { bytes } = this.#index, names = new Interner(bytes), cursor = new Cursor(bytes), ids = [];
    this.#axisStarts = new Uint32Array(column.starts.length + 1);
    column.starts.forEach((start, pick) => {
      cursor.at = start;
      for (let rest = cursor.next().length; rest > 0; rest -= 1) {
        const { body, at } = cursor.next();
        ids.push(names.intern(body, at));
      }
      this.#axisStarts[pick + 1] = ids.length;
    });
    this.#axisIds = Int32Array.from(ids);
    column.picks.forEach((pick, row) => {
      const tensor = pick < 0 ? -1 : this.#tensor(row);
      if (tensor < 0) return;
      const count = this.#axisStarts[pick + 1] - this.#axisStarts[pick];
      if (count !== this.#rank(tensor)) fail("SCHEMA", `${count} names of axes`, this.#index.path(row));
    });
  }

  /** Step 48. */
  #checkKeys() {
    for (const row of this.#index.rows[NODE]) {
      if ((this.#index.form(row) === FORM_KEYS) !== this.says("keys", row)) {
        fail("SCHEMA", "a node of form keys without keys, or another one with keys", this.#index.path(row));
      }
    }
  }

  /** Step 49. */
  #checkAliases() {
    const index = this.#index, cursor = new Cursor(index.bytes), column = this.#columns.get("perm");
    const isChecked = new Uint8Array(column === undefined ? 0 : column.starts.length);
    for (const row of index.rows[ALIAS]) {
      const tensor = this.#tensor(row);
      if (tensor < 0) fail("ALIAS", "the target is no tensor before it", index.path(row));
      const pick = this.#pick("perm", row);
      if (pick < 0) continue;
      const rank = this.#rank(tensor);
      cursor.at = column.starts[pick];
      if (cursor.next().length !== rank) fail("ALIAS", "a permutation of a wrong length", index.path(row));
      if (isChecked[pick]) continue;
      this.#checkPerm(cursor, rank, row);
      isChecked[pick] = 1;
    }
  }

  /** Reads a permutation whose head was read last. */
  #checkPerm(cursor, rank, row) {
    const seen = new Uint8Array(rank), path = () => this.#index.path(row);
    let identity = true;
    for (let i = 0; i < rank; i += 1) {
      const axis = cursor.next().integer();
      if (axis < 0n || axis >= rank || seen[Number(axis)]) fail("ALIAS", "no permutation", path());
      seen[Number(axis)] = 1;
      identity &&= axis === BigInt(i);
    }
    if (identity) fail("ALIAS", "the identity is no permutation to write", path());
  }

  /** Step 50. */
  #checkRepeats() {
    const index = this.#index;
    for (const row of index.rows[ALIAS]) {
      const target = index.target(row);
      for (const name of ["role", "trainable"]) {
        const pick = this.#pick(name, row);
        if (pick >= 0 && pick === this.#pick(name, target)) fail("NONCANONICAL", `repeats ${name}`, index.path(row));
      }
      const own = this.#pick("axes", row), other = this.#pick("axes", target);
      if (own >= 0 && other >= 0 && this.#repeatsAxes(row, own, other)) {
        fail("NONCANONICAL", "repeats axes", index.path(row));
      }
    }
  }

  #repeatsAxes(row, own, other) {
    const perm = this.perm(row);
    if (perm === undefined) return own === other;
    const from = this.#axisStarts[own], to = this.#axisStarts[other];
    return perm.every((axis, i) => this.#axisIds[from + i] === this.#axisIds[to + axis]);
  }

  /**
   * @param {number} row of an alias
   * @returns {readonly number[] | undefined}
   */
  perm(row) {
    const pick = this.#pick("perm", row);
    return pick < 0 ? undefined : cached(this.#perms, pick, () => this.value("perm", row).map(Number));
  }

  /**
   * @param {number} row of a tensor or an alias
   * @returns {readonly number[]} its shape
   */
  shape(row) {
    const { types, nth } = this.#index;
    if (types[row] === TENSOR) return Object.freeze(this.#layout.shape(nth[row]));
    const target = this.#index.target(row);
    return this.#turned(this.#shapes, target, row, () => this.#layout.shape(nth[target]));
  }

  /** What `of` gives, in the order of an alias's axes. It is made once for each permutation of what has this number. */
  #turned(known, number, row, of) {
    const key = number * PICKS + this.#pick("perm", row) + 1;
    return cached(known, key, () => {
      const items = of();
      return this.perm(row)?.map((axis) => items[axis]) ?? items;
    });
  }

  /**
   * What an entry has of a sparse column: its own, or what an alias takes over (section 3.4).
   * @param {number} row
   * @param {string} name
   * @returns {import("./msgpack.js").Value | undefined}
   */
  effective(row, name) {
    const own = this.value(name, row);
    if (own !== undefined || this.#index.types[row] !== ALIAS) return own;
    const target = this.#index.target(row), taken = this.value(name, target);
    if (name !== "axes" || taken === undefined) return taken;
    return this.#turned(this.#axes, this.#pick("axes", target), row, () => taken);
  }
}
