/** What a reader in Node needs besides `ptformat.js`. */
import { FileSource } from "./node-source.js";
import { TensorFile } from "./reader.js";

export { FileSource } from "./node-source.js";
export { saveFile } from "./node-sink.js";

/**
 * Opens a file of the file system. It stays open until `close()` of what is returned.
 * @param {string | URL} name
 * @param {import("./options.js").Options} [options]
 * @returns {Promise<TensorFile>}
 * @throws {import("./errors.js").SourceError} if it cannot be read
 * @throws {import("./errors.js").FormatError} if it is no right file
 * @throws {import("./errors.js").CapacityError} if it is more than this reader can hold
 */
export async function openFile(name, options) {
  const source = await FileSource.open(name);
  try {
    return await TensorFile.open(source, options);
  } catch (error) {
    await source.close();
    throw error;
  }
}
