import { pack } from "./build.js";

/**
 * Sections 3.5, 3.6 and 4.2 as they stand in the text, without a thought for speed: what the reader is compared with.
 * Entries are nodes and values, as build.js takes them.
 */

export function segmentsOf(path) {
  if (path === "") return [];
  return path.match(/(?:\\.|[^.\\])+/g).map((s) => (s === "\\e" ? "" : s.replace(/\\([.\\])/g, "$1")));
}

const escape = (segment) => (segment === "" ? "\\e" : segment.replace(/[\\.]/g, "\\$&"));
export const pathOf = (segments) => segments.map(escape).join(".");

export function split(key, keys) {
  const segments = [];
  let start = 0;
  for (let p = 0; p < key.length; p += 1) {
    if (key[p] !== ".") continue;
    if (p > start && p + 1 < key.length && !keys.has(key.slice(0, p))) {
      segments.push(key.slice(start, p));
      start = p + 1;
    }
  }
  return [...segments, key.slice(start)];
}

class World {
  constructor(entries) {
    this.entries = entries.map((entry) => ({ ...entry, segments: segmentsOf(entry.path) }));
    this.at = new Map(this.entries.map((entry) => [entry.path, entry]));
    this.inner = new Set();
    for (const { segments } of this.entries) {
      for (let i = 0; i < segments.length; i += 1) this.inner.add(pathOf(segments.slice(0, i)));
    }
  }

  /** A node other than a part at these segments. */
  nodeAt(segments) {
    const entry = this.at.get(pathOf(segments));
    return entry?.type === "node" && entry.form !== "part" ? entry : undefined;
  }

  /** The container around a path: its form and where it stands. */
  around(segments) {
    for (let i = segments.length - 1; i >= 0; i -= 1) {
      const found = this.nodeAt(segments.slice(0, i));
      if (found === undefined) continue;
      if (found.form === "flat" || i === segments.length - 1) return { form: found.form, path: found.path };
      break;
    }
    return segments.length === 0 ? undefined : { form: "map", path: pathOf(segments.slice(0, -1)) };
  }

  childSegments(node) {
    const depth = node.segments.length, seen = [];
    for (const { segments } of this.entries) {
      if (segments.length <= depth || pathOf(segments.slice(0, depth)) !== node.path) continue;
      if (!seen.includes(segments[depth])) seen.push(segments[depth]);
    }
    return seen;
  }
}

/** @returns {string | undefined} the code of the first failure of steps 43 and 51 to 56 */
export function verdict(entries) {
  const world = new World(entries), { inner } = world;
  const nodes = world.entries.filter(({ type }) => type === "node");
  if (world.at.size !== entries.length) return "DUPLICATE";
  if (entries.length === 0) return "TREE";
  if (world.entries.some(({ type, path }) => type !== "node" && inner.has(path))) return "TREE";
  for (const [row, { type, path, segments }] of world.entries.entries()) {
    const before = world.entries.slice(0, row).some((other) => {
      return other.segments.length > segments.length && pathOf(other.segments.slice(0, segments.length)) === path;
    });
    if (type === "node" && before) return "TREE";
  }
  const says = (entry) => ["module", "class", "attrs"].some((name) => entry[name] !== undefined);
  for (const entry of nodes) {
    const form = world.around(entry.segments)?.form;
    if (entry.form === "part" && form !== "flat") return "TREE";
    if (entry.form === "part" && !says(entry)) return "NONCANONICAL";
    if (entry.form === "map" && inner.has(entry.path) && !says(entry) && form !== "flat") return "NONCANONICAL";
  }
  for (const entry of nodes) {
    const children = world.childSegments(entry);
    if (["list", "tuple"].includes(entry.form) && children.some((segment, i) => segment !== String(i))) return "TREE";
    if (entry.form !== "keys") continue;
    if (entry.keys.length !== children.length) return "TREE";
    if (new Set(entry.keys.map((key) => String(pack(key)))).size !== children.length) return "TREE";
    if (entry.keys.every((key) => typeof key === "string")) return "NONCANONICAL";
  }
  for (const { segments } of world.entries) {
    for (let i = 1; i <= segments.length; i += 1) {
      if (world.around(segments.slice(0, i)).form === "map" && segments[i - 1].includes(".")) return "NONCANONICAL";
    }
  }
  for (const flat of nodes.filter(({ form }) => form === "flat")) {
    const depth = flat.segments.length;
    const within = world.entries.filter(({ segments }) => world.around(segments)?.path === flat.path);
    const values = within.filter(({ form }) => form !== "part");
    const keyOf = ({ segments }) => segments.slice(depth).join(".");
    const keys = new Set(values.map(keyOf));
    if (keys.size !== values.length) return "TREE";
    for (const entry of within) {
      if (pathOf(split(keyOf(entry), keys)) !== pathOf(entry.segments.slice(depth))) return "NONCANONICAL";
    }
  }
  return undefined;
}

/** The tree of right entries, as JSON: a container is its form and its pairs, a leaf its path. */
export function tree(entries) {
  const world = new World(entries);
  const rootEntry = world.at.get("");
  if (rootEntry !== undefined && rootEntry.type !== "node") return "";
  const made = (form) => ({ form, children: [] });
  const root = made(rootEntry?.form ?? "map");
  for (const entry of world.entries) {
    if (entry.path === "" || entry.form === "part") continue;
    const { segments } = entry;
    let at = root, start = 0;
    for (let end = 1; end < segments.length; end += 1) {
      if (at.form === "flat" && world.nodeAt(segments.slice(0, end)) === undefined) continue;
      const key = segments.slice(start, end).join(".");
      let child = at.children.find(([other]) => other === key)?.[1];
      if (child === undefined) at.children.push([key, child = made("map")]);
      at = child;
      start = end;
    }
    const key = segments.slice(start).join(".");
    at.children.push([key, entry.type === "node" ? Object.assign(made(entry.form), { keys: entry.keys }) : entry.path]);
  }
  const finish = (place) => {
    if (typeof place === "string") return place;
    const isList = place.form === "list" || place.form === "tuple";
    return { form: place.form, children: place.children.map(([key, child], i) => {
      return [isList ? i : place.form === "keys" ? String(pack(place.keys[i])) : key, finish(child)];
    }) };
  };
  if (rootEntry?.keys !== undefined) root.keys = rootEntry.keys;
  return finish(root);
}
