/** The codes of section 10.1. They are stable; the texts of messages are not. */
export const CODES = Object.freeze([
  "MAGIC", "TRUNCATED", "VERSION", "NONZERO", "CHECKSUM", "EXTENT", "LIMIT", "CODEC", "MALFORMED", "NONCANONICAL",
  "DUPLICATE", "FEATURE", "SCHEMA", "DTYPE", "SHAPE", "CHUNK", "PATH", "ALIAS", "TREE", "DATA",
]);

/** The longest path to show: one that is not checked yet may be much longer than any path. */
const MAX_SHOWN = 1024;

function shown(path) {
  return JSON.stringify(path.length > MAX_SHOWN ? `${path.slice(0, MAX_SHOWN)}…` : path);
}

/** The file breaks a rule of the format. */
export class FormatError extends Error {
  /**
   * @param {string} code one of CODES
   * @param {string} message what is wrong, for a human
   * @param {string} [path] the path of the entry it is about, if there is one
   */
  constructor(code, message, path) {
    super(path === undefined ? `${code}: ${message}` : `${code}: ${message} (at ${shown(path)})`);
    this.name = "FormatError";
    this.code = code;
    this.path = path;
  }
}

/** The file may be right, but is more than this reader can hold. Section 9 forbids the codes of section 10 for that. */
export class CapacityError extends Error {
  /** @param {string} message what is too large, and for what */
  constructor(message) {
    super(message);
    this.name = "CapacityError";
  }
}

/**
 * @param {string} code
 * @param {string} message
 * @param {string} [path]
 * @returns {never}
 * @throws {FormatError}
 */
export function fail(code, message, path) {
  throw new FormatError(code, message, path);
}
