import { readFileSync } from "node:fs";

/** The text of the specification. */
export const spec = readFileSync(new URL("../../spec/ptformat-1.0.md", import.meta.url), "utf8");

/** @returns {Uint8Array} the bytes of the block with this name */
export function block(name) {
  const body = spec.match(new RegExp("```hex " + name + "\n([^`]*)```"))[1];
  return Uint8Array.from(body.match(/[0-9a-f]{2}/g), (pair) => parseInt(pair, 16));
}

/** @returns {Uint8Array} the file of section 14 */
export function hexdump() {
  const lines = spec.match(/```hexdump\n([^`]*)```/)[1].split("\n");
  const pairs = lines.flatMap((line) => line.match(/^[0-9a-f]{4}  ((?:[0-9a-f]{2} ?)+)/)?.[1].trim().split(" ") ?? []);
  return Uint8Array.from(pairs, (pair) => parseInt(pair, 16));
}

/**
 * @param {string} head the beginning of the table's first line
 * @returns {string[][]} the cells of its rows
 */
export function table(head) {
  const lines = spec.slice(spec.indexOf(head)).split("\n");
  const rows = lines.slice(2, lines.findIndex((line) => !line.startsWith("|")));
  return rows.map((row) => row.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim()));
}

/** @returns {string[]} the texts between double quotes in the code spans of a cell */
export function quoted(cell) {
  return Array.from(cell.matchAll(/`"([^`]*)"`/g), ([, text]) => text);
}
