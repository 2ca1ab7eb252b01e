import { unescapeSegments } from "./paths.js";
import { FORM_FLAT, FORM_KEYS, FORM_MAP, FORM_NAMES, NODE } from "./schema.js";

/** A leaf of the tree. */
export class Leaf {
  /** @param {string} path of its entry */
  constructor(path) {
    this.path = path;
  }
}

/** An inner place of the tree. */
export class Container {
  /**
   * Its children in the tree's order, with their keys: positions in a list or tuple, any msgpack values in a container
   * of form keys, else strings. Two keys may be equal in JavaScript and not here, as two byte strings are.
   * @type {readonly [import("./msgpack.js").Value | number, Container | Leaf][]}
   */
  children = [];
  #byKey;

  /**
   * @param {string} form
   * @param {string} path
   */
  constructor(form, path) {
    this.form = form;
    this.path = path;
  }

  /**
   * @param {import("./msgpack.js").Value | number} key
   * @returns {Container | Leaf | undefined} the first child with this key
   */
  get(key) {
    this.#byKey ??= firstByKey(this.children);
    return this.#byKey.get(key);
  }
}

function firstByKey(children) {
  const byKey = new Map();
  for (const [key, child] of children) if (!byKey.has(key)) byKey.set(key, child);
  return byKey;
}

/**
 * The tree of a file (section 3.6). The places of the path tree come in the order in which that algorithm makes them:
 * one that is no prefix of flat keys, and no part, is a leaf or a container in the container around it.
 * @param {import("./index.js").Index} index
 * @param {import("./structure.js").Structure} structure
 * @param {import("./facts.js").Facts} facts
 * @returns {Container | Leaf}
 */
export function buildTree(index, structure, facts) {
  const { places } = structure, made = new Array(places.size);
  for (let place = 0; place < places.size; place += 1) {
    if (structure.isPrefix(place) && !isLeaf(index, places.rows[place])) continue;
    made[place] = makePlace(index, structure, place);
    if (place > 0) {
      const around = structure.around(place), children = made[around].children;
      children.push(Object.freeze([keyOf(structure, facts, made, place, around), made[place]]));
    }
  }
  for (const place of made) if (place instanceof Container) Object.freeze(place.children);
  return made[0];
}

function isLeaf(index, row) {
  return row >= 0 && index.types[row] !== NODE;
}

function makePlace(index, structure, place) {
  const { places, forms } = structure, row = places.rows[place], path = places.path(place);
  if (isLeaf(index, row)) return new Leaf(path);
  return new Container(FORM_NAMES[forms[place] < 0 ? FORM_MAP : forms[place]], path);
}

function keyOf(structure, facts, made, place, around) {
  const { places, forms } = structure, form = forms[around], position = made[around].children.length;
  if (form === FORM_KEYS) return facts.value("keys", places.rows[around])[position];
  if (form === FORM_NAMES.indexOf("list") || form === FORM_NAMES.indexOf("tuple")) return position;
  if (form !== FORM_FLAT) return unescapeSegments(places.segment(place));
  const { path } = made[around];
  return unescapeSegments(made[place].path.slice(path === "" ? 0 : path.length + 1));
}
