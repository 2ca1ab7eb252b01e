import { CapacityError } from "./errors.js";

/**
 * @template {Uint8Array | Int8Array | Float32Array} T
 * @param {new (length: number) => T} ArrayType a typed array
 * @param {number} length
 * @returns {T}
 * @throws {CapacityError} if the engine has no room for it
 */
export function allocate(ArrayType, length) {
  try {
    return new ArrayType(length);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CapacityError(`no room for ${length * ArrayType.BYTES_PER_ELEMENT} bytes`, { cause: error });
  }
}
