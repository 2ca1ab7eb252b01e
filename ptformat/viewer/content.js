import { CapacityError } from "./errors.js";
import { contentDigest, sumOf, tensorSums } from "./digest.js";
import { ALIAS, TENSOR } from "./schema.js";
import { hex, Sha256 } from "./sha256.js";
import { Leaf } from "./tree.js";

/** Less than the longest string of any engine, so that something can still be put before and behind it. */
const MAX_TEXT = 500000000;

const floatView = new DataView(new ArrayBuffer(8));

/**
 * A value as JSON that loses nothing.
 * @param {import("./msgpack.js").Value} value
 * @returns {unknown}
 */
export function valueToJson(value) {
  if (typeof value === "bigint") return { int: value.toString() };
  if (typeof value === "number") {
    floatView.setFloat64(0, value);
    return { float: hex(new Uint8Array(floatView.buffer)) };
  }
  if (value instanceof Uint8Array) return { bytes: hex(value) };
  if (Array.isArray(value)) return value.map(valueToJson);
  if (value instanceof Map) return { map: Array.from(value, ([key, item]) => [key, valueToJson(item)]) };
  return value;
}

/** Many entries may have one and the same object of a sparse column: it is converted once. */
class Converter {
  #known = new Map();

  convert(value) {
    if (typeof value !== "object" || value === null) return valueToJson(value);
    if (!this.#known.has(value)) this.#known.set(value, valueToJson(value));
    return this.#known.get(value);
  }
}

const decimals = (numbers) => numbers.map(String);

async function aliasSum(file, row, sums) {
  const { index, facts } = file.inner;
  if (!facts.says("perm", row)) return hex(sumOf(sums, index.nth[index.target(row)]));
  const { bytes } = await file.tensor(index.path(row));
  return hex(new Sha256().update(bytes).digest());
}

async function entryToJson(file, row, sums, converter) {
  const { index } = file.inner, entry = file.entry(row), { type, path } = entry;
  const json = { type, path };
  if (type === "tensor") json.dtype = entry.dtype;
  if (type === "alias") json.target = entry.target;
  if (entry.perm !== undefined) json.perm = decimals(entry.perm);
  if (entry.shape !== undefined) json.shape = decimals(entry.shape);
  if (index.types[row] === TENSOR) json.sha256 = hex(sumOf(sums, index.nth[row]));
  if (index.types[row] === ALIAS) json.sha256 = await aliasSum(file, row, sums);
  if (type === "value") json.value = valueToJson(entry.value);
  if (type === "node") json.form = entry.form;
  if (entry.keys !== undefined) json.keys = converter.convert(entry.keys);
  for (const name of ["axes", "role", "trainable", "module", "class"]) {
    if (entry[name] !== undefined) json[name] = entry[name];
  }
  if (entry.attrs !== undefined) json.attrs = converter.convert(entry.attrs);
  return json;
}

/** A path has at most 128 segments, and the tree is no deeper. */
function treeToJson(place) {
  if (place instanceof Leaf) return { leaf: place.path };
  const { form, children } = place;
  if (form === "list" || form === "tuple") return { [form]: children.map(([, child]) => treeToJson(child)) };
  const key = form === "keys" ? valueToJson : (text) => text;
  return { [form]: children.map(([name, child]) => [key(name), treeToJson(child)]) };
}

/**
 * All that a file holds, as JSON with integers as decimal strings, and sums instead of the tensors' bytes.
 * @param {import("./reader.js").TensorFile} file
 * @returns {Promise<object>}
 * @throws {import("./errors.js").FormatError} CHECKSUM, CODEC or LIMIT
 * @throws {CapacityError}
 */
export async function contentOf(file) {
  const { index } = file.inner, sums = await tensorSums(file), converter = new Converter();
  const content = { minor: String(file.minor), chunk: String(file.chunk) };
  for (const name of ["convention", "dialect", "metadata", "provenance"]) {
    if (file[name] !== undefined) content[name] = valueToJson(file[name]);
  }
  content.entries = [];
  for (let row = 0; row < file.size; row += 1) content.entries.push(await entryToJson(file, row, sums, converter));
  content.tree = treeToJson(file.tree);
  content.digest = contentDigest(index, sums);
  return content;
}

/**
 * @param {object} content of contentOf
 * @returns {string} its JSON
 * @throws {CapacityError} if it is longer than a string can be
 */
export function contentText(content) {
  try {
    const text = JSON.stringify(content);
    if (text.length <= MAX_TEXT) return text;
    throw new RangeError("the text is too long");
  } catch (error) {
    if (error instanceof RangeError) throw new CapacityError("the content is too long for one text");
    throw error;
  }
}
