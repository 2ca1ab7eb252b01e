import { open } from "node:fs/promises";
import { allocate } from "./allocate.js";
import { SourceError } from "./errors.js";

/** A file of the file system, for Node. */
export class FileSource {
  #handle;

  /** @private */
  constructor(handle, size) {
    this.#handle = handle;
    this.size = size;
  }

  /**
   * @param {string | URL} name
   * @returns {Promise<FileSource>}
   * @throws {SourceError} if there is no such file, or it cannot be read
   * @throws {TypeError} if this is no name
   */
  static async open(name) {
    let handle;
    try {
      handle = await open(name, "r");
      return new FileSource(handle, (await handle.stat()).size);
    } catch (error) {
      await handle?.close();
      if (error instanceof TypeError) throw error;
      throw new SourceError(`cannot open the file: ${error.message}`, { cause: error });
    }
  }

  async read(offset, length) {
    const bytes = allocate(Uint8Array, length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await this.#handle.read(bytes, filled, length - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  }

  async close() {
    await this.#handle.close();
  }
}
