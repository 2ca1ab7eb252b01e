import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Writes a file as section 12 says: under another name first, so that the old one stays whole until the new one is.
 * @param {string} name
 * @param {(write: (bytes: Uint8Array) => Promise<void>) => Promise<void>} produce
 * @returns {Promise<void>}
 */
export async function saveFile(name, produce) {
  const temporary = `${name}.${Math.random().toString(36).slice(2)}.tmp`;
  const handle = await open(temporary, "wx");
  try {
    await produce((bytes) => writeAll(handle, bytes));
    await handle.sync();
    await handle.close();
    await rename(temporary, name);
  } catch (error) {
    await handle.close().catch(() => {});
    await rm(temporary, { force: true });
    throw error;
  }
  const folder = await open(dirname(name), "r");
  await folder.sync().finally(() => folder.close());
}

async function writeAll(handle, bytes) {
  for (let at = 0; at < bytes.length;) {
    at += (await handle.write(bytes, at, bytes.length - at)).bytesWritten;
  }
}
