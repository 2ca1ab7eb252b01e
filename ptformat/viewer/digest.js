import { rewriteIndex } from "./msgpack-write.js";
import { hex, Sha256 } from "./sha256.js";
import { Window } from "./sources.js";

const SUM_BYTES = 32;

/**
 * SHA-256 of the decoded bytes of each tensor, one after the other.
 * @param {import("./reader.js").TensorFile} file
 * @returns {Promise<Uint8Array>} 32 bytes for each tensor
 * @throws {import("./errors.js").FormatError} CHECKSUM, CODEC or LIMIT
 */
export async function tensorSums(file) {
  const { chunks, layout } = file.inner, window = new Window(file.source);
  const sums = new Uint8Array(SUM_BYTES * layout.size);
  for (let k = 0; k < layout.size; k += 1) {
    const sha = new Sha256();
    for await (const { bytes } of chunks.each(window, k)) sha.update(bytes);
    sums.set(sha.digest(), SUM_BYTES * k);
  }
  return sums;
}

/**
 * @param {Uint8Array} sums of tensorSums
 * @param {number} k the number of a tensor among the tensors
 * @returns {Uint8Array}
 */
export function sumOf(sums, k) {
  return sums.subarray(SUM_BYTES * k, SUM_BYTES * (k + 1));
}

/**
 * The content digest (section 8.2).
 * @param {import("./index.js").Index} index
 * @param {Uint8Array} sums of tensorSums
 * @returns {string}
 */
export function contentDigest(index, sums) {
  const without = ["requires", "chunk", "codec", "stored", "sum"];
  const sha = new Sha256();
  for (const piece of rewriteIndex(index, without, { sha256: sums })) sha.update(piece);
  return hex(sha.digest());
}
