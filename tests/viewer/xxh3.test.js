import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { xxh3 } from "../../ptformat/viewer/xxh3.js";

const { sums } = JSON.parse(readFileSync(new URL("vectors/xxh3.json", import.meta.url), "utf8"));

function noise(length) {
  let x = 2463534242;
  return Uint8Array.from({ length }, () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x;
  });
}

test("sums of all lengths up to 1100 and some longer ones", () => {
  const bytes = noise(70000);
  for (const [length, sum] of sums) {
    assert.equal(xxh3(bytes.subarray(0, length)).toString(16).padStart(16, "0"), sum, `${length} bytes`);
  }
});

test("bytes at any address, with nothing behind them", () => {
  for (const length of [0, 3, 8, 16, 17, 128, 240, 241, 1024, 1025, 3000]) {
    const bytes = noise(length);
    for (let shift = 0; shift < 8; shift += 1) {
      const moved = new Uint8Array(shift + length);
      moved.set(bytes, shift);
      assert.equal(xxh3(moved.subarray(shift)), xxh3(bytes));
    }
  }
});

test("carries: sums of one block that are as large as they get", () => {
  const bytes = new Uint8Array(5000).fill(255);
  assert.equal(xxh3(bytes).toString(16), "eecab76e201cf173");
});
