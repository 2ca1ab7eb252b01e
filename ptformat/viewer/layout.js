import { DTYPES, decodedBytes } from "./dtypes.js";
import { fail } from "./errors.js";
import {
  ALIGN, CHUNK_STEP, MAX_CHUNK_BYTES, MAX_FILE_BYTES, MAX_INTEGER, MAX_RANK, MAX_TENSOR_BYTES, MAX_TOTAL_BYTES,
  MAX_ZSTD_RATIO, PAGE_ALIGN, PAGE_ALIGN_FROM,
} from "./limits.js";
import { Cursor } from "./msgpack.js";
import { PLANES, RAW, TENSOR } from "./schema.js";

/**
 * The rule of section 2.3.
 * @param {number} position where the tensor before ends
 * @param {number} bytes decoded bytes of the tensor
 * @param {boolean} raw whether its first chunk is raw
 * @returns {number} where the tensor starts
 */
export function alignedOffset(position, bytes, raw) {
  const step = bytes >= PAGE_ALIGN_FROM && raw ? PAGE_ALIGN : ALIGN;
  return Math.ceil(position / step) * step;
}

/**
 * Shapes, chunks and offsets of the tensors: steps 29 to 41 of section 10.2. Here `k` is the number of a tensor among
 * the tensors. Sums and products are float64: one that is beyond 2^53 - 1 is never rounded down to it or below.
 */
export class Layout {
  #index;
  #dtypes;
  #dims;
  #codec;
  #stored;
  #sum;

  /**
   * @param {import("./index.js").Index} index
   * @param {number} indexOffset where the tensors have to end
   * @throws {import("./errors.js").FormatError}
   */
  constructor(index, indexOffset) {
    this.#index = index;
    this.#dtypes = index.column("dtype");
    this.#dims = index.keys.get("dims").body;
    this.#codec = index.column("codec");
    this.#stored = index.keys.get("stored").body;
    this.#sum = index.keys.get("sum").body;
    this.size = index.rows[TENSOR].length;
    this.#checkChunkSize();
    this.#checkDtypes();
    this.#readShapes();
    this.#readChunks();
    this.#checkCodecs();
    this.#checkStored();
    this.#place(indexOffset);
  }

