/** Random words, so that nobody can choose texts that all fall on one place of the table. */
const NOISE = Uint32Array.from({ length: 256 }, () => Math.random() * 4294967296);

/** @returns {number} an int32 */
function hash(bytes, start, end, parent) {
  let h = Math.imul(parent + 1, 0x9e3779b1) ^ NOISE[(end - start) & 255];
  for (let at = start; at < end; at += 1) {
    h = Math.imul(h ^ NOISE[bytes[at]], 0x85ebca6b);
    h ^= h >>> 15;
  }
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

function grown(array, capacity) {
  const larger = new array.constructor(capacity);
  larger.set(array);
  return larger;
}

/**
 * Numbers texts from 0 in the order in which they come, equal texts with equal numbers. The texts are pieces of one
 * buffer and are not copied. A text may have a parent, another number: then both have to be equal.
 */
export class Interner {
  size = 0;
  starts;
  ends;
  parents;
  #bytes;
  #hashes;
  #table;

  /**
   * @param {Uint8Array} bytes
   * @param {number} [capacity] how many texts are expected
   */
  constructor(bytes, capacity = 16) {
    const rounded = 2 ** Math.ceil(Math.log2(Math.max(16, capacity)));
    this.#bytes = bytes;
    this.starts = new Uint32Array(rounded);
    this.ends = new Uint32Array(rounded);
    this.parents = new Int32Array(rounded);
    this.#hashes = new Int32Array(rounded);
    this.#table = new Int32Array(2 * rounded);
  }

  /**
   * @param {number} start
   * @param {number} end
   * @param {number} [parent]
   * @returns {number} the number of bytes[start:end]; a new one is `size` before the call
   */
  intern(start, end, parent = -1) {
    const h = hash(this.#bytes, start, end, parent);
    const place = this.#place(this.#bytes, start, end, parent, h);
    if (this.#table[place] > 0) return this.#table[place] - 1;
    const id = this.size;
    this.starts[id] = start;
    this.ends[id] = end;
    this.parents[id] = parent;
    this.#hashes[id] = h;
    this.size += 1;
    this.#table[place] = this.size;
    if (this.size === this.starts.length) this.#grow();
    return id;
  }

  /**
   * @param {Uint8Array} bytes
   * @param {number} [parent]
   * @returns {number} the number of a text that has one, else -1
   */
  find(bytes, parent = -1) {
    const h = hash(bytes, 0, bytes.length, parent);
    return this.#table[this.#place(bytes, 0, bytes.length, parent, h)] - 1;
  }

  #place(bytes, start, end, parent, h) {
    const mask = this.#table.length - 1;
    let place = h & mask;
    for (; this.#table[place] > 0; place = (place + 1) & mask) {
      const id = this.#table[place] - 1;
      if (this.#hashes[id] === h && this.parents[id] === parent && this.#equal(id, bytes, start, end)) break;
    }
    return place;
  }

  #equal(id, bytes, start, end) {
    const own = this.#bytes, from = this.starts[id], length = end - start;
    if (this.ends[id] - from !== length) return false;
    for (let i = 0; i < length; i += 1) if (own[from + i] !== bytes[start + i]) return false;
    return true;
  }

  #grow() {
    const capacity = 2 * this.size;
    this.starts = grown(this.starts, capacity);
    this.ends = grown(this.ends, capacity);
    this.parents = grown(this.parents, capacity);
    this.#hashes = grown(this.#hashes, capacity);
    this.#table = new Int32Array(2 * capacity);
    const mask = this.#table.length - 1;
    for (let id = 0; id < this.size; id += 1) {
      let place = this.#hashes[id] & mask;
      while (this.#table[place] > 0) place = (place + 1) & mask;
      this.#table[place] = id + 1;
    }
  }
}
