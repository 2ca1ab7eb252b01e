import { allocate } from "./allocate.js";
import { dtypeNamed } from "./dtypes.js";

/**
 * Elements as numbers, for calculation and display. The types that JavaScript knows are viewed where they lie; the
 * others are computed (section 5.2).
 */

/** The bytes are little-endian, and so is every engine of today; the views below are made in its order. */
const VIEWS = {
  bool: Uint8Array, int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array,
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array,
  float16: Uint16Array, bfloat16: Uint16Array, float32: Float32Array, float64: Float64Array,
  complex64: Float32Array, complex128: Float64Array,
};

/**
 * @param {string} dtype
 * @param {Uint8Array} bytes
 * @returns {ArrayBufferView} the elements; packed ones and floats that JavaScript does not have as their bits; complex
 *   ones as two numbers each. It is a view of the bytes, or of a copy if they do not stand where such a view may begin
 */
export function viewElements(dtype, bytes) {
  const View = VIEWS[dtype] ?? Uint8Array, size = View.BYTES_PER_ELEMENT;
  const { buffer, byteOffset } = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new View(buffer, byteOffset, bytes.length / size);
}

/** Exponent bits, mantissa bits, bias and special values of the small floats. */
const SMALL_FLOATS = {
  float16: [5, 10, 15, "ieee"],
  float8_e4m3fn: [4, 3, 7, "fn"], float8_e5m2: [5, 2, 15, "ieee"], float8_e4m3fnuz: [4, 3, 8, "fnuz"],
  float8_e5m2fnuz: [5, 2, 16, "fnuz"], float8_e4m3b11fnuz: [4, 3, 11, "fnuz"], float8_e3m4: [3, 4, 3, "ieee"],
  float8_e4m3: [4, 3, 7, "ieee"], float4_e2m1fn: [2, 1, 1, "none"],
};

function smallFloat(bits, [exponentBits, mantissaBits, bias, special]) {
  const sign = bits >> (exponentBits + mantissaBits), magnitude = bits & (2 ** (exponentBits + mantissaBits) - 1);
  const exponent = magnitude >> mantissaBits, fraction = magnitude & (2 ** mantissaBits - 1);
  const allOnes = exponent === 2 ** exponentBits - 1;
  if (special === "ieee" && allOnes) return fraction > 0 ? NaN : sign ? -Infinity : Infinity;
  if (special === "fn" && magnitude === 2 ** (exponentBits + mantissaBits) - 1) return NaN;
  if (special === "fnuz" && sign && magnitude === 0) return NaN;
  const scaled = exponent > 0
    ? 2 ** (exponent - bias) * (1 + fraction / 2 ** mantissaBits)
    : 2 ** (1 - bias) * (fraction / 2 ** mantissaBits);
  return sign ? -scaled : scaled;
}

const tables = new Map();

/** The numbers of all patterns of a small float. */
function tableOf(dtype) {
  if (!tables.has(dtype)) {
    const { bits } = dtypeNamed(dtype);
    const number = dtype === "float8_e8m0fnu"
      ? (pattern) => (pattern === 255 ? NaN : 2 ** (pattern - 127))
      : (pattern) => smallFloat(pattern, SMALL_FLOATS[dtype]);
    tables.set(dtype, Float64Array.from({ length: 2 ** bits }, (_, pattern) => number(pattern)));
  }
  return tables.get(dtype);
}

const bits32 = new Uint32Array(1);
const float32 = new Float32Array(bits32.buffer);

/**
 * @typedef {object} Elements a tensor, or a piece of one
 * @property {string} dtype
 * @property {Uint8Array} bytes as section 5 lays them out
 * @property {number} count how many elements
 */

function checkRange(start, end, count) {
  const inOrder = Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end && end <= count;
  if (!inOrder) throw new RangeError(`elements from ${start} to ${end} of ${count}`);
}

/** An engine ends the program when an array gets too long for it: some take little more than 2^26 items. */
export const MAX_ELEMENTS = 16777216;

/**
 * Elements as values of JavaScript.
 * @param {Elements} tensor
 * @param {number} [start] the first element
 * @param {number} [end] the one after the last
 * @returns {(number | bigint | boolean | [number, number])[]} numbers; bigint for integers of 64 bits, booleans, and
 *   pairs for complex numbers
 * @throws {RangeError} if there are no such elements, or more than MAX_ELEMENTS
 */
export function elements({ dtype, bytes, count }, start = 0, end = count) {
  checkRange(start, end, count);
  if (end - start > MAX_ELEMENTS) {
    throw new RangeError(`${end - start} elements are too many for an array: take a range of at most ${MAX_ELEMENTS}, `
      + "or toTypedArray()");
  }
  const read = readerOf(dtype, dtypeNamed(dtype).bits, viewElements(dtype, bytes)), out = [];
  for (let i = start; i < end; i += 1) out.push(read(i));
  return out;
}

/** @returns {new (length: number) => ArrayBufferView} what holds the numbers of a type */
function numbersClass(dtype, bits) {
  if (dtype in SMALL_FLOATS || dtype === "float8_e8m0fnu" || dtype === "bfloat16") return Float32Array;
  if (bits < 8) return dtype.startsWith("int") ? Int8Array : Uint8Array;
  return VIEWS[dtype];
}

/**
 * Elements as numbers, in an array of their own. bool, uint2, uint4 and uint8 become a Uint8Array, int2, int4 and int8
 * an Int8Array; float16, bfloat16, the types of 8 bits and float4_e2m1fn a Float32Array, which holds all their numbers;
 * complex64 a Float32Array and complex128 a Float64Array of twice as many numbers, the real part before the imaginary
 * one; any other type the class of its name.
 * @param {Elements} tensor
 * @param {number} [start] the first element
 * @param {number} [end] the one after the last
 * @returns {Uint8Array | Uint16Array | Uint32Array | BigUint64Array | Int8Array | Int16Array | Int32Array |
 *   BigInt64Array | Float32Array | Float64Array}
 * @throws {RangeError} if there are no such elements
 * @throws {import("./errors.js").CapacityError}
 */
export function toTypedArray({ dtype, bytes, count }, start = 0, end = count) {
  checkRange(start, end, count);
  const { bits } = dtypeNamed(dtype), view = viewElements(dtype, bytes);
  const isComplex = dtype.startsWith("complex"), perElement = isComplex ? 2 : 1;
  const out = allocate(numbersClass(dtype, bits), perElement * (end - start));
  if (out.constructor === view.constructor && bits >= 8 && dtype !== "bool") {
    out.set(view.subarray(perElement * start, perElement * end));
    return out;
  }
  const read = readerOf(dtype, bits, view);
  for (let i = start; i < end; i += 1) out[i - start] = read(i);
  return out;
}

function readerOf(dtype, bits, view) {
  if (dtype === "bool") return (i) => view[i] !== 0;
  if (dtype.startsWith("complex")) return (i) => [view[2 * i], view[2 * i + 1]];
  if (dtype === "bfloat16") {
    return (i) => {
      bits32[0] = view[i] << 16;
      return float32[0];
    };
  }
  const perByte = 8 / bits;
  const pattern = bits < 8
    ? (i) => (view[Math.floor(i / perByte)] >> (bits * (i % perByte))) & ((1 << bits) - 1)
    : (i) => view[i];
  if (dtype in SMALL_FLOATS || dtype === "float8_e8m0fnu") {
    const table = tableOf(dtype);
    return (i) => table[pattern(i)];
  }
  if (bits < 8 && dtype.startsWith("int")) return (i) => (pattern(i) << (32 - bits)) >> (32 - bits);
  return pattern;
}
