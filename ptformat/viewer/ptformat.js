/** A reader of the tensor file format 1.0, for Node and browsers. */
export { FormatError, CapacityError, SourceError, CODES } from "./errors.js";
export { TensorFile } from "./reader.js";
export { Container, Leaf } from "./tree.js";
export { elements, toTypedArray, MAX_ELEMENTS } from "./elements.js";
export { segmentsOf, pathOf } from "./paths.js";
export { BytesSource, BlobSource } from "./sources.js";
export { encode } from "./encode.js";

import { TensorFile } from "./reader.js";

/**
 * Opens a file. Its trailer and index are read and checked, of its tensors nothing.
 * @param {import("./sources.js").Source | import("./sources.js").Bytes | Blob} what
 * @param {import("./options.js").Options} [options]
 * @returns {Promise<TensorFile>}
 * @throws {import("./errors.js").FormatError} if it is no right file
 * @throws {import("./errors.js").SourceError} if it cannot be read
 * @throws {import("./errors.js").CapacityError} if it is more than this reader can hold
 */
export function open(what, options) {
  return TensorFile.open(what, options);
}
