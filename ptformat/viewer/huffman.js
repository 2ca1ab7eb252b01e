import { bitsOf } from "./bits.js";
import { fail } from "./errors.js";
import { FseTable } from "./fse.js";

const MAX_BITS = 11;
const MAX_WEIGHTS = 255;

/** The Huffman table of the literals (RFC 8878, section 4.2): for each prefix the symbol, and below it its bits. */
export class HuffmanTable {
  #words = new Uint16Array(1 << MAX_BITS);
  #weights = new Uint8Array(MAX_WEIGHTS + 1);
  #fse = new FseTable(6, 255);
  #maxBits = 0;

  /**
   * Reads a tree description.
   * @param {import("./bits.js").Source} source
   * @param {number} start
   * @param {number} end where the bytes end that may belong to it
   * @returns {number} where it ends
   * @throws {import("./errors.js").FormatError} CODEC
   */
  read(source, start, end) {
    if (start >= end) fail("CODEC", "zstd: a Huffman tree is missing");
    const head = source.bytes[start];
    const size = head < 128 ? head : (head - 126) >> 1;
    const stop = start + 1 + size;
    if (stop > end) fail("CODEC", "zstd: a Huffman tree is cut off");
    const count = head < 128 ? this.#readPacked(source, start + 1, stop) : head - 127;
    if (head >= 128) {
      for (let i = 0; i < count; i += 1) {
        const pair = source.bytes[start + 1 + (i >> 1)];
        this.#weights[i] = i & 1 ? pair & 15 : pair >> 4;
      }
    }
    this.#build(count);
    return stop;
  }

  /** Weights that are packed by two FSE states in turn; the stream ends when a state cannot read its bits. */
  #readPacked(source, start, end) {
    const fse = this.#fse, weights = this.#weights;
    const begin = fse.read(source.view, start, end);
    let position = bitsOf(source.bytes, begin, end);
    const take = (width) => {
      position -= width;
      return (source.view.getUint32(begin + (position >> 3), true) >>> (position & 7)) & ((1 << width) - 1);
    };
    if (position < 2 * fse.log) fail("CODEC", "zstd: the weights of a Huffman tree are cut off");
    let state = take(fse.log), other = take(fse.log);
    for (let count = 0; count <= MAX_WEIGHTS - 2;) {
      const word = fse.words[state], width = (word >> 16) & 255;
      weights[count] = word >>> 24;
      count += 1;
      if (position < width) {
        weights[count] = fse.words[other] >>> 24;
        return count + 1;
      }
      state = other;
      other = (word & 0xffff) + take(width);
    }
    return fail("CODEC", "zstd: a Huffman tree has too many weights");
  }

  /** The last weight is not stored: it makes the sum of the leaves a power of two. */
  #build(count) {
    const weights = this.#weights;
    let sum = 0;
    for (let i = 0; i < count; i += 1) {
      if (weights[i] > MAX_BITS) fail("CODEC", "zstd: a Huffman code is too long");
      sum += weights[i] === 0 ? 0 : 1 << (weights[i] - 1);
    }
    const maxBits = 32 - Math.clz32(sum);
    if (sum === 0 || maxBits > MAX_BITS) fail("CODEC", "zstd: a Huffman tree without leaves, or too deep");
    const rest = (1 << maxBits) - sum;
    if ((rest & (rest - 1)) !== 0) fail("CODEC", "zstd: a Huffman tree is not full");
    weights[count] = 32 - Math.clz32(rest);
    let at = 0;
    for (let weight = 1; weight <= maxBits; weight += 1) {
      for (let symbol = 0; symbol <= count; symbol += 1) {
        if (weights[symbol] !== weight) continue;
        const next = at + (1 << (weight - 1));
        this.#words.fill((symbol << 8) | (maxBits + 1 - weight), at, next);
        at = next;
      }
      // A full tree has two deepest leaves; without any, its depth would be another than the weights say.
      if (weight === 1 && at < 2) fail("CODEC", "zstd: a Huffman tree without deepest leaves");
    }
    this.#maxBits = maxBits;
  }

  /** Decodes one stream to out[from:to]. */
  decodeOne(source, start, end, out, from, to) {
    this.#finish(source.view, start, bitsOf(source.bytes, start, end), out, from, to);
  }

  /** Decodes four streams behind a table of the lengths of three, each to a quarter of out[0:length]. */
  decodeFour(source, start, end, out, length) {
    const { bytes, view } = source, words = this.#words, shift = 32 - this.#maxBits;
    if (length < 6 || end - start < 6) fail("CODEC", "zstd: too little for four streams");
    const startA = start + 6, startB = startA + view.getUint16(start, true);
    const startC = startB + view.getUint16(start + 2, true), startD = startC + view.getUint16(start + 4, true);
    if (startD > end) fail("CODEC", "zstd: the four streams are cut off");
    let a = bitsOf(bytes, startA, startB), b = bitsOf(bytes, startB, startC);
    let c = bitsOf(bytes, startC, startD), d = bitsOf(bytes, startD, end);
    const quarter = (length + 3) >> 2, pairs = (length - 3 * quarter) & ~1;
    for (let i = 0; i < pairs; i += 2) {
      // A load ends with the byte of the position: at least 25 of its bits are good, two symbols take 22.
      let load = view.getUint32(startA + ((a + 7) >> 3) - 4, true) << (-a & 7);
      let first = words[load >>> shift], second = words[(load << (first & 255)) >>> shift];
      out[i] = first >> 8;
      out[i + 1] = second >> 8;
      a -= (first & 255) + (second & 255);
      load = view.getUint32(startB + ((b + 7) >> 3) - 4, true) << (-b & 7);
      first = words[load >>> shift];
      second = words[(load << (first & 255)) >>> shift];
      out[quarter + i] = first >> 8;
      out[quarter + i + 1] = second >> 8;
      b -= (first & 255) + (second & 255);
      load = view.getUint32(startC + ((c + 7) >> 3) - 4, true) << (-c & 7);
      first = words[load >>> shift];
      second = words[(load << (first & 255)) >>> shift];
      out[2 * quarter + i] = first >> 8;
      out[2 * quarter + i + 1] = second >> 8;
      c -= (first & 255) + (second & 255);
      load = view.getUint32(startD + ((d + 7) >> 3) - 4, true) << (-d & 7);
      first = words[load >>> shift];
      second = words[(load << (first & 255)) >>> shift];
      out[3 * quarter + i] = first >> 8;
      out[3 * quarter + i + 1] = second >> 8;
      d -= (first & 255) + (second & 255);
      if ((a | b | c | d) < 0) fail("CODEC", "zstd: a Huffman stream is too short");
    }
    this.#finish(view, startA, a, out, pairs, quarter);
    this.#finish(view, startB, b, out, quarter + pairs, 2 * quarter);
    this.#finish(view, startC, c, out, 2 * quarter + pairs, 3 * quarter);
    this.#finish(view, startD, d, out, 3 * quarter + pairs, length);
  }

  /** The rest of a stream, which must end with its last symbol. */
  #finish(view, start, bits, out, from, to) {
    const words = this.#words, shift = 32 - this.#maxBits;
    let position = bits;
    for (let at = from; at < to && position >= 0; at += 1) {
      const word = words[(view.getUint32(start + ((position + 7) >> 3) - 4, true) << (-position & 7)) >>> shift];
      out[at] = word >> 8;
      position -= word & 255;
    }
    if (position !== 0) fail("CODEC", "zstd: a Huffman stream does not end with its last symbol");
  }
}