  #path(k) {
    return this.#index.path(this.#index.rows[TENSOR][k]);
  }

  /** Steps 29 and 30. */
  #checkChunkSize() {
    const { bytes, keys } = this.#index;
    const chunk = new Cursor(bytes, keys.get("chunk").start).next().integer();
    if (chunk <= 0n || chunk % BigInt(CHUNK_STEP) !== 0n) fail("CHUNK", `a chunk size of ${chunk}`);
    if (chunk > MAX_CHUNK_BYTES) fail("LIMIT", `a chunk size of ${chunk}`);
    /** The chunk size. */
    this.chunk = Number(chunk);
  }

  /** Steps 31 and 32. */
  #checkDtypes() {
    const ranks = this.#index.column("rank");
    this.#dtypes.forEach((code, k) => {
      if (code >= DTYPES.length) fail("DTYPE", `the unknown element type ${code}`, this.#path(k));
    });
    ranks.forEach((rank, k) => {
      if (rank > MAX_RANK) fail("SHAPE", `${rank} axes`, this.#path(k));
    });
    this.ranks = ranks;
    this.dimStarts = new Uint32Array(this.size);
    for (let k = 1; k < this.size; k += 1) this.dimStarts[k] = this.dimStarts[k - 1] + ranks[k - 1];
  }

  /**
   * @param {number} k
   * @returns {import("./dtypes.js").Dtype}
   */
  dtype(k) {
    return DTYPES[this.#dtypes[k]];
  }

  /** The dimension of an axis, counted through all tensors; beyond 2^53 - 1 it is not exact. */
  #dim(axis) {
    const { view } = this.#index, at = this.#dims + 8 * axis;
    return view.getUint32(at + 4, true) * 4294967296 + view.getUint32(at, true);
  }

  /**
   * @param {number} k
   * @returns {number[]}
   */
  shape(k) {
    return Array.from({ length: this.ranks[k] }, (_, axis) => this.#dim(this.dimStarts[k] + axis));
  }

  /** Steps 33 to 35. */
  #readShapes() {
    const axes = this.#index.items("dims"), { ranks, dimStarts } = this;
    for (let axis = 0; axis < axes; axis += 1) {
      if (this.#dim(axis) > MAX_INTEGER) fail("SHAPE", "a dimension beyond 2^53 - 1");
    }
    /** Elements and decoded bytes of each tensor. */
    this.counts = new Float64Array(this.size);
    this.bytes = new Float64Array(this.size);
    for (let k = 0; k < this.size; k += 1) {
      let product = 1, empty = false;
      for (let axis = dimStarts[k]; axis < dimStarts[k] + ranks[k]; axis += 1) {
        const dim = this.#dim(axis);
        if (dim === 0) empty = true;
        else product *= dim;
        if (product > MAX_INTEGER) fail("SHAPE", "too many elements", this.#path(k));
      }
      const { bits } = this.dtype(k);
      if (product * (bits / 8) > MAX_TENSOR_BYTES) fail("SHAPE", "too many bytes", this.#path(k));
      this.counts[k] = empty ? 0 : product;
      this.bytes[k] = decodedBytes(this.counts[k], bits);
    }
    let total = 0;
    for (const bytes of this.bytes) {
      total += bytes;
      if (total > MAX_TOTAL_BYTES) fail("LIMIT", "too many bytes of all tensors together");
    }
  }

  /** Step 36. */
  #readChunks() {
    let total = 0;
    for (const bytes of this.bytes) total += Math.ceil(bytes / this.chunk);
    for (const name of ["codec", "stored", "sum"]) {
      if (this.#index.items(name) !== total) fail("CHUNK", `${name} has not one item for each of ${total} chunks`);
    }
    /** The chunks of tensor k are those from chunkStarts[k] to chunkStarts[k + 1] - 1. */
    this.chunkStarts = new Uint32Array(this.size + 1);
    for (let k = 0; k < this.size; k += 1) {
      this.chunkStarts[k + 1] = this.chunkStarts[k] + Math.ceil(this.bytes[k] / this.chunk);
    }
  }

  /** @returns {number} */
  codec(chunk) {
    return this.#codec[chunk];
  }

  /** @returns {number} stored bytes of a chunk */
  stored(chunk) {
    return this.#index.view.getUint32(this.#stored + 4 * chunk, true);
  }

  /** @returns {bigint} checksum of a chunk */
  sum(chunk) {
    return this.#index.view.getBigUint64(this.#sum + 8 * chunk, true);
  }

  /** @returns {number} decoded bytes of a chunk of tensor k */
  decoded(k, chunk) {
    const last = this.chunkStarts[k + 1] - 1;
    return chunk < last ? this.chunk : this.bytes[k] - (last - this.chunkStarts[k]) * this.chunk;
  }

  #eachChunk(visit) {
    for (let k = 0; k < this.size; k += 1) {
      for (let chunk = this.chunkStarts[k]; chunk < this.chunkStarts[k + 1]; chunk += 1) visit(k, chunk);
    }
  }

  /** Step 37. */
  #checkCodecs() {
    this.#eachChunk((k, chunk) => {
      if (this.#codec[chunk] > PLANES) fail("CODEC", `the unknown codec ${this.#codec[chunk]}`, this.#path(k));
    });
    this.#eachChunk((k, chunk) => {
      if (this.#codec[chunk] !== PLANES || this.dtype(k).component > 0) return;
      fail("CODEC", "planes of elements of one byte", this.#path(k));
    });
  }

  /** Steps 38 and 39. */
  #checkStored() {
    this.#eachChunk((k, chunk) => {
      const stored = this.stored(chunk), decoded = this.decoded(k, chunk);
      const fits = this.#codec[chunk] === RAW ? stored === decoded : stored > 0 && stored < decoded;
      if (!fits) fail("CHUNK", `${stored} stored bytes for a chunk of ${decoded}`, this.#path(k));
    });
    this.#eachChunk((k, chunk) => {
      if (this.decoded(k, chunk) <= MAX_ZSTD_RATIO * this.stored(chunk)) return;
      fail("LIMIT", "a chunk grows too much", this.#path(k));
    });
  }

  /** Steps 40 and 41. */
  #place(indexOffset) {
    /** Where each tensor starts in the file, and where it ends. */
    this.offsets = new Float64Array(this.size);
    this.ends = new Float64Array(this.size);
    let position = ALIGN;
    for (let k = 0; k < this.size; k += 1) {
      const first = this.chunkStarts[k];
      position = alignedOffset(position, this.bytes[k], this.#codec[first] === RAW);
      this.offsets[k] = position;
      for (let chunk = first; chunk < this.chunkStarts[k + 1]; chunk += 1) position += this.stored(chunk);
      this.ends[k] = position;
      if (position > MAX_FILE_BYTES) fail("LIMIT", "the tensors end beyond 2^53 - 1", this.#path(k));
    }
    if (position !== indexOffset) fail("EXTENT", `the tensors end at ${position}, the index begins at ${indexOffset}`);
  }
}
