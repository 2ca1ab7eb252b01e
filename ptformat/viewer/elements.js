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
 * @param {Uint8Array} bytes at the start of a buffer of their own
 * @returns {ArrayBufferView} the elements; packed ones and floats that JavaScript does not have as their bits; complex
 *   ones as two numbers each
 */
export function viewElements(dtype, bytes) {
  const View = VIEWS[dtype] ?? Uint8Array;
  return new View(bytes.buffer, bytes.byteOffset, bytes.byteLength / View.BYTES_PER_ELEMENT);
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
 * @param {{dtype: string, bytes: Uint8Array, count: number}} tensor
 * @param {number} [start] the first element
 * @param {number} [end] the one after the last
 * @returns {(number | bigint | boolean | [number, number])[]} numbers; bigint for integers of 64 bits, booleans, and
 *   pairs for complex numbers
 */
export function elements({ dtype, bytes, count }, start = 0, end = count) {
  const view = viewElements(dtype, bytes), { bits } = dtypeNamed(dtype), out = [];
  const read = readerOf(dtype, bits, view);
  for (let i = start; i < Math.min(end, count); i += 1) out.push(read(i));
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
