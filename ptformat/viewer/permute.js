import { allocate } from "./allocate.js";

/**
 * Elements of a tensor in another order of its axes.
 * @param {Uint8Array} bytes laid out as section 5 says
 * @param {number} bits of an element
 * @param {readonly number[]} shape
 * @param {readonly number[]} perm axis i of the result is axis perm[i] of the tensor (section 3.4)
 * @returns {Uint8Array} laid out the same way; `bytes` themselves if their order stays
 * @throws {import("./errors.js").CapacityError}
 */
export function permute(bytes, bits, shape, perm) {
  const merged = mergeAxes(shape, perm);
  if (bytes.length === 0 || merged.perm.length < 2) return bytes;
  if (bits >= 8) return permuteBytes(bytes, bits / 8, merged);
  const count = shape.reduce((product, dim) => product * dim, 1);
  return pack(permuteBytes(unpack(bytes, bits, count), 1, merged), bits);
}

/**
 * The same permutation with as few axes as it has: those of length 1 are left out, and those that stay beside each
 * other are one.
 * @param {readonly number[]} shape
 * @param {readonly number[]} perm
 * @returns {{shape: number[], perm: number[]}} at most one axis if the order stays
 */
export function mergeAxes(shape, perm) {
  const kept = perm.filter((axis) => shape[axis] !== 1);
  const inOrder = [...kept].sort((a, b) => a - b);
  /** Runs of kept axes that stand beside each other in the tensor and in the result, in the result's order. */
  const runs = [];
  kept.forEach((axis, i) => {
    if (i > 0 && inOrder.indexOf(axis) === inOrder.indexOf(kept[i - 1]) + 1) runs.at(-1).push(axis);
    else runs.push([axis]);
  });
  const sorted = [...runs].sort(([a], [b]) => a - b);
  return {
    shape: sorted.map((run) => run.reduce((product, axis) => product * shape[axis], 1)),
    perm: runs.map((run) => sorted.indexOf(run)),
  };
}

/** Moves runs of bytes: the elements, or all of the last axis where that one stays the last. */
function permuteBytes(bytes, elementBytes, { shape, perm }) {
  const staysLast = perm.at(-1) === shape.length - 1;
  const outer = staysLast ? perm.slice(0, -1) : perm;
  const size = staysLast ? elementBytes * shape.at(-1) : elementBytes;
  const strides = [];
  shape.reduceRight((stride, dim, axis) => (strides[axis] = stride) * dim, elementBytes);
  const dims = outer.map((axis) => shape[axis]), steps = outer.map((axis) => strides[axis]);
  const out = allocate(Uint8Array, bytes.length), copy = copierOf(bytes, out, size);
  const last = dims.length - 1, at = new Array(dims.length).fill(0);
  for (let to = 0, base = 0; to < out.length; to += size * dims[last]) {
    copy(base, steps[last], to, dims[last]);
    for (let axis = last - 1; axis >= 0; axis -= 1) {
      at[axis] += 1;
      base += steps[axis];
      if (at[axis] < dims[axis]) break;
      base -= at[axis] * steps[axis];
      at[axis] = 0;
    }
  }
  return out;
}

/** A run of more bytes than this is left to the engine to copy. */
const LONG_RUN = 48;

/** @returns {(from: number, step: number, to: number, count: number) => void} puts runs of `size` bytes side by side */
function copierOf(bytes, out, size) {
  if (size > LONG_RUN) {
    return (from, step, to, count) => {
      for (let i = 0, start = from; i < count; i += 1, start += step) {
        out.set(bytes.subarray(start, start + size), to + i * size);
      }
    };
  }
  return (from, step, to, count) => {
    for (let i = 0, start = from, at = to; i < count; i += 1, start += step) {
      for (let byte = 0; byte < size; byte += 1, at += 1) out[at] = bytes[start + byte];
    }
  };
}

/** Elements of 2 or 4 bits, one in each byte (section 5.3). */
function unpack(bytes, bits, count) {
  const out = allocate(Uint8Array, count), perByte = 8 / bits, mask = (1 << bits) - 1;
  for (let i = 0; i < count; i += 1) out[i] = (bytes[Math.floor(i / perByte)] >> (bits * (i % perByte))) & mask;
  return out;
}

function pack(elements, bits) {
  const perByte = 8 / bits, out = new Uint8Array(Math.ceil(elements.length / perByte));
  elements.forEach((element, i) => {
    out[Math.floor(i / perByte)] |= element << (bits * (i % perByte));
  });
  return out;
}
