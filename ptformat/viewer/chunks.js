import { allocate } from "./allocate.js";
import { fail, FormatError } from "./errors.js";
import { decodePlanes } from "./planes.js";
import { PLANES, RAW, TENSOR } from "./schema.js";
import { readExactly } from "./sources.js";
import { xxh3 } from "./xxh3.js";
import { decodeFrame } from "./zstd.js";

/** Reads the chunks of the tensors. Here `k` is the number of a tensor among the tensors. */
export class Chunks {
  #index;
  #layout;

  /**
   * @param {import("./index.js").Index} index
   * @param {import("./layout.js").Layout} layout
   */
  constructor(index, layout) {
    this.#index = index;
    this.#layout = layout;
  }

  /**
   * The decoded bytes of each chunk of a tensor, in order. They are good only until the next one is asked for.
   * @param {import("./sources.js").Source} source
   * @param {number} k
   * @yields {{chunk: number, bytes: Uint8Array}}
   * @throws {import("./errors.js").FormatError} CHECKSUM, CODEC or LIMIT
   */
  async *each(source, k) {
    const layout = this.#layout, { chunkStarts } = layout;
    let offset = layout.offsets[k], room;
    for (let chunk = chunkStarts[k]; chunk < chunkStarts[k + 1]; chunk += 1) {
      const stored = await this.#read(source, k, chunk, offset);
      if (layout.codec(chunk) === RAW) yield { chunk, bytes: stored };
      else {
        const length = layout.decoded(k, chunk);
        room ??= allocate(Uint8Array, length);
        const bytes = room.subarray(0, length);
        this.#decode(k, chunk, stored, bytes);
        yield { chunk, bytes };
      }
      offset += stored.length;
    }
  }

  /**
   * Decodes a whole tensor.
   * @param {import("./sources.js").Source} source
   * @param {number} k
   * @param {Uint8Array} out as long as the tensor
   * @returns {Promise<void>}
   * @throws {import("./errors.js").FormatError} CHECKSUM, CODEC or LIMIT
   */
  async all(source, k, out) {
    const layout = this.#layout, { chunkStarts } = layout;
    let offset = layout.offsets[k], at = 0;
    for (let chunk = chunkStarts[k]; chunk < chunkStarts[k + 1]; chunk += 1) {
      const length = layout.decoded(k, chunk);
      const stored = await this.#read(source, k, chunk, offset);
      this.#decode(k, chunk, stored, out.subarray(at, at + length));
      offset += stored.length;
      at += length;
    }
  }

  /** The stored bytes of a chunk, which are those that were written. */
  async #read(source, k, chunk, offset) {
    const stored = await readExactly(source, offset, this.#layout.stored(chunk));
    if (xxh3(stored) !== this.#layout.sum(chunk)) fail("CHECKSUM", `chunk ${chunk} is damaged`, this.#path(k));
    return stored;
  }

  #decode(k, chunk, stored, out) {
    const codec = this.#layout.codec(chunk);
    try {
      if (codec === RAW) out.set(stored);
      else if (codec === PLANES) decodePlanes(stored, out, this.#layout.dtype(k));
      else decodeFrame(stored, out);
    } catch (error) {
      throw error instanceof FormatError ? error.at(this.#path(k)) : error;
    }
  }

  #path(k) {
    return this.#index.path(this.#index.rows[TENSOR][k]);
  }
}
