import { MAGIC, MAJOR } from "./container.js";
import { alignedOffset } from "./layout.js";
import { ALIGN } from "./limits.js";
import { rewriteIndex } from "./msgpack-write.js";
import { TENSOR } from "./schema.js";
import { Window } from "./sources.js";
import { checkElements, unusedBits } from "./verify.js";
import { xxh3 } from "./xxh3.js";

/** The minor version that describes all that this writer writes. */
const MINOR = 0;
const PREAMBLE_BYTES = 64;
const TRAILER_BYTES = 64;

function preamble() {
  const bytes = new Uint8Array(PREAMBLE_BYTES), view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint16(8, MAJOR, true);
  view.setUint16(10, MINOR, true);
  return bytes;
}

function trailer(index, offset) {
  const bytes = new Uint8Array(TRAILER_BYTES), view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(offset), true);
  view.setBigUint64(8, BigInt(index.length), true);
  view.setBigUint64(16, BigInt(index.length), true);
  view.setBigUint64(24, xxh3(index), true);
  view.setUint16(36, MAJOR, true);
  view.setUint16(38, MINOR, true);
  view.setBigUint64(40, BigInt(offset + index.length + TRAILER_BYTES), true);
  view.setBigUint64(48, xxh3(bytes.subarray(0, 48)), true);
  bytes.set(MAGIC, 56);
  return bytes;
}

function join(pieces) {
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/**
 * Writes the content of a file anew, every chunk and the index raw: bytes that section 8.3 determines. They are written
 * front to back. Keys that this version does not know are dropped (section 11), and elements that a type does not allow
 * are refused, since no writer may write them.
 * @param {import("./reader.js").TensorFile} file
 * @param {(bytes: Uint8Array) => unknown} write takes the next bytes, which are good only until it is done
 * @returns {Promise<void>}
 * @throws {import("./errors.js").FormatError} CHECKSUM, CODEC, LIMIT or DATA
 */
export async function encode(file, write) {
  const { index, layout, chunks } = file.inner, window = new Window(file.source);
  const total = layout.chunkStarts[layout.size];
  const stored = new DataView(new ArrayBuffer(4 * total)), sums = new DataView(new ArrayBuffer(8 * total));
  await write(preamble());
  let position = PREAMBLE_BYTES;
  for (let k = 0; k < layout.size; k += 1) {
    const offset = alignedOffset(position, layout.bytes[k], true);
    if (offset > position) await write(new Uint8Array(offset - position));
    const { name } = layout.dtype(k), last = layout.chunkStarts[k + 1] - 1, path = index.path(index.rows[TENSOR][k]);
    for await (const { chunk, bytes } of chunks.each(window, k)) {
      checkElements(name, bytes, chunk === last ? unusedBits(layout, k) : 0, path);
      stored.setUint32(4 * chunk, bytes.length, true);
      sums.setBigUint64(8 * chunk, xxh3(bytes), true);
      await write(bytes);
    }
    position = offset + layout.bytes[k];
  }
  const columns = {
    codec: new Uint8Array(total), stored: new Uint8Array(stored.buffer), sum: new Uint8Array(sums.buffer),
  };
  const bytes = join(rewriteIndex(index, [], columns));
  await write(bytes);
  await write(trailer(bytes, position));
}
