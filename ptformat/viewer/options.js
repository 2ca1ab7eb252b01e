import { shown } from "./errors.js";
import { MAX_INDEX_BYTES, OWN_MAX_BUFFER } from "./limits.js";

/**
 * @typedef {object} Options bounds of the memory that this reader takes; what is beyond them is a CapacityError
 * @property {number} [maxTensorBytes] the largest tensor to make; 2 GiB if it is left out, and at most
 * @property {number} [maxIndexBytes] the largest index to read; the format's limit if it is left out, and at most
 */

/** For each option the most it can be, which is what holds without it. */
const MOST = { maxTensorBytes: OWN_MAX_BUFFER, maxIndexBytes: MAX_INDEX_BYTES };

/**
 * @param {Options} options
 * @returns {Required<Options>}
 * @throws {TypeError | RangeError}
 */
export function checkedOptions(options) {
  if (typeof options !== "object" || options === null) throw new TypeError(`options are an object, not ${options}`);
  const checked = { ...MOST };
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(MOST, name)) throw new TypeError(`no option ${shown(name)}`);
    if (value === undefined) continue;
    if (typeof value !== "number") throw new TypeError(`${name} is a number, not a ${typeof value}`);
    if (!(value === Infinity || Number.isInteger(value)) || value < 0) {
      throw new RangeError(`${name} is a number of bytes, not ${value}`);
    }
    checked[name] = Math.min(value, MOST[name]);
  }
  return checked;
}
