import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, readFile, readlink, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { pathToFileURL } from "node:url";
import { FileSource, openFile, saveFile } from "../../ptformat/viewer/node.js";
import { SourceError } from "../../ptformat/viewer/ptformat.js";
import { build, tensor } from "./build.js";

const held = build([tensor("a", "uint8", [5], { data: Uint8Array.of(1, 2, 3, 4, 5) })]);

async function inFolder(work) {
  const folder = await mkdtemp(join(tmpdir(), "viewer-"));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The descriptors of this process that are of files in a folder. */
async function openIn(folder) {
  const names = await readdir("/proc/self/fd");
  const files = await Promise.all(names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => "")));
  return files.filter((file) => file.startsWith(folder)).length;
}

test("a file is open until it is closed", () => inFolder(async (folder) => {
  const name = join(folder, "a.ptf");
  await writeFile(name, held);
  const file = await openFile(name);
  assert.deepEqual([...(await file.tensor("a")).bytes], [1, 2, 3, 4, 5]);
  assert.equal(await openIn(folder), 1);
  await file.close();
  assert.equal(await openIn(folder), 0);
  await assert.rejects(file.tensor("a"), { name: "SourceError" });
  await (await openFile(pathToFileURL(name))).close();
}));

test("a file that is not opened is closed", () => inFolder(async (folder) => {
  const name = join(folder, "junk.ptf");
  await writeFile(name, "junk");
  await assert.rejects(openFile(name), { code: "MAGIC" });
  await writeFile(name, held);
  await assert.rejects(openFile(name, { maxIndexBytes: 3 }), { name: "CapacityError" });
  await assert.rejects(openFile(name, { maxIndexBytes: "3" }), TypeError);
  assert.equal(await openIn(folder), 0);
}));

test("a file that cannot be opened", () => inFolder(async (folder) => {
  for (const [name, code] of [[join(folder, "none.ptf"), "ENOENT"], [folder, "EISDIR"]]) {
    await assert.rejects(openFile(name), (error) => {
      assert.ok(error instanceof SourceError, String(error));
      assert.equal(error.cause.code, code);
      assert.ok(error.message.includes(code));
      return true;
    });
  }
  for (const wrong of [undefined, 5, {}]) await assert.rejects(openFile(wrong), TypeError);
  assert.equal(await openIn(folder), 0);
}));

test("a file that shrinks while it is open", () => inFolder(async (folder) => {
  const name = join(folder, "a.ptf");
  await writeFile(name, held);
  const file = await openFile(name);
  try {
    await truncate(name, 66);
    await assert.rejects(file.tensor("a"), {
      name: "SourceError", message: "the source gave 2 bytes at 64 instead of 5" });
  } finally {
    await file.close();
  }
}));

const modeOf = async (name) => (await stat(name)).mode & 0o777;
const save = (name, text) => saveFile(name, (write) => write(new TextEncoder().encode(text)));

test("what replaces a file has its mode", () => inFolder(async (folder) => {
  const umask = process.umask(0o027);
  try {
    for (const mode of [0o600, 0o666, 0o444]) {
      const name = join(folder, `m${mode}`);
      await writeFile(name, "old");
      await chmod(name, mode);
      await save(name, "new");
      assert.equal(await modeOf(name), mode);
      assert.equal(await readFile(name, "utf8"), "new");
    }
    await save(join(folder, "fresh"), "new");
    assert.equal(await modeOf(join(folder, "fresh")), 0o640);
  } finally {
    process.umask(umask);
  }
}));

test("a file that cannot be written leaves the old one as it is", () => inFolder(async (folder) => {
  const name = join(folder, "a");
  await writeFile(name, "old");
  await assert.rejects(saveFile(name, async (write) => {
    await write(Uint8Array.of(1));
    throw new Error("no more");
  }), { message: "no more" });
  assert.equal(await readFile(name, "utf8"), "old");
  assert.deepEqual(await readdir(folder), ["a"]);
}));

test("a source of its own", () => inFolder(async (folder) => {
  const name = join(folder, "a.ptf");
  await writeFile(name, held);
  const source = await FileSource.open(name);
  assert.equal(source.size, held.length);
  assert.deepEqual(await source.read(64, 5), Uint8Array.of(1, 2, 3, 4, 5));
  assert.equal((await source.read(held.length - 3, 9)).length, 3);
  await source.close();
}));
