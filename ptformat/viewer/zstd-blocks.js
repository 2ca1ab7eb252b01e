import { bitsOf, Source } from "./bits.js";
import { fail } from "./errors.js";
import { FseTable } from "./fse.js";
import { HuffmanTable } from "./huffman.js";
import { MAX_CHUNK_BYTES } from "./limits.js";

/** The most content of a block, and the most bytes it takes in a frame. */
export const MAX_BLOCK = 131072;

const MORE_CONTENT = "zstd: a frame has more content than it declares";

/** A copy of more bytes than this is left to the engine. */
const LONG_COPY = 48;

/** An offset of a larger code is longer than any content: 2^29 - 3 bytes and more, beyond MAX_INDEX_BYTES. */
const MAX_OFFSET_CODE = 28;

/** RFC 8878, sections 3.1.1.3.2.1.1 and 3.1.1.3.2.2: what a code adds, how many bits follow it, what is predefined. */
function bases(first, widths) {
  let base = first;
  return Int32Array.from(widths, (width) => (base += 1 << width) - (1 << width));
}
const zeros = (count) => Array(count).fill(0);
const LITERAL_BITS = Uint8Array.from([...zeros(16), 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
const MATCH_BITS = Uint8Array.from(
  [...zeros(32), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
const LITERAL_BASE = bases(0, LITERAL_BITS);
const MATCH_BASE = bases(3, MATCH_BITS);
const LITERAL_COUNTS = [4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1,
  -1, -1, -1, -1];
const MATCH_COUNTS = [1, 4, 3, 2, 2, 2, 2, 2, 2, ...Array(37).fill(1), ...Array(7).fill(-1)];
const OFFSET_COUNTS = [1, 1, 1, 1, 1, 1, 2, 2, 2, ...Array(15).fill(1), ...Array(5).fill(-1)];

/** One of the three tables of the sequences: the one in use, and the predefined one. */
class SequenceTable {
  table;
  #own;
  #predefined;

  constructor(maxLog, maxSymbol, log, counts) {
    this.#own = new FseTable(maxLog, maxSymbol);
    this.#predefined = new FseTable(maxLog, maxSymbol).predefine(log, counts);
  }

  reset() {
    this.table = undefined;
  }

  /** @returns {number} where the description ends */
  read(mode, source, start, end) {
    if (mode === 0) this.table = this.#predefined;
    if (mode === 3 && this.table === undefined) fail("CODEC", "zstd: no table to repeat");
    if (mode === 0 || mode === 3) return start;
    this.table = this.#own;
    if (mode === 2) return this.#own.read(source.view, start, end);
    if (start >= end) fail("CODEC", "zstd: the symbol of a table is missing");
    this.#own.repeat(source.bytes[start]);
    return start + 1;
  }
}

/**
 * Decodes the blocks of a frame (RFC 8878, section 3.1.1.2 and later). It is strict: bit streams end with their last
 * bit, a block has no more content than its maximum, and no match reaches beyond the window.
 */
export class BlockDecoder {
  #source = new Source();
  #huffman = new HuffmanTable();
  #hasHuffman = false;
  #literalLengths = new SequenceTable(9, 35, 6, LITERAL_COUNTS);
  #offsets = new SequenceTable(8, 31, 5, OFFSET_COUNTS);
  #matchLengths = new SequenceTable(9, 52, 6, MATCH_COUNTS);
  #buffer = new Uint8Array(MAX_BLOCK);
  #recent = new Int32Array(3);
  #out;
  #at = 0;
  #window = 0;
  #blockMax = 0;

  /** The literals of the current block are literals[literalsAt : literalsAt + literalsLength]. */
  #literals = this.#buffer;
  #literalsAt = 0;
  #literalsLength = 0;

  /**
   * Decodes blocks whose outlines are checked.
   * @param {Uint8Array} frame
   * @param {number} start where the blocks begin
   * @param {number} window in bytes
   * @param {Uint8Array} out as long as the content
   * @returns {void}
   * @throws {import("./errors.js").FormatError} CODEC
   */
  decode(frame, start, window, out) {
    try {
      this.#blocks(frame, start, window, out);
    } finally {
      this.#out = undefined;
      this.#literals = this.#buffer;
      if (this.#source.bytes.length > 2 * MAX_CHUNK_BYTES) this.#source = new Source();
    }
  }

  #blocks(frame, start, window, out) {
    const offset = this.#source.fill(frame);
    const { bytes } = this.#source;
    this.#out = out;
    this.#at = 0;
    this.#window = window;
    this.#blockMax = Math.min(window, MAX_BLOCK);
    this.#hasHuffman = false;
    this.#recent.set([1, 4, 8]);
    for (const table of [this.#literalLengths, this.#offsets, this.#matchLengths]) table.reset();
    for (let at = offset + start, last = 0; !last;) {
      const head = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16);
      last = head & 1;
      at += 3;
      at += this.#block((head >> 1) & 3, head >> 3, at);
    }
    if (this.#at !== out.length) fail("CODEC", "zstd: a frame has less content than it declares");
  }

  /** @returns {number} the bytes that the content of the block takes in the frame */
  #block(type, size, start) {
    const { bytes } = this.#source;
    if (type === 2) {
      const before = this.#at;
      this.#sequences(this.#readLiterals(start, start + size), start + size);
      if (this.#at - before > this.#blockMax) fail("CODEC", "zstd: a block has too much content");
      return size;
    }
    if (size > this.#out.length - this.#at) fail("CODEC", MORE_CONTENT);
    if (type === 1) this.#out.fill(bytes[start], this.#at, this.#at + size);
    else this.#out.set(bytes.subarray(start, start + size), this.#at);
    this.#at += size;
    return type === 1 ? 1 : size;
  }

  /**
   * RFC 8878, section 3.1.1.3.1.
   * @returns {number} where the literals end
   */
  #readLiterals(start, end) {
    const { bytes } = this.#source;
    if (start >= end) fail("CODEC", "zstd: an empty block");
    const type = bytes[start] & 3, format = (bytes[start] >> 2) & 3;
    return type < 2 ? this.#plainLiterals(type, format, start, end) : this.#packedLiterals(type, format, start, end);
  }

  #plainLiterals(type, format, start, end) {
    const { bytes, view } = this.#source;
    const headBytes = format === 1 ? 2 : format === 3 ? 3 : 1;
    const length = (view.getUint32(start, true) & (2 ** (8 * headBytes) - 1)) >> (headBytes === 1 ? 3 : 4);
    const at = start + headBytes, stop = at + (type === 1 ? 1 : length);
    if (stop > end) fail("CODEC", "zstd: literals are cut off");
    if (length > this.#blockMax) fail("CODEC", "zstd: a block has too many literals");
    this.#literals = type === 1 ? this.#buffer : bytes;
    this.#literalsAt = type === 1 ? 0 : at;
    this.#literalsLength = length;
    if (type === 1) this.#buffer.fill(bytes[at], 0, length);
    return stop;
  }

  #packedLiterals(type, format, start, end) {
    const { view } = this.#source;
    const width = format < 2 ? 10 : format === 2 ? 14 : 18;
    const at = start + (4 + 2 * width) / 8;
    if (at > end) fail("CODEC", "zstd: literals are cut off");
    const mask = (1 << width) - 1;
    const length = (view.getUint32(start, true) >>> 4) & mask;
    const packed = (view.getUint32(start + ((4 + width) >> 3), true) >>> ((4 + width) & 7)) & mask;
    const stop = at + packed;
    if (stop > end) fail("CODEC", "zstd: literals are cut off");
    if (length > this.#blockMax) fail("CODEC", "zstd: a block has too many literals");
    if (type === 3 && !this.#hasHuffman) fail("CODEC", "zstd: no Huffman tree to use again");
    const streams = type === 3 ? at : this.#huffman.read(this.#source, at, stop);
    this.#hasHuffman = true;
    if (format === 0) this.#huffman.decodeOne(this.#source, streams, stop, this.#buffer, 0, length);
    else this.#huffman.decodeFour(this.#source, streams, stop, this.#buffer, length);
    this.#literals = this.#buffer;
    this.#literalsAt = 0;
    this.#literalsLength = length;
    return stop;
  }

  /** RFC 8878, section 3.1.1.3.2. */
  #sequences(start, end) {
    const source = this.#source, { bytes } = source;
    if (start >= end) fail("CODEC", "zstd: the number of sequences is missing");
    let count = bytes[start], at = start + 1;
    if (count > 127) {
      const more = count === 255 ? 2 : 1;
      if (at + more > end) fail("CODEC", "zstd: the number of sequences is cut off");
      count = more === 2 ? bytes[at] + (bytes[at + 1] << 8) + 0x7f00 : ((count - 128) << 8) + bytes[at];
      at += more;
    }
    if (count === 0) {
      if (at !== end) fail("CODEC", "zstd: bytes after a block without sequences");
      this.#copyRestOfLiterals();
      return;
    }
    if (at >= end || (bytes[at] & 3) !== 0) fail("CODEC", "zstd: the modes of the sequences are missing or unknown");
    const modes = bytes[at];
    at = this.#literalLengths.read(modes >> 6, source, at + 1, end);
    at = this.#offsets.read((modes >> 4) & 3, source, at, end);
    at = this.#matchLengths.read((modes >> 2) & 3, source, at, end);
    this.#execute(count, at, end);
    this.#copyRestOfLiterals();
  }

  /**
   * Decodes and carries out the sequences. All that the loop touches is in local variables: it is the hottest one of
   * all. A load has 25 good bits at least; one behind the start of the stream still lies in the lead of the source,
   * since one sequence has 86 bits at most.
   */
  #execute(count, start, end) {
    const { bytes, view } = this.#source, out = this.#out, literals = this.#literals;
    const literalWords = this.#literalLengths.table.words, literalLog = this.#literalLengths.table.log;
    const offsetWords = this.#offsets.table.words, offsetLog = this.#offsets.table.log;
    const matchWords = this.#matchLengths.table.words, matchLog = this.#matchLengths.table.log;
    const literalsEnd = this.#literalsAt + this.#literalsLength, window = this.#window, outEnd = out.length;
    let at = this.#at, from = this.#literalsAt, [first, second, third] = this.#recent;
    let bit = bitsOf(bytes, start, end) - literalLog;
    let literalState = (view.getUint32(start + (bit >> 3), true) >>> (bit & 7)) & ((1 << literalLog) - 1);
    bit -= offsetLog;
    let offsetState = (view.getUint32(start + (bit >> 3), true) >>> (bit & 7)) & ((1 << offsetLog) - 1);
    bit -= matchLog;
    let matchState = (view.getUint32(start + (bit >> 3), true) >>> (bit & 7)) & ((1 << matchLog) - 1);
    for (let rest = count; rest > 0; rest -= 1) {
      const literalWord = literalWords[literalState], offsetWord = offsetWords[offsetState];
      const matchWord = matchWords[matchState];
      let width = offsetWord >> 24, value = 1 << width;
      if (width > MAX_OFFSET_CODE) fail("CODEC", "zstd: a match begins before the content");
      if (width > 24) {
        bit -= width - 24;
        value += ((view.getUint32(start + (bit >> 3), true) >>> (bit & 7)) & ((1 << (width - 24)) - 1)) << 24;
        width = 24;
      }
      bit -= width;
      value += (view.getUint32(start + (bit >> 3), true) >>> (bit & 7)) & ((1 << width) - 1);
      width = MATCH_BITS[matchWord >> 24];
      bit -= width;
      const matchLength = MATCH_BASE[matchWord >> 24]
        + ((view.getUint32(start + (bit >> 3), true) >>> (bit & 7)) & ((1 << width) - 1));
      width = LITERAL_BITS[literalWord >> 24];
      bit -= width;
      const literalLength = LITERAL_BASE[literalWord >> 24]
        + ((view.getUint32(start + (bit >> 3), true) >>> (bit & 7)) & ((1 << width) - 1));
      if (rest > 1) {
        width = (literalWord >> 16) & 255;
        bit -= width;
        literalState = (literalWord & 0xffff)
          + ((view.getUint32(start + (bit >> 3), true) >>> (bit & 7)) & ((1 << width) - 1));
        width = (matchWord >> 16) & 255;
        bit -= width;
        matchState = (matchWord & 0xffff)
          + ((view.getUint32(start + (bit >> 3), true) >>> (bit & 7)) & ((1 << width) - 1));
        width = (offsetWord >> 16) & 255;
        bit -= width;
        offsetState = (offsetWord & 0xffff)
          + ((view.getUint32(start + (bit >> 3), true) >>> (bit & 7)) & ((1 << width) - 1));
      }
      if (bit < 0) fail("CODEC", "zstd: the sequences are cut off");
      if (literalLength > literalsEnd - from) fail("CODEC", "zstd: a sequence takes more literals than there are");
      if (literalLength + matchLength > outEnd - at) fail("CODEC", MORE_CONTENT);
      if (literalLength > LONG_COPY) out.set(literals.subarray(from, from + literalLength), at);
      else for (let i = 0; i < literalLength; i += 1) out[at + i] = literals[from + i];
      at += literalLength;
      from += literalLength;

      // RFC 8878, section 3.1.1.5: the three offsets used last have short names, other ones without literals.
      const name = literalLength === 0 ? value + 1 : value;
      const distance = value > 3 ? value - 3
        : name === 1 ? first : name === 2 ? second : name === 3 ? third : first - 1;
      if (value > 3 || name > 2) third = second;
      if (value > 3 || name > 1) second = first;
      first = distance;
      if (distance === 0 || distance > at || distance > window) fail("CODEC", "zstd: a match begins before its window");
      if (matchLength > LONG_COPY && distance >= matchLength) {
        out.copyWithin(at, at - distance, at - distance + matchLength);
      } else for (let i = at, stop = at + matchLength; i < stop; i += 1) out[i] = out[i - distance];
      at += matchLength;
    }
    if (bit !== 0) fail("CODEC", "zstd: bits after the last sequence");
    this.#recent.set([first, second, third]);
    this.#at = at;
    this.#literalsAt = from;
    this.#literalsLength = literalsEnd - from;
  }

  #copyRestOfLiterals() {
    const length = this.#literalsLength;
    if (length > this.#out.length - this.#at) fail("CODEC", MORE_CONTENT);
    this.#out.set(this.#literals.subarray(this.#literalsAt, this.#literalsAt + length), this.#at);
    this.#at += length;
  }
}
