import { open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Writes a file as section 12 says: under another name first, so that the old one stays whole until the new one is.
 * @param {string} name
 * @param {(write: (bytes: Uint8Array) => Promise<void>) => Promise<void>} produce
 * @returns {Promise<void>}
 */
export async function saveFile(name, produce) {
  const temporary = `${name}.${Math.random().toString(36).slice(2)}.tmp`;
  const mode = await modeOf(name);
  const handle = await open(temporary, "wx", mode);
  try {
    // The umask took bits of the mode that the old file may have.
    if (mode !== undefined) await handle.chmod(mode);
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

/** @returns {Promise<number | undefined>} the permissions of a file, if it is there */
async function modeOf(name) {
  try {
    return (await stat(name)).mode & 0o777;
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    return undefined;
  }
}

async function writeAll(handle, bytes) {
  for (let at = 0; at < bytes.length;) {
    at += (await handle.write(bytes, at, bytes.length - at)).bytesWritten;
  }
}
