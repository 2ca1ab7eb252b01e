import { unescapeSegment } from "./paths.js";
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
   * @type {[import("./msgpack.js").Value | number, Container | Leaf][]}
   */
  children = [];

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
    return this.children.find(([other]) => other === key)?.[1];
  }
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
      children.push([keyOf(structure, facts, place, around, children.length), made[place]]);
    }
  }
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

function keyOf(structure, facts, place, around, position) {
  const { places, forms } = structure, form = forms[around];
  if (form === FORM_KEYS) return facts.value("keys", places.rows[around])[position];
  if (form === FORM_NAMES.indexOf("list") || form === FORM_NAMES.indexOf("tuple")) return position;
  if (form !== FORM_FLAT) return unescapeSegment(places.segment(place));
  const segments = [];
  for (let at = place; at !== around; at = places.above(at)) segments.push(unescapeSegment(places.segment(at)));
  return segments.reverse().join(".");
}
