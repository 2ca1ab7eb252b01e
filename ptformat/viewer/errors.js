/** The codes of section 10.1. They are stable; the texts of messages are not. */
export const CODES = Object.freeze([
  "MAGIC", "TRUNCATED", "VERSION", "NONZERO", "CHECKSUM", "EXTENT", "LIMIT", "CODEC", "MALFORMED", "NONCANONICAL",
  "DUPLICATE", "FEATURE", "SCHEMA", "DTYPE", "SHAPE", "CHUNK", "PATH", "ALIAS", "TREE", "DATA",
]);

/** The longest text to show: a path that is not checked yet may be much longer than any path. */
const MAX_SHOWN = 1024;

const cut = (text) => (text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text);

/** Characters that change what stands around them in a terminal or a page: controls, bidi, line separators. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;

/**
 * @param {string} text from a file
 * @returns {string} cut and escaped, to be shown in a message
 */
export function shown(text) {
  return JSON.stringify(cut(text)).replace(INVISIBLE, (character) => character.split("").map(escaped).join(""));
}

/** The file breaks a rule of the format. */
export class FormatError extends Error {
  #what;

  /**
   * @param {string} code one of CODES
   * @param {string} message what is wrong, for a human
   * @param {string} [path] the path of the entry it is about, if there is one; cut if it is longer than any path
   */
  constructor(code, message, path) {
    super(path === undefined ? `${code}: ${message}` : `${code}: ${message} (at ${shown(path)})`);
    this.#what = message;
    this.name = "FormatError";
    this.code = code;
    this.path = path === undefined ? undefined : cut(path);
  }

  /**
   * @param {string} path
   * @returns {FormatError} the same fault, told of an entry
   */
  at(path) {
    return new FormatError(this.code, this.#what, path);
  }
}

/** The file may be right, but is more than this reader can hold. Section 9 forbids the codes of section 10 for that. */
export class CapacityError extends Error {
  /**
   * @param {string} message what is too large, and for what
   * @param {{cause?: unknown}} [options]
   */
  constructor(message, options) {
    super(message, options);
    this.name = "CapacityError";
  }
}

/** The source cannot be read, or gives other bytes than it announced: it says nothing of the file's format. */
export class SourceError extends Error {
  /**
   * @param {string} message
   * @param {{cause?: unknown}} [options] the error of the source itself
   */
  constructor(message, options) {
    super(message, options);
    this.name = "SourceError";
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
