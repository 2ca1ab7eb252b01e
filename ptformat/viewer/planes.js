import { fail } from "./errors.js";
import { decodeFrame } from "./zstd.js";

const HEAD = 5;
const BIT6 = 0x40;

/** Room for the planes of one chunk, kept from chunk to chunk. */
let room = new Uint8Array(0);

/**
 * Decodes a chunk of the codec planes (section 6.3).
 * @param {Uint8Array} stored
 * @param {Uint8Array} out the decoded chunk
 * @param {import("./dtypes.js").Dtype} dtype
 * @returns {void}
 * @throws {import("./errors.js").FormatError} CODEC or LIMIT
 */
export function decodePlanes(stored, out, dtype) {
  const elementBytes = dtype.bits / 8, count = out.length / elementBytes;
  if (stored.length < HEAD * elementBytes) fail("CODEC", "planes: the modes and lengths are cut off");
  if (room.length < out.length) room = new Uint8Array(out.length);
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  let at = HEAD * elementBytes;
  for (let i = 0; i < elementBytes; i += 1) {
    const mode = view.getUint8(HEAD * i), length = view.getUint32(HEAD * i + 1, true);
    const fits = mode === 0 ? length === count : mode < 3 && length > 0 && length < count;
    if (!fits) fail("CODEC", `planes: mode ${mode} with ${length} bytes for ${count}`);
    if (length > stored.length - at) fail("CODEC", "planes: a plane is cut off");
    const plane = room.subarray(i * count, (i + 1) * count), bytes = stored.subarray(at, at + length);
    if (mode === 0) plane.set(bytes);
    else if (mode === 1) decodeFrame(bytes, plane);
    else decodeSevens(bytes, plane);
    at += length;
  }
  if (at !== stored.length) fail("CODEC", "planes: bytes after the last plane");
  join(out, dtype, count);
}

/** Mode 2: a plane without bit 6 of its bytes, but for the places of those that have it. */
function decodeSevens(bytes, plane) {
  const n = plane.length, q = Math.ceil(n / 8);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4) fail("CODEC", "planes: a plane without its count");
  const ones = view.getUint32(0, true), start = 4 + 4 * ones;
  if (bytes.length !== start + 7 * q) fail("CODEC", "planes: a plane of a wrong length");
  for (let i = 0, last = -1; i < ones; i += 1) {
    const position = view.getUint32(4 + 4 * i, true);
    if (position <= last || position >= n) fail("CODEC", "planes: positions out of order or range");
    last = position;
  }
  // The last q bytes take one bit of each of the seven others. The padding lies in them: the length is less than n.
  for (let j = 0; j < q; j += 1) {
    let seven = 0;
    for (let i = 0, at = j; i < 7; i += 1, at += q) {
      const byte = bytes[start + at];
      seven |= ((byte & BIT6) >> 6) << i;
      plane[at] = byte & ~BIT6;
    }
    const byte = (seven & 0x3f) | ((seven & BIT6) << 1);
    if (7 * q + j < n) plane[7 * q + j] = byte;
    else if (byte !== 0) fail("CODEC", "planes: bytes after the end of a plane");
  }
  for (let i = 0; i < ones; i += 1) plane[view.getUint32(4 + 4 * i, true)] |= BIT6;
}

/** Puts the planes in `room` together to elements, the most significant byte of each component first. */
function join(out, dtype, count) {
  const width = dtype.component, elementBytes = dtype.bits / 8;
  for (let base = 0; base < elementBytes; base += width) {
    if (dtype.regrouped) joinRegrouped(out, base, elementBytes, width, count);
    for (let i = dtype.regrouped ? 2 : 0; i < width; i += 1) {
      const plane = (base + i) * count;
      for (let n = 0, to = base + width - 1 - i; n < count; n += 1, to += elementBytes) out[to] = room[plane + n];
    }
  }
}

/** The two upper bytes of components whose bits were regrouped. */
function joinRegrouped(out, base, elementBytes, width, count) {
  const first = base * count, second = first + count;
  for (let n = 0, to = base + width - 1; n < count; n += 1, to += elementBytes) {
    const upper = room[first + n], lower = room[second + n];
    out[to] = (lower & 0xc0) | (upper >> 2);
    out[to - 1] = ((upper & 3) << 6) | (lower & 0x3f);
  }
}
