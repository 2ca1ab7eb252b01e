import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { DTYPES, dtypeNamed } from "../../ptformat/viewer/dtypes.js";
import { elements, toTypedArray } from "../../ptformat/viewer/ptformat.js";
import { viewElements } from "../../ptformat/viewer/elements.js";

const FOLDER = new URL("../../ptformat/viewer/", import.meta.url);
const textOf = (name, base = FOLDER) => readFileSync(new URL(name, base), "utf8");
const manifest = JSON.parse(textOf("package.json"));
const readme = textOf("README.md");

test("the package says what the project says", () => {
  const project = textOf("../../pyproject.toml");
  for (const name of ["version", "license"]) {
    assert.equal(manifest[name], project.match(new RegExp(`^${name} = "(.*)"$`, "m"))[1], name);
  }
  assert.equal(manifest.private, true);
  assert.match(manifest.name, /^[a-z-]+$/);
});

test("what the package exports is there, and what the README imports", async () => {
  assert.deepEqual(Object.keys(manifest.exports), [".", "./node"]);
  for (const path of Object.values(manifest.exports)) await import(new URL(path, FOLDER));
  const imports = [...readme.matchAll(/import \{ (.*) \} from "\.\/(.*)";/g)];
  assert.equal(imports.length, 3);
  for (const [, names, path] of imports) {
    const exported = await import(new URL(path, FOLDER));
    for (const name of names.split(", ")) assert.equal(typeof exported[name], "function", name);
  }
});

test("the wheel has every file of the folder", () => {
  const patterns = textOf("../../pyproject.toml").match(/^ptformat = \[(.*)\]$/m)[1].match(/viewer\/[^"]+/g);
  const regular = patterns.map((pattern) => new RegExp(`^${pattern.replace(".", "\\.").replace("*", "[^/]*")}$`));
  const missing = readdirSync(FOLDER).filter((name) => !regular.some((each) => each.test(`viewer/${name}`)));
  assert.deepEqual(missing, []);
});

test("the README names the class of every element type", () => {
  const rows = [...readme.matchAll(/^\| (`[a-z].*?) \| (`.*?) \| (.*?) \| (.*?) \|$/gm)].map((row) => row.slice(1));
  const codes = (cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code);
  const found = new Map();
  for (const [types, data, typed, values] of rows) {
    const names = codes(types).flatMap((name) => {
      const isFamily = name.endsWith("…"), all = DTYPES.map((dtype) => dtype.name);
      return isFamily ? all.filter((each) => each.startsWith(name.slice(0, -1))) : name;
    });
    names.forEach((name, i) => {
      const [views, made] = [codes(data), typed === "the same" ? codes(data) : codes(typed)];
      found.set(name, [views[i] ?? views[0], made[i] ?? made[0], values]);
    });
  }
  assert.deepEqual([...found.keys()].sort(), DTYPES.map(({ name }) => name).sort());
  for (const [name, [view, made, values]] of found) {
    const tensor = { dtype: name, count: 1, bytes: new Uint8Array(Math.ceil(dtypeNamed(name).bits / 8)) };
    assert.equal(viewElements(name, tensor.bytes).constructor.name, view, name);
    assert.equal(toTypedArray(tensor).constructor.name, made, name);
    const [value] = elements(tensor);
    assert.equal(`${Array.isArray(value) ? "pair" : typeof value}s`, values, name);
  }
});
