import { Chunks } from "./chunks.js";
import { readContainer } from "./container.js";
import { contentDigest, tensorSums } from "./digest.js";
import { viewElements } from "./elements.js";
import { CapacityError } from "./errors.js";
import { Facts } from "./facts.js";
import { Index } from "./index.js";
import { Layout } from "./layout.js";
import { OWN_MAX_BUFFER } from "./limits.js";
import { check } from "./msgpack.js";
import { PathTree } from "./path-tree.js";
import { permute } from "./permute.js";
import { ALIAS, FORM_NAMES, NODE, TENSOR, TYPE_NAMES, VALUE } from "./schema.js";
import { sourceOf } from "./sources.js";
import { readSparse } from "./sparse.js";
import { Structure } from "./structure.js";
import { buildTree } from "./tree.js";
import { verify } from "./verify.js";

/**
 * @typedef {object} Entry what the index says of one entry; keys that it says nothing of are left out
 * @property {number} row
 * @property {string} type tensor, alias, value or node
 * @property {string} path as it stands in the file
 * @property {string} [dtype] tensor, alias
 * @property {number[]} [shape] tensor, alias
 * @property {number} [bytes] tensor: its decoded bytes
 * @property {number} [offset] tensor: where it starts in the file
 * @property {number} [stored] tensor: its stored bytes
 * @property {string} [target] alias: the path of its target
 * @property {number[]} [perm] alias
 * @property {string[]} [axes] tensor, alias; those of an alias may be its target's, as role and trainable
 * @property {string} [role] tensor, alias
 * @property {boolean} [trainable] tensor, alias
 * @property {import("./msgpack.js").Value} [value] value
 * @property {string} [form] node
 * @property {import("./msgpack.js").Value[]} [keys] node
 * @property {string} [module] node
 * @property {string} [class] tensor, node
 * @property {Map<string, import("./msgpack.js").Value>} [attrs] tensor, node
 */

/**
 * @typedef {object} Tensor
 * @property {string} path
 * @property {string} dtype
 * @property {number[]} shape
 * @property {number} count elements
 * @property {Uint8Array} bytes as section 5 lays them out
 * @property {ArrayBufferView} data the same as a typed array; see viewElements
 */

/** For each type of entry the sparse columns that it may have, but for perm. */
const SAID = [["axes", "role", "trainable", "class", "attrs"], ["axes", "role", "trainable"], [],
  ["keys", "module", "class", "attrs"]];

/** An open file. */
export class TensorFile {
  #entries;
  #tree;
  #maxTensorBytes;

  /** @private */
  constructor(source, container, options) {
    check(container.index);
    const index = new Index(container.index);
    const layout = new Layout(index, container.indexOffset);
    const places = new PathTree(index);
    const columns = readSparse(index);
    const facts = new Facts(index, layout, columns);
    const structure = new Structure(index, places, facts, columns.get("keys"));
    /** Where the bytes come from. */
    this.source = source;
    /** The file's minor version. */
    this.minor = container.minor;
    /** The chunk size. */
    this.chunk = layout.chunk;
    /** The number of entries. */
    this.size = index.size;
    /** The parts that the other modules of this reader share. */
    this.inner = Object.freeze({ index, layout, places, facts, structure, chunks: new Chunks(index, layout) });
    this.#maxTensorBytes = Math.min(options.maxTensorBytes ?? OWN_MAX_BUFFER, OWN_MAX_BUFFER);
  }

  /**
   * @param {import("./sources.js").Source | Uint8Array | ArrayBuffer | Blob} what
   * @param {{maxTensorBytes?: number}} [options] the largest tensor to make
   * @returns {Promise<TensorFile>}
   * @throws {import("./errors.js").FormatError}
   * @throws {CapacityError}
   */
  static async open(what, options = {}) {
    const source = sourceOf(what);
    return new TensorFile(source, await readContainer(source), options);
  }

  /** @returns {string | undefined} whose names and layouts these are */
  get convention() {
    return this.inner.index.say("convention");
  }

  /** @returns {string | undefined} */
  get dialect() {
    return this.inner.index.say("dialect");
  }

  /** @returns {Map<string, import("./msgpack.js").Value> | undefined} */
  get metadata() {
    return this.inner.index.say("metadata");
  }

