/** SHA-256 (FIPS 180-4), synchronous and in pieces: a tensor is hashed chunk by chunk, never held as a whole for it. */

const BLOCK = 64;

/** The first 32 bits of the fractional parts of a root of each of the first primes, as FIPS 180-4 defines constants. */
function constants(count, root) {
  const words = [];
  for (let candidate = 2; words.length < count; candidate += 1) {
    let prime = true;
    for (let divisor = 2; divisor * divisor <= candidate; divisor += 1) prime &&= candidate % divisor !== 0;
    if (prime) words.push((root(candidate) % 1) * 4294967296);
  }
  return Int32Array.from(words);
}

const ROUND = constants(64, Math.cbrt);
const FIRST = constants(8, Math.sqrt);
const schedule = new Int32Array(64);

function compress(state, view, at) {
  const w = schedule;
  for (let i = 0; i < 16; i += 1) w[i] = view.getInt32(at + i * 4);
  for (let i = 16; i < 64; i += 1) {
    const x = w[i - 15], y = w[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  let a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
  for (let i = 0; i < 64; i += 1) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROUND[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

export class Sha256 {
  #state = Int32Array.from(FIRST);
  #rest = new Uint8Array(BLOCK);
  #restView = new DataView(this.#rest.buffer);
  #length = 0;

  /**
   * @param {Uint8Array} bytes
   * @returns {this}
   */
  update(bytes) {
    let at = 0;
    const filled = this.#length % BLOCK;
    this.#length += bytes.length;
    if (filled > 0) {
      at = Math.min(BLOCK - filled, bytes.length);
      this.#rest.set(bytes.subarray(0, at), filled);
      if (filled + at < BLOCK) return this;
      compress(this.#state, this.#restView, 0);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (; at + BLOCK <= bytes.length; at += BLOCK) compress(this.#state, view, at);
    this.#rest.set(bytes.subarray(at));
    return this;
  }

  /** @returns {Uint8Array} the 32 bytes of the sum; nothing may be added afterwards */
  digest() {
    const length = this.#length;
    const filled = length % BLOCK;
    this.#rest.fill(0, filled);
    this.#rest[filled] = 0x80;
    if (filled >= BLOCK - 8) {
      compress(this.#state, this.#restView, 0);
      this.#rest.fill(0);
    }
    this.#restView.setUint32(BLOCK - 8, Math.floor(length / 0x20000000));
    this.#restView.setUint32(BLOCK - 4, (length % 0x20000000) * 8);
    compress(this.#state, this.#restView, 0);
    const sum = new DataView(new ArrayBuffer(32));
    this.#state.forEach((word, i) => sum.setInt32(i * 4, word));
    return new Uint8Array(sum.buffer);
  }
}

/**
 * @param {Uint8Array} bytes
 * @returns {string} in lower-case hexadecimal
 */
export function hex(bytes) {
  let text = "";
  for (const byte of bytes) text += (byte + 256).toString(16).slice(1);
  return text;
}
