import { encodeText } from "./utf8.js";

/** A length of as few bytes as it needs. */
function head(length, small, smallest, ...heads) {
  if (length < smallest) return Uint8Array.of(small | length);
  const width = length < 256 && heads.length === 3 ? 0 : length < 65536 ? heads.length - 2 : heads.length - 1;
  const bytes = heads.length === 3 ? [1, 2, 4][width] : [2, 4][width];
  const out = [heads[width]];
  for (let i = bytes - 1; i >= 0; i -= 1) out.push(Math.floor(length / 2 ** (8 * i)) % 256);
  return Uint8Array.from(out);
}

/** @returns {Uint8Array} the head of a map of so many keys */
export const mapHead = (length) => head(length, 0x80, 16, 0xde, 0xdf);

/** @returns {Uint8Array} the head of a byte string of so many bytes */
export const binaryHead = (length) => head(length, 0, 0, 0xc4, 0xc5, 0xc6);

/** @returns {Uint8Array[]} the pieces of a string */
export function stringPieces(text) {
  const bytes = encodeText(text);
  return [head(bytes.length, 0xa0, 32, 0xd9, 0xda, 0xdb), bytes];
}

/**
 * The map of the index with its known keys, some left out and some given anew, as pieces to be joined. Values that stay
 * are copied: they have one form only.
 * @param {import("./index.js").Index} index
 * @param {string[]} without
 * @param {Record<string, Uint8Array>} binaries the keys whose values are these byte strings
 * @returns {Uint8Array[]}
 */
export function rewriteIndex(index, without, binaries) {
  const kept = [...index.keys.keys()].filter((name) => !without.includes(name) && !(name in binaries));
  // All of these names are ASCII, so that the order of UTF-16 is that of the bytes.
  const names = [...kept, ...Object.keys(binaries)].sort();
  const pieces = [mapHead(names.length)];
  for (const name of names) {
    pieces.push(...stringPieces(name));
    if (name in binaries) pieces.push(binaryHead(binaries[name].length), binaries[name]);
    else pieces.push(index.bytes.subarray(index.keys.get(name).start, index.keys.get(name).end));
  }
  return pieces;
}
