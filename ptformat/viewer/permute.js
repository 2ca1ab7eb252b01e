/**
 * Elements of a tensor in another order of its axes.
 * @param {Uint8Array} bytes laid out as section 5 says
 * @param {number} bits of an element
 * @param {number[]} shape
 * @param {number[]} perm axis i of the result is axis perm[i] of the tensor (section 3.4)
 * @returns {Uint8Array} laid out the same way
 */
export function permute(bytes, bits, shape, perm) {
  if (bits < 8) return pack(permuteBytes(unpack(bytes, bits, shape), 1, shape, perm), bits);
  return permuteBytes(bytes, bits / 8, shape, perm);
}

function permuteBytes(bytes, size, shape, perm) {
  const out = new Uint8Array(bytes.length);
  if (bytes.length === 0) return out;
  const strides = [];
  shape.reduceRight((stride, dim, axis) => (strides[axis] = stride) * dim, size);
  const dims = perm.map((axis) => shape[axis]), steps = perm.map((axis) => strides[axis]);
  const last = dims.length - 1, at = new Array(dims.length).fill(0);
  for (let to = 0, base = 0; to < out.length;) {
    for (let i = 0, from = base; i < dims[last]; i += 1, from += steps[last]) {
      for (let byte = 0; byte < size; byte += 1, to += 1) out[to] = bytes[from + byte];
    }
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

/** Elements of 2 or 4 bits, one in each byte (section 5.3). */
function unpack(bytes, bits, shape) {
  const count = shape.reduce((product, dim) => product * dim, 1);
  const out = new Uint8Array(count), perByte = 8 / bits, mask = (1 << bits) - 1;
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
