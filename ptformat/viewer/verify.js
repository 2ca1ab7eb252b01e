import { fail } from "./errors.js";
import { ALIGN } from "./limits.js";
import { TENSOR } from "./schema.js";
import { readExactly, Window } from "./sources.js";

/**
 * Checks what section 10.3 asks for of a file that is verified, and that opening it has not checked yet.
 * @param {import("./sources.js").Source} source
 * @param {import("./index.js").Index} index
 * @param {import("./layout.js").Layout} layout
 * @param {import("./chunks.js").Chunks} chunks
 * @returns {Promise<void>}
 * @throws {import("./errors.js").FormatError} NONZERO, CHECKSUM, CODEC, LIMIT or DATA
 */
export async function verify(source, index, layout, chunks) {
  const window = new Window(source);
  let end = ALIGN;
  for (let k = 0; k < layout.size; k += 1) {
    const path = index.path(index.rows[TENSOR][k]);
    const gap = await readExactly(window, end, layout.offsets[k] - end);
    if (gap.some((byte) => byte !== 0)) fail("NONZERO", "the gap before the tensor is not zero", path);
    const { name } = layout.dtype(k), last = layout.chunkStarts[k + 1] - 1;
    for await (const { chunk, bytes } of chunks.each(window, k)) {
      checkElements(name, bytes, chunk === last ? unusedBits(layout, k) : 0, path);
    }
    end = layout.ends[k];
  }
}

/**
 * @param {import("./layout.js").Layout} layout
 * @param {number} k a tensor with elements
 * @returns {number} the bits of its last byte that belong to no element
 */
export function unusedBits(layout, k) {
  const { bits } = layout.dtype(k);
  return bits < 8 ? 8 - bits * ((layout.counts[k] - 1) % (8 / bits) + 1) : 0;
}

/**
 * Bits that an element type does not allow, in the decoded bytes of one chunk.
 * @param {string} dtype
 * @param {Uint8Array} bytes
 * @param {number} unused bits at the end that belong to no element
 * @param {string} path
 * @throws {import("./errors.js").FormatError} DATA
 */
export function checkElements(dtype, bytes, unused, path) {
  if (dtype === "bool") {
    for (let i = 0; i < bytes.length; i += 1) if (bytes[i] > 1) fail("DATA", `a bool of ${bytes[i]}`, path);
  }
  if (bytes.at(-1) >> (8 - unused) !== 0) fail("DATA", "bits after the last element", path);
}