  /** @returns {Map<string, import("./msgpack.js").Value> | undefined} */
  get provenance() {
    return this.inner.index.say("provenance");
  }

  /** @returns {readonly Entry[]} in row order */
  get entries() {
    this.#entries ??= Object.freeze(Array.from({ length: this.size }, (_, row) => this.entry(row)));
    return this.#entries;
  }

  /**
   * @param {number} row
   * @returns {Entry}
   */
  entry(row) {
    const { index, facts } = this.inner, type = index.types[row];
    const entry = { row, type: TYPE_NAMES[type], path: index.path(row) };
    if (type === TENSOR) Object.assign(entry, this.#describeTensor(row));
    if (type === ALIAS) {
      const target = index.target(row);
      Object.assign(entry, { target: index.path(target), dtype: this.#dtype(target).name, shape: facts.shape(row) });
      if (facts.says("perm", row)) entry.perm = facts.perm(row);
    }
    if (type === VALUE) entry.value = index.value(row);
    if (type === NODE) entry.form = FORM_NAMES[index.form(row)];
    for (const name of SAID[type]) {
      const said = facts.effective(row, name);
      if (said !== undefined) entry[name] = said;
    }
    return entry;
  }

  #describeTensor(row) {
    const { index, layout } = this.inner, k = index.nth[row];
    const stored = layout.ends[k] - layout.offsets[k];
    return {
      dtype: layout.dtype(k).name, shape: layout.shape(k), bytes: layout.bytes[k], offset: layout.offsets[k], stored,
    };
  }

  #dtype(row) {
    return this.inner.layout.dtype(this.inner.index.nth[row]);
  }

  /**
   * @param {string} path
   * @returns {Entry | undefined}
   */
  info(path) {
    const row = this.inner.places.find(path);
    return row < 0 ? undefined : this.entry(row);
  }

  /** @returns {import("./tree.js").Container | import("./tree.js").Leaf} */
  get tree() {
    this.#tree ??= buildTree(this.inner.index, this.inner.structure, this.inner.facts);
    return this.#tree;
  }

  /**
   * Reads one tensor, and only its chunks. Their checksums are checked.
   * @param {string} path of a tensor or an alias
   * @returns {Promise<Tensor>}
   * @throws {import("./errors.js").FormatError} CHECKSUM, CODEC or LIMIT
   * @throws {CapacityError} if the tensor is larger than maxTensorBytes
   * @throws {RangeError} if there is no tensor with this path
   */
  async tensor(path) {
    const { index, layout, facts, places, chunks } = this.inner;
    const row = places.find(path), type = index.types[row];
    if (row < 0 || (type !== TENSOR && type !== ALIAS)) throw new RangeError(`no tensor ${JSON.stringify(path)}`);
    const tensorRow = type === ALIAS ? index.target(row) : row, k = index.nth[tensorRow];
    const { name, bits } = layout.dtype(k), size = layout.bytes[k];
    const perm = type === ALIAS ? facts.perm(row) : undefined;
    // Elements of less than a byte are unpacked for a permutation.
    const needed = perm === undefined ? size : Math.max(size, layout.counts[k]);
    if (needed > this.#maxTensorBytes) throw new CapacityError(`a tensor of ${size} bytes is too large to be read`);
    let bytes = new Uint8Array(size);
    await chunks.all(this.source, k, bytes);
    if (perm !== undefined) bytes = permute(bytes, bits, layout.shape(k), perm);
    return {
      path, dtype: name, shape: facts.shape(row), count: layout.counts[k], bytes, data: viewElements(name, bytes),
    };
  }

  /**
   * Checks the whole file to the last bit (section 10.3).
   * @returns {Promise<void>}
   * @throws {import("./errors.js").FormatError}
   */
  async verify() {
    const { index, layout, chunks } = this.inner;
    await verify(this.source, index, layout, chunks);
  }

  /**
   * @returns {Promise<string>} the content digest (section 8.2)
   * @throws {import("./errors.js").FormatError} CHECKSUM, CODEC or LIMIT
   */
  async digest() {
    return contentDigest(this.inner.index, await tensorSums(this));
  }
}
