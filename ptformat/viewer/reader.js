import { allocate } from "./allocate.js";
import { Chunks } from "./chunks.js";
import { readContainer } from "./container.js";
import { contentDigest, tensorSums } from "./digest.js";
import { viewElements } from "./elements.js";
import { CapacityError, shown } from "./errors.js";
import { Facts } from "./facts.js";
import { Index } from "./index.js";
import { Layout } from "./layout.js";
import { check } from "./msgpack.js";
import { checkedOptions } from "./options.js";
import { PathTree } from "./path-tree.js";
import { permute } from "./permute.js";
import { ALIAS, FORM_NAMES, NODE, TENSOR, TYPE_NAMES, VALUE } from "./schema.js";
import { sourceOf, Window } from "./sources.js";
import { readSparse } from "./sparse.js";
import { Structure } from "./structure.js";
import { buildTree } from "./tree.js";
import { verify } from "./verify.js";

/**
 * @typedef {object} Entry what the index says of one entry; keys that it says nothing of are left out. Arrays are
 *   frozen, and entries with equal facts may share them; the maps in it are shared too, and not to be changed
 * @property {number} row
 * @property {string} type tensor, alias, value or node
 * @property {string} path as it stands in the file
 * @property {string} [dtype] tensor, alias
 * @property {readonly number[]} [shape] tensor, alias
 * @property {number} [bytes] tensor: its decoded bytes
 * @property {number} [offset] tensor: where it starts in the file
 * @property {number} [stored] tensor: its stored bytes
 * @property {string} [target] alias: the path of its target
 * @property {readonly number[]} [perm] alias
 * @property {readonly string[]} [axes] tensor, alias; those of an alias may be its target's, as role and trainable
 * @property {string} [role] tensor, alias
 * @property {boolean} [trainable] tensor, alias
 * @property {import("./msgpack.js").Value} [value] value
 * @property {string} [form] node
 * @property {readonly import("./msgpack.js").Value[]} [keys] node
 * @property {string} [module] node
 * @property {string} [class] tensor, node
 * @property {Map<string, import("./msgpack.js").Value>} [attrs] tensor, node
 */

/**
 * @typedef {object} Tensor
 * @property {string} path
 * @property {string} dtype
 * @property {readonly number[]} shape
 * @property {number} count elements
 * @property {Uint8Array} bytes as section 5 lays them out
 * @property {ArrayBufferView} data the same as a typed array; see viewElements
 */

