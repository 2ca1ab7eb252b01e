import { open } from "node:fs/promises";

/** A file of the file system, for Node. */
export class FileSource {
  #handle;

  /** @private */
  constructor(handle, size) {
    this.#handle = handle;
    this.size = size;
  }

  /**
   * @param {string} name
   * @returns {Promise<FileSource>}
   */
  static async open(name) {
    const handle = await open(name, "r");
    try {
      return new FileSource(handle, (await handle.stat()).size);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async read(offset, length) {
    const bytes = new Uint8Array(length);
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
