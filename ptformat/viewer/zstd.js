import { fail } from "./errors.js";
import { MAX_ZSTD_RATIO, MAX_ZSTD_WINDOW } from "./limits.js";
import { BlockDecoder, MAX_BLOCK } from "./zstd-blocks.js";

/**
 * The header of a frame, with the first rules of section 6.2.
 * @returns {{blocks: number, window: number}} where the blocks begin, and the window in bytes
 */
function readHeader(frame, length) {
  const magic = [0x28, 0xb5, 0x2f, 0xfd];
  if (magic.some((byte, i) => frame[i] !== byte)) fail("CODEC", "zstd: no frame");
  if (frame.length < 6) fail("CODEC", "zstd: a frame header is cut off");
  const descriptor = frame[4], single = (descriptor >> 5) & 1;
  const sizeAt = 6 - single + [0, 1, 2, 4][descriptor & 3];
  const sizeBytes = [single, 2, 4, 8][descriptor >> 6];
  const blocks = sizeAt + sizeBytes;
  if (frame.length < blocks) fail("CODEC", "zstd: a frame header is cut off");
  if (sizeBytes === 0) fail("CODEC", "zstd: a frame does not declare its content size");
  let size = sizeBytes === 2 ? 256 : 0;
  for (let i = 0; i < sizeBytes; i += 1) size += frame[sizeAt + i] * 2 ** (8 * i);
  if (size !== length) fail("CODEC", `zstd: a frame declares ${size} bytes instead of ${length}`);
  if ((descriptor & 15) !== 0) fail("CODEC", "zstd: a frame with a checksum, a dictionary or a reserved bit");
  const window = single ? size : 2 ** (10 + (frame[5] >> 3)) + 2 ** (7 + (frame[5] >> 3)) * (frame[5] & 7);
  if (window > Math.max(MAX_ZSTD_WINDOW, length)) fail("LIMIT", `zstd: a window of ${window} bytes`);
  if (length > MAX_ZSTD_RATIO * frame.length) fail("LIMIT", "zstd: a frame grows too much");
  return { blocks, window };
}

/** Follows the blocks without decoding them: the frame has to end where its bytes end. */
function checkBlocks(frame, start, window) {
  const most = Math.min(window, MAX_BLOCK);
  for (let at = start, last = 0; !last || at !== frame.length;) {
    if (last) fail("CODEC", "zstd: bytes after the frame");
    if (frame.length - at < 3) fail("CODEC", "zstd: a block header is cut off");
    const head = frame[at] | (frame[at + 1] << 8) | (frame[at + 2] << 16);
    const type = (head >> 1) & 3, size = head >> 3;
    last = head & 1;
    if (type === 3) fail("CODEC", "zstd: a block of the reserved type");
    if (size > most) fail("CODEC", "zstd: a block is too large");
    at += 3 + (type === 1 ? 1 : size);
    if (at > frame.length) fail("CODEC", "zstd: a block is cut off");
  }
}

const decoder = new BlockDecoder();

/**
 * The header and the outlines of the blocks, by all rules of section 6.2 but the last. Nothing is allocated before.
 * @param {Uint8Array} frame the stored bytes
 * @param {number} length the decoded length that the file declares
 * @returns {{blocks: number, window: number}}
 * @throws {import("./errors.js").FormatError} CODEC or LIMIT
 */
export function checkFrame(frame, length) {
  const header = readHeader(frame, length);
  checkBlocks(frame, header.blocks, header.window);
  return header;
}

/**
 * Decodes one Zstandard frame by the rules of section 6.2.
 * @param {Uint8Array} frame the stored bytes
 * @param {Uint8Array} out as long as the file declares
 * @returns {void}
 * @throws {import("./errors.js").FormatError} CODEC or LIMIT
 */
export function decodeFrame(frame, out) {
  const { blocks, window } = checkFrame(frame, out.length);
  decoder.decode(frame, blocks, window, out);
}
