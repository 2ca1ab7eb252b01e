// A byte order mark inside a text is content, so it is kept (ignoreBOM keeps it, odd as the name is).
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * @param {Uint8Array} bytes valid UTF-8
 * @param {number} [start]
 * @param {number} [end]
 * @returns {string}
 */
export function decodeText(bytes, start = 0, end = bytes.length) {
  return decoder.decode(bytes.subarray(start, end));
}

/**
 * @param {string} text
 * @returns {Uint8Array}
 */
export function encodeText(text) {
  return encoder.encode(text);
}

/**
 * @param {string} text
 * @returns {boolean} whether it can be encoded: without surrogates that are no pair, which encodeText would replace
 */
export function isWellFormed(text) {
  return !/\p{Surrogate}/u.test(text);
}

/** The bytes of a character with this first byte, 0 if no character begins so. */
function characterBytes(first) {
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;
  if (first < 0xe0) return 2;
  if (first < 0xf0) return 3;
  return first < 0xf5 ? 4 : 0;
}

/**
 * Whether bytes[start:end] are UTF-8: no surrogates, no overlong forms, nothing beyond U+10FFFF.
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} end
 * @returns {boolean}
 */
export function isUtf8(bytes, start, end) {
  for (let at = start; at < end;) {
    const first = bytes[at];
    if (first < 0x80) {
      at += 1;
      continue;
    }
    const size = characterBytes(first);
    if (size === 0 || size > end - at) return false;
    const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    if (bytes[at + 1] < low || bytes[at + 1] > high) return false;
    for (let i = 2; i < size; i += 1) if ((bytes[at + i] & 0xc0) !== 0x80) return false;
    at += size;
  }
  return true;
}

/**
 * Compares a[aStart:aEnd] and b[bStart:bEnd] as bytes: the order of UTF-8, which is not that of JavaScript's strings.
 * @returns {number} negative, 0 or positive
 */
export function compareBytes(a, aStart, aEnd, b, bStart, bEnd) {
  const common = Math.min(aEnd - aStart, bEnd - bStart);
  for (let i = 0; i < common; i += 1) {
    const difference = a[aStart + i] - b[bStart + i];
    if (difference !== 0) return difference;
  }
  return (aEnd - aStart) - (bEnd - bStart);
}
