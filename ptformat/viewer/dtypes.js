/**
 * @typedef {object} Dtype
 * @property {number} code
 * @property {string} name
 * @property {number} bits bits of an element
 * @property {number} component bytes of a component (section 6.3), 0 where the codec planes is not allowed
 * @property {boolean} regrouped whether planes regroups the bits of a component
 */

/** Section 5.1. The place in this list is the code. A complex element has two components. */
const NAMES_AND_BITS = [
  ["bool", 8], ["int2", 2], ["int4", 4], ["int8", 8], ["int16", 16], ["int32", 32], ["int64", 64],
  ["uint2", 2], ["uint4", 4], ["uint8", 8], ["uint16", 16], ["uint32", 32], ["uint64", 64],
  ["float16", 16], ["bfloat16", 16], ["float32", 32], ["float64", 64], ["complex64", 64], ["complex128", 128],
  ["float8_e4m3fn", 8], ["float8_e5m2", 8], ["float8_e4m3fnuz", 8], ["float8_e5m2fnuz", 8],
  ["float8_e4m3b11fnuz", 8], ["float8_e8m0fnu", 8], ["float8_e3m4", 8], ["float8_e4m3", 8], ["float4_e2m1fn", 4],
];

const REGROUPED = new Set(["bfloat16", "float32", "complex64"]);

/** @type {readonly Dtype[]} by code */
export const DTYPES = Object.freeze(NAMES_AND_BITS.map(([name, bits], code) => Object.freeze({
  code,
  name,
  bits,
  component: bits < 16 ? 0 : name.startsWith("complex") ? bits / 16 : bits / 8,
  regrouped: REGROUPED.has(name),
})));

const byName = new Map(DTYPES.map((dtype) => [dtype.name, dtype]));

/**
 * @param {string} name
 * @returns {Dtype}
 * @throws {RangeError} for a name that is not in section 5.1
 */
export function dtypeNamed(name) {
  const dtype = byName.get(name);
  if (dtype === undefined) throw new RangeError(`no element type ${name}`);
  return dtype;
}

/**
 * @param {number} count a number of elements
 * @param {number} bits bits of each
 * @returns {number} decoded bytes, exact up to 2^53 - 1: a power of two is all that is multiplied by
 */
export function decodedBytes(count, bits) {
  return Math.ceil(count * (bits / 8));
}
