import { createInterface } from "node:readline";
import { once } from "node:events";
import { contentOf, contentText } from "./content.js";
import { encode } from "./encode.js";
import { CapacityError, FormatError } from "./errors.js";
import { saveFile } from "./node-sink.js";
import { FileSource } from "./node-source.js";
import { TensorFile } from "./reader.js";
import { BytesSource } from "./sources.js";

/**
 * The command that a conformance suite drives: one request in JSON on each line of the standard input, one answer on
 * each line of the standard output, in the same order.
 */

const NAME = "ptformat viewer";
const VERSION = "1.0";

/** What each operation does with an open file, and its phase for faults that opening does not meet. */
const OPERATIONS = {
  decode: { phase: "read", run: async (file) => `"content":${contentText(await contentOf(file))}` },
  verify: { phase: "verify", run: (file) => file.verify() },
  encode: { phase: "read", run: (file, { out }) => saveFile(out, (write) => encode(file, write)) },
};

async function sourceOfRequest({ file, data }) {
  return data === undefined ? FileSource.open(file) : new BytesSource(new Uint8Array(Buffer.from(data, "base64")));
}

/** @returns {Promise<string>} the members of the answer */
async function operate(request) {
  const { phase: laterPhase, run } = OPERATIONS[request.op];
  let phase = "open", source;
  try {
    source = await sourceOfRequest(request);
    const file = await TensorFile.open(source);
    phase = laterPhase;
    const more = await run(file, request);
    return `"result":"ok"${more === undefined ? "" : `,${more}`}`;
  } catch (error) {
    if (error instanceof CapacityError) return membersOf({ result: "skipped", reason: error.message });
    if (!(error instanceof FormatError)) throw error;
    return membersOf({ result: "reject", code: error.code, phase, message: error.message });
  } finally {
    await source?.close?.();
  }
}

function membersOf(answer) {
  return JSON.stringify(answer).slice(1, -1);
}

async function answer(request) {
  if (request.op === "hello") {
    return membersOf({ result: "ok", name: NAME, version: VERSION, operations: Object.keys(OPERATIONS) });
  }
  if (Object.hasOwn(OPERATIONS, request.op)) return operate(request);
  return membersOf({ result: "skipped", reason: `no operation ${request.op}` });
}

async function main() {
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    if (line.trim() === "") continue;
    const request = JSON.parse(line);
    if (request.op === "stop") break;
    // What is neither a rejection nor a skip is a fault of this program or of the machine, and is to be seen as one.
    const members = await answer(request).catch((error) => {
      console.error(error);
      return membersOf({ result: "error", message: String(error) });
    });
    const id = request.id === undefined ? "" : `"id":${JSON.stringify(request.id)},`;
    if (!process.stdout.write(`{${id}${members}}\n`)) await once(process.stdout, "drain");
  }
  process.exitCode = 0;
  process.stdin.destroy();
}

await main();
