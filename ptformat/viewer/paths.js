import { fail } from "./errors.js";
import { MAX_PATH_BYTES, MAX_PATH_DEPTH } from "./limits.js";
import { decodeText, encodeText, isWellFormed } from "./utf8.js";

const DOT = 0x2e;
const BACKSLASH = 0x5c;
const E = 0x65;

/**
 * Checks bytes[start:end], which are UTF-8, against the grammar of section 4.1.
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} end
 * @returns {void}
 * @throws {import("./errors.js").FormatError} PATH
 */
export function checkPath(bytes, start, end) {
  const refuse = (why) => fail("PATH", why, decodeText(bytes, start, Math.min(end, start + MAX_PATH_BYTES)));
  if (end - start > MAX_PATH_BYTES) fail("PATH", `a path of ${end - start} bytes`);
  if (start === end) return;
  let depth = 1, segment = start;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at];
    if (byte === DOT) {
      if (at === segment) refuse("a path with an empty segment");
      depth += 1;
      segment = at + 1;
    } else if (byte === BACKSLASH) {
      at += 1;
      const alone = at - 1 === segment && (at + 1 >= end || bytes[at + 1] === DOT);
      const right = at < end && (bytes[at] === DOT || bytes[at] === BACKSLASH || (bytes[at] === E && alone));
      if (!right) refuse("a path with a wrong backslash");
    } else if (byte < 0x20 || byte === 0x7f) refuse("a path with a control character");
  }
  if (segment === end) refuse("a path with an empty segment");
  if (depth > MAX_PATH_DEPTH) refuse(`a path of ${depth} segments`);
}

/**
 * @param {Uint8Array} bytes
 * @param {number} start where a segment begins
 * @param {number} end where the path ends
 * @returns {number} where the segment ends
 */
export function segmentEnd(bytes, start, end) {
  let at = start;
  while (at < end && bytes[at] !== DOT) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}

/**
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} end
 * @returns {boolean} whether the escaped segment bytes[start:end] holds a dot
 */
export function holdsDot(bytes, start, end) {
  for (let at = start; at < end; at += 1) if (bytes[at] === DOT) return true;
  return false;
}

/**
 * @param {string} segments one or more of a path, as they stand in it
 * @returns {string} what they mean, joined by dots
 */
export function unescapeSegments(segments) {
  if (!segments.includes("\\")) return segments;
  return segments.replace(/\\([.\\e])/g, (_, character) => (character === "e" ? "" : character));
}

/**
 * @param {string} segment any text that a path can hold
 * @returns {string} as it stands in a path
 */
export function escapeSegment(segment) {
  return segment === "" ? "\\e" : segment.replace(/[.\\]/g, "\\$&");
}

/**
 * @param {string} path
 * @returns {string[]} its segments, none for the root
 * @throws {import("./errors.js").FormatError} PATH
 * @throws {TypeError} if it is no string
 */
export function segmentsOf(path) {
  if (typeof path !== "string") throw new TypeError(`a path is a string, not ${typeof path}`);
  if (!isWellFormed(path)) fail("PATH", "a path with half of a surrogate pair", path);
  const bytes = encodeText(path);
  checkPath(bytes, 0, bytes.length);
  const segments = [];
  for (let start = 0; start < bytes.length;) {
    const end = segmentEnd(bytes, start, bytes.length);
    segments.push(unescapeSegments(decodeText(bytes, start, end)));
    start = end + 1;
  }
  return segments;
}

/**
 * @param {string[]} segments
 * @returns {string} the path
 */
export function pathOf(segments) {
  return segments.map(escapeSegment).join(".");
}

/**
 * The segments of a key of a flat map (section 4.2).
 * @param {string} key
 * @param {(prefix: string) => boolean} isKey whether a text is a key of the map
 * @returns {string[]}
 */
export function splitKey(key, isKey) {
  const segments = [];
  let start = 0;
  for (let p = key.indexOf("."); p >= 0; p = key.indexOf(".", p + 1)) {
    if (p > start && p + 1 < key.length && !isKey(key.slice(0, p))) {
      segments.push(key.slice(start, p));
      start = p + 1;
    }
  }
  segments.push(key.slice(start));
  return segments;
}
