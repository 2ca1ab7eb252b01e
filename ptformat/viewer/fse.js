import { fail } from "./errors.js";

/**
 * An FSE table (RFC 8878, section 4.1): one word for each state, with the symbol from bit 24 on, the number of bits to
 * read from bit 16 on, and what to add to them for the next state below.
 */
export class FseTable {
  log = 0;
  words;
  #counts;

  /**
   * @param {number} maxLog the largest accuracy log
   * @param {number} maxSymbol
   */
  constructor(maxLog, maxSymbol) {
    this.words = new Int32Array(1 << maxLog);
    this.#counts = new Int16Array(maxSymbol + 1);
    this.maxLog = maxLog;
    this.maxSymbol = maxSymbol;
  }

  /**
   * Reads a table description (section 4.1.1).
   * @param {DataView} view
   * @param {number} start
   * @param {number} end where the bytes end that may belong to it
   * @returns {number} where it ends
   * @throws {import("./errors.js").FormatError} CODEC
   */
  read(view, start, end) {
    const counts = this.#counts.fill(0);
    let bit = 4;
    const peek = () => view.getUint32(start + (bit >> 3), true) >>> (bit & 7);
    const whole = () => start + ((bit + 7) >> 3) <= end || fail("CODEC", "zstd: a table description is cut off");
    if (start >= end) fail("CODEC", "zstd: a table description is missing");
    this.log = (view.getUint8(start) & 15) + 5;
    if (this.log > this.maxLog) fail("CODEC", "zstd: the accuracy of a table is too high");
    let remaining = 1 << this.log;
    let symbol = 0;
    while (remaining > 0) {
      if (symbol > this.maxSymbol) fail("CODEC", "zstd: a table has too many symbols");
      const width = 32 - Math.clz32(remaining + 1);
      const mask = (1 << (width - 1)) - 1, short = (1 << width) - 2 - remaining;
      let value = peek() & ((1 << width) - 1);
      bit += width;
      if ((value & mask) < short) {
        value &= mask;
        bit -= 1;
      } else if (value > mask) value -= short;
      whole();
      counts[symbol] = value - 1;
      symbol += 1;
      remaining -= value === 0 ? 1 : value - 1;
      for (let repeat = value === 1 ? 3 : 0; repeat === 3;) {
        repeat = peek() & 3;
        bit += 2;
        symbol += repeat;
        whole();
      }
    }
    if (symbol > this.maxSymbol + 1) fail("CODEC", "zstd: a table has too many symbols");
    this.#build();
    return start + ((bit + 7) >> 3);
  }

  /** @param {number[]} counts of a predefined table, -1 for "less than one" */
  predefine(log, counts) {
    this.log = log;
    this.#counts.fill(0).set(counts);
    this.#build();
    return this;
  }

  /** A table of one state that always gives the same symbol. */
  repeat(symbol) {
    if (symbol > this.maxSymbol) fail("CODEC", "zstd: a symbol that does not exist");
    this.log = 0;
    this.words[0] = symbol << 24;
    return this;
  }

  #build() {
    const { log, words } = this, counts = this.#counts, size = 1 << log;
    let top = size;
    for (let symbol = 0; symbol < counts.length; symbol += 1) {
      if (counts[symbol] === -1) words[top -= 1] = symbol;
    }
    const step = (size >> 1) + (size >> 3) + 3;
    let at = 0;
    for (let symbol = 0; symbol < counts.length; symbol += 1) {
      for (let i = 0; i < counts[symbol]; i += 1) {
        words[at] = symbol;
        do at = (at + step) & (size - 1); while (at >= top);
      }
    }
    const next = counts.map((count) => Math.abs(count));
    for (let state = 0; state < size; state += 1) {
      const symbol = words[state];
      const x = next[symbol];
      next[symbol] += 1;
      const width = log - 31 + Math.clz32(x);
      words[state] = (symbol << 24) | (width << 16) | ((x << width) - size);
    }
  }
}
