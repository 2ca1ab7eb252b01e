/**
 * @typedef {object} Source where a file's bytes come from
 * @property {number} size bytes of the file
 * @property {(offset: number, length: number) => Uint8Array | Promise<Uint8Array>} read
 */

/** The same bytes as a Uint8Array of no subclass: slice() of Node's Buffer means something else. */
function plain(bytes) {
  if (bytes instanceof ArrayBuffer) return new Uint8Array(bytes);
  return bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A file that is in memory. */
export class BytesSource {
  #bytes;

  /** @param {Uint8Array | ArrayBuffer} bytes which must not change while the file is open */
  constructor(bytes) {
    this.#bytes = plain(bytes);
    this.size = this.#bytes.length;
  }

  read(offset, length) {
    return this.#bytes.subarray(offset, offset + length);
  }
}

/** A Blob, such as a file that was chosen or dropped in a page. */
export class BlobSource {
  #blob;

  /** @param {Blob} blob */
  constructor(blob) {
    this.#blob = blob;
    this.size = blob.size;
  }

  async read(offset, length) {
    return new Uint8Array(await this.#blob.slice(offset, offset + length).arrayBuffer());
  }
}

/**
 * @param {Source | Uint8Array | ArrayBuffer | Blob} what
 * @returns {Source}
 */
export function sourceOf(what) {
  if (what instanceof Uint8Array || what instanceof ArrayBuffer) return new BytesSource(what);
  if (typeof Blob !== "undefined" && what instanceof Blob) return new BlobSource(what);
  return what;
}

/**
 * Reads exactly that many bytes, which the caller has checked to be in the file.
 * @param {Source} source
 * @param {number} offset
 * @param {number} length
 * @returns {Promise<Uint8Array>}
 * @throws {Error} if the source gives others than it announced
 */
export async function readExactly(source, offset, length) {
  const bytes = plain(await source.read(offset, length));
  if (bytes.length !== length) throw new Error(`${bytes.length} bytes at ${offset} instead of ${length}`);
  return bytes;
}

const WINDOW = 1048576;

/** Reads a source from front to back in pieces that do not get too small. */
export class Window {
  #source;
  #start = 0;
  #bytes = new Uint8Array(0);

  /** @param {Source} source */
  constructor(source) {
    this.#source = source;
    this.size = source.size;
  }

  /**
   * @param {number} offset
   * @param {number} length
   * @returns {Uint8Array | Promise<Uint8Array>} at once if the bytes are here already
   */
  read(offset, length) {
    const from = offset - this.#start;
    if (from >= 0 && from + length <= this.#bytes.length) return this.#bytes.subarray(from, from + length);
    return this.#load(offset, length);
  }

  async #load(offset, length) {
    const bytes = await readExactly(this.#source, offset, Math.min(Math.max(length, WINDOW), this.size - offset));
    this.#start = offset;
    this.#bytes = bytes;
    return bytes.subarray(0, length);
  }
}
