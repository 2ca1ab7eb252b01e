import { CapacityError, SourceError } from "./errors.js";

/**
 * @typedef {object} Source where a file's bytes come from
 * @property {number} size bytes of the file
 * @property {(offset: number, length: number) => Bytes | Promise<Bytes>} read gives exactly so many bytes
 * @property {() => unknown} [close] lets go of what it holds
 */

/** @typedef {ArrayBuffer | ArrayBufferView} Bytes a view is taken as its bytes */

/** Of what kind an object is, whatever realm it comes from: `instanceof` knows those of one realm only. */
const kindOf = (what) => Object.prototype.toString.call(what).slice(8, -1);

const isBytes = (what) => ArrayBuffer.isView(what) || kindOf(what) === "ArrayBuffer";

/** The same bytes as a Uint8Array of no subclass: slice() of Node's Buffer means something else. */
function plain(bytes) {
  if (!ArrayBuffer.isView(bytes)) return new Uint8Array(bytes);
  return bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A file that is in memory. */
export class BytesSource {
  #bytes;

  /**
   * @param {Bytes} bytes which must not change while the file is open
   * @throws {TypeError}
   */
  constructor(bytes) {
    if (!isBytes(bytes)) throw new TypeError(`the bytes of a file are an ArrayBuffer or a view, not ${kindOf(bytes)}`);
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
    return this.#blob.slice(offset, offset + length).arrayBuffer();
  }
}

/**
 * @param {Source | Bytes | Blob} what
 * @returns {Source}
 * @throws {TypeError} if it is none of them
 */
export function sourceOf(what) {
  if (isBytes(what)) return new BytesSource(what);
  const kind = kindOf(what);
  if (kind === "Blob" || kind === "File") return new BlobSource(what);
  if (typeof what?.read !== "function") {
    throw new TypeError(`a file is opened from bytes, a Blob or a source with size and read(), not from ${kind}`);
  }
  if (!Number.isSafeInteger(what.size) || what.size < 0) {
    throw new TypeError(`the size of a source is a number of bytes, not ${String(what.size)}`);
  }
  return what;
}

/**
 * Reads exactly that many bytes, which the caller has checked to be in the file.
 * @param {Source} source
 * @param {number} offset
 * @param {number} length
 * @returns {Promise<Uint8Array>}
 * @throws {SourceError} if the source fails, or gives fewer or more bytes
 * @throws {TypeError} if it gives something else than bytes
 */
export async function readExactly(source, offset, length) {
  let bytes;
  try {
    bytes = await source.read(offset, length);
  } catch (error) {
    if (error instanceof SourceError || error instanceof CapacityError) throw error;
    throw new SourceError(`cannot read ${length} bytes at ${offset}: ${error?.message ?? error}`, { cause: error });
  }
  if (!isBytes(bytes)) throw new TypeError(`the source gave ${kindOf(bytes)} for ${length} bytes at ${offset}`);
  if (bytes.byteLength !== length) {
    throw new SourceError(`the source gave ${bytes.byteLength} bytes at ${offset} instead of ${length}`);
  }
  return plain(bytes);
}

const WINDOW = 1048576;

/** Reads a source from front to back in pieces that do not get too small. */
export class Window {
  #source;
  #end;
  #start = 0;
  #bytes = new Uint8Array(0);

  /**
   * @param {Source} source
   * @param {number} [end] where the last byte that is asked for ends
   */
  constructor(source, end = source.size) {
    this.#source = source;
    this.#end = end;
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
    const bytes = await readExactly(this.#source, offset, Math.min(Math.max(length, WINDOW), this.#end - offset));
    this.#start = offset;
    this.#bytes = bytes;
    return bytes.subarray(0, length);
  }
}
