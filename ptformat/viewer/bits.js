import { fail } from "./errors.js";

/**
 * The bytes of one frame, copied between zeros: a bit reader may then look some bytes before and after a stream, and
 * decides by its position alone whether it went too far.
 */
export class Source {
  static LEAD = 32;
  static TAIL = 16;
  bytes = new Uint8Array(0);
  view = new DataView(this.bytes.buffer);

  /**
   * @param {Uint8Array} frame
   * @returns {number} where the frame begins in `bytes`
   */
  fill(frame) {
    const { LEAD, TAIL } = Source;
    if (this.bytes.length < LEAD + frame.length + TAIL) {
      this.bytes = new Uint8Array(LEAD + frame.length + TAIL);
      this.view = new DataView(this.bytes.buffer);
    }
    this.bytes.set(frame, LEAD);
    this.bytes.fill(0, LEAD + frame.length, LEAD + frame.length + TAIL);
    return LEAD;
  }
}

/**
 * The number of bits in a stream that is read from its end. The highest bit that is set in its last byte marks the end
 * and is none of them (RFC 8878, section 4.1).
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} end
 * @returns {number}
 * @throws {import("./errors.js").FormatError} CODEC
 */
export function bitsOf(bytes, start, end) {
  if (end <= start || bytes[end - 1] === 0) fail("CODEC", "zstd: a bit stream without its end mark");
  return (end - start) * 8 - Math.clz32(bytes[end - 1]) + 23;
}
