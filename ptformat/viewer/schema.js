import { ARRAY, BINARY, INTEGER, MAP, STRING } from "./msgpack.js";

/** Section 3.2. The keys of the whole file, with their kinds. */
export const FILE_KEYS = Object.freeze({
  requires: ARRAY, chunk: INTEGER, path: STRING, value: ARRAY,
  convention: STRING, dialect: STRING, metadata: MAP, provenance: MAP,
});

/** The packed columns, with the bytes of an item. */
export const PACKED = Object.freeze({
  type: 1, dtype: 1, rank: 1, dims: 8, codec: 1, stored: 4, sum: 8, alias: 4, form: 1,
});

/** The sparse columns in the order of their names. */
export const SPARSE = Object.freeze(["attrs", "axes", "class", "keys", "module", "perm", "role", "trainable"]);

/** Every key that this version knows, with its kind. */
export const KINDS_OF_KEYS = new Map([
  ...Object.entries(FILE_KEYS),
  ...Object.keys(PACKED).map((key) => [key, BINARY]),
  ...SPARSE.map((key) => [key, ARRAY]),
]);

export const REQUIRED = Object.freeze(["requires", "chunk", "path", "value", ...Object.keys(PACKED)]);
export const NOT_EMPTY = Object.freeze(["convention", "dialect", "metadata", "provenance"]);

/** Types of entries. */
export const TENSOR = 0;
export const ALIAS = 1;
export const VALUE = 2;
export const NODE = 3;
export const TYPE_NAMES = Object.freeze(["tensor", "alias", "value", "node"]);

/** The types of entries that may have an item of a sparse column. */
export const OWNERS = Object.freeze({
  attrs: [TENSOR, NODE], axes: [TENSOR, ALIAS], class: [TENSOR, NODE], keys: [NODE], module: [NODE], perm: [ALIAS],
  role: [TENSOR, ALIAS], trainable: [TENSOR, ALIAS],
});

/** Forms of nodes (section 3.5). A place without a node is a map. */
export const FORM_MAP = 0;
export const FORM_LIST = 1;
export const FORM_TUPLE = 2;
export const FORM_NAMEDTUPLE = 3;
export const FORM_FLAT = 4;
export const FORM_KEYS = 5;
export const FORM_PART = 6;
export const FORM_NAMES = Object.freeze(["map", "list", "tuple", "namedtuple", "flat", "keys", "part"]);

/** Codecs (section 6). */
export const RAW = 0;
export const ZSTD = 1;
export const PLANES = 2;

/** Features (section 11): this version defines none. */
export const FEATURES = new Set();
