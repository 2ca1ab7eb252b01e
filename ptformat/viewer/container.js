import { allocate } from "./allocate.js";
import { CapacityError, fail } from "./errors.js";
import { MAX_INDEX_BYTES, MAX_INDEX_RATIO } from "./limits.js";
import { readExactly } from "./sources.js";
import { xxh3 } from "./xxh3.js";
import { checkFrame, decodeFrame } from "./zstd.js";

const PREAMBLE_BYTES = 64;
const TRAILER_BYTES = 64;
export const MAGIC = Uint8Array.of(0x89, 0x50, 0x54, 0x46, 0x0d, 0x0a, 0x1a, 0x0a);
export const MAJOR = 1;
const COMPRESSED = 1;

/**
 * @typedef {object} Container
 * @property {number} minor
 * @property {number} indexOffset
 * @property {Uint8Array} index its decoded bytes
 */

const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Steps 1 to 4. */
async function readPreamble(source) {
  const bytes = await readExactly(source, 0, Math.min(source.size, PREAMBLE_BYTES));
  const start = bytes.subarray(0, MAGIC.length);
  if (start.length === 0 || start.some((byte, i) => byte !== MAGIC[i])) fail("MAGIC", "this is no file of this format");
  if (source.size < PREAMBLE_BYTES + TRAILER_BYTES) fail("TRUNCATED", `the file has only ${source.size} bytes`);
  const view = viewOf(bytes), major = view.getUint16(8, true);
  if (major !== MAJOR) fail("VERSION", `the file has the major version ${major}`);
  if (bytes.subarray(12).some((byte) => byte !== 0)) fail("NONZERO", "the preamble does not end with zeros");
  return { major, minor: view.getUint16(10, true) };
}

/** Steps 5 to 14. */
async function readTrailer(source, preamble) {
  const bytes = await readExactly(source, source.size - TRAILER_BYTES, TRAILER_BYTES);
  const view = viewOf(bytes);
  if (MAGIC.some((byte, i) => bytes[56 + i] !== byte)) fail("TRUNCATED", "the file does not end with a trailer");
  if (xxh3(bytes.subarray(0, 48)) !== view.getBigUint64(48, true)) fail("CHECKSUM", "the trailer is damaged");
  const major = view.getUint16(36, true), minor = view.getUint16(38, true);
  if (major !== preamble.major || minor !== preamble.minor) fail("VERSION", "preamble and trailer disagree");
  const flags = view.getUint32(32, true);
  if ((flags & ~COMPRESSED) !== 0) fail("FEATURE", `an unknown flag in ${flags}`);
  const fileLength = view.getBigUint64(40, true), size = BigInt(source.size);
  if (size < fileLength) fail("TRUNCATED", `the file has ${size} bytes instead of ${fileLength}`);
  if (size > fileLength) fail("EXTENT", `the file has ${size} bytes instead of ${fileLength}`);
  const offset = view.getBigUint64(0, true), stored = view.getBigUint64(8, true);
  const decoded = view.getBigUint64(16, true);
  if (offset < PREAMBLE_BYTES || offset + stored + BigInt(TRAILER_BYTES) !== fileLength) {
    fail("EXTENT", "the index does not end at the trailer");
  }
  const compressed = (flags & COMPRESSED) !== 0;
  if (stored > MAX_INDEX_BYTES || decoded > MAX_INDEX_BYTES) {
    fail("LIMIT", `an index of ${stored} stored and ${decoded} decoded bytes, at most ${MAX_INDEX_BYTES} each`);
  }
  if (compressed && decoded > BigInt(MAX_INDEX_RATIO) * stored) fail("LIMIT", "the index grows too much");
  if (!compressed && decoded !== stored) fail("EXTENT", "the lengths of a raw index differ");
  return {
    offset: Number(offset), stored: Number(stored), decoded: Number(decoded), compressed,
    sum: view.getBigUint64(24, true),
  };
}

/**
 * Reads all but the tensors: steps 1 to 16 of section 10.2, in three reads.
 * @param {import("./sources.js").Source} source
 * @param {number} maxIndexBytes the largest index to read, stored and decoded
 * @returns {Promise<Container>}
 * @throws {import("./errors.js").FormatError}
 * @throws {CapacityError} if the index is larger than maxIndexBytes
 */
export async function readContainer(source, maxIndexBytes) {
  const preamble = await readPreamble(source);
  const trailer = await readTrailer(source, preamble);
  const larger = Math.max(trailer.stored, trailer.decoded);
  if (larger > maxIndexBytes) throw new CapacityError(`an index of ${larger} bytes, at most ${maxIndexBytes} are read`);
  let index = await readExactly(source, trailer.offset, trailer.stored);
  if (xxh3(index) !== trailer.sum) fail("CHECKSUM", "the index is damaged");
  if (trailer.compressed) {
    const stored = index;
    checkFrame(stored, trailer.decoded);
    index = allocate(Uint8Array, trailer.decoded);
    decodeFrame(stored, index);
  }
  return { minor: preamble.minor, indexOffset: trailer.offset, index };
}