/**
 * @typedef {object} Chunk a piece of a tensor; its bytes are its own
 * @property {string} dtype
 * @property {number} start its first element, counted in row-major order
 * @property {number} count elements
 * @property {Uint8Array} bytes
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
  constructor(source, container, maxTensorBytes) {
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
    this.#maxTensorBytes = maxTensorBytes;
  }

  /**
   * @param {import("./sources.js").Source | import("./sources.js").Bytes | Blob} what
   * @param {import("./options.js").Options} [options]
   * @returns {Promise<TensorFile>}
   * @throws {import("./errors.js").FormatError}
   * @throws {import("./errors.js").SourceError}
   * @throws {CapacityError}
   */
  static async open(what, options = {}) {
    const source = sourceOf(what), { maxIndexBytes, maxTensorBytes } = checkedOptions(options);
    return new TensorFile(source, await readContainer(source, maxIndexBytes), maxTensorBytes);
  }

  /**
   * Closes the source, if it can be closed.
   * @returns {Promise<void>}
   */
  async close() {
    await this.source.close?.();
  }

  static {
    // Node 20 has it, but not every browser.
    if (Symbol.asyncDispose !== undefined) this.prototype[Symbol.asyncDispose] = this.prototype.close;
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
   * @throws {RangeError} if there is no such row
   */
  entry(row) {
    if (!Number.isInteger(row) || row < 0 || row >= this.size) {
      throw new RangeError(`no row ${String(row)}: the file has ${this.size} entries`);
    }
    const { index, layout, facts } = this.inner, type = index.types[row];
    const entry = { row, type: TYPE_NAMES[type], path: index.path(row) };
    if (type === TENSOR) Object.assign(entry, this.#describeTensor(row));
    if (type === ALIAS) {
      const target = index.target(row);
      const { name } = layout.dtype(index.nth[target]);
      Object.assign(entry, { target: index.path(target), dtype: name, shape: facts.shape(row) });
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
    const { index, layout, facts } = this.inner, k = index.nth[row];
    const stored = layout.ends[k] - layout.offsets[k];
    return {
      dtype: layout.dtype(k).name, shape: facts.shape(row), bytes: layout.bytes[k], offset: layout.offsets[k], stored,
    };
  }

  /**
   * @param {string} path
   * @returns {Entry | undefined}
   * @throws {TypeError} if the path is no string
   */
  info(path) {
    const row = this.#find(path);
    return row < 0 ? undefined : this.entry(row);
  }

  #find(path) {
    if (typeof path !== "string") throw new TypeError(`a path is a string, not ${typeof path}`);
    return this.inner.places.find(path);
  }

  /** @returns {number} the row of a tensor or an alias */
  #findTensor(path) {
    const row = this.#find(path), type = row < 0 ? undefined : this.inner.index.types[row];
    if (type === TENSOR || type === ALIAS) return row;
    const why = type === undefined ? "there is no such entry" : `it is a ${TYPE_NAMES[type]}`;
    throw new RangeError(`no tensor ${shown(path)}: ${why}`);
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
   * @throws {import("./errors.js").SourceError}
   * @throws {CapacityError} if the tensor is larger than maxTensorBytes, or there is no room for it
   * @throws {RangeError} if there is no tensor with this path
   */
  async tensor(path) {
    const { index, layout, facts, chunks } = this.inner;
    const row = this.#findTensor(path), k = this.#number(row);
    const { name, bits } = layout.dtype(k), size = layout.bytes[k];
    const perm = index.types[row] === ALIAS ? facts.perm(row) : undefined;
    // Elements of less than a byte are unpacked for a permutation.
    const needed = perm === undefined ? size : Math.max(size, layout.counts[k]);
    if (needed > this.#maxTensorBytes) {
      const most = this.#maxTensorBytes;
      throw new CapacityError(`the tensor ${shown(path)} takes ${needed} bytes, at most ${most} are made`);
    }
    let bytes = allocate(Uint8Array, size);
    await chunks.all(new Window(this.source, layout.ends[k]), k, bytes);
    if (perm !== undefined) bytes = permute(bytes, bits, layout.shape(k), perm);
    return {
      path, dtype: name, shape: facts.shape(row), count: layout.counts[k], bytes, data: viewElements(name, bytes),
    };
  }

  /**
   * The chunks of a tensor in order, each read and decoded when it is asked for: of a tensor of any size only one is in
   * memory. Their checksums are checked. elements() and toTypedArray() take a chunk as they take a tensor.
   * @param {string} path of a tensor or an alias without a permutation
   * @yields {Chunk}
   * @throws {import("./errors.js").FormatError} CHECKSUM, CODEC or LIMIT
   * @throws {import("./errors.js").SourceError}
   * @throws {RangeError} if there is no tensor with this path, or its elements stand in another order in the file
   */
  async *chunks(path) {
    const { index, layout, facts, chunks } = this.inner;
    const row = this.#findTensor(path), k = this.#number(row), { name, bits } = layout.dtype(k);
    if (facts.says("perm", row)) {
      const target = shown(index.path(index.target(row)));
      throw new RangeError(`${shown(path)} permutes the axes of ${target}: read the chunks of that one`);
    }
    let start = 0;
    for await (const { bytes } of chunks.each(new Window(this.source, layout.ends[k]), k)) {
      const count = Math.min(bytes.length * (8 / bits), layout.counts[k] - start);
      yield { dtype: name, start, count, bytes: bytes.slice() };
      start += count;
    }
  }

  /** @returns {number} the number of an entry's tensor among the tensors */
  #number(row) {
    const { index } = this.inner;
    return index.nth[index.types[row] === ALIAS ? index.target(row) : row];
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
