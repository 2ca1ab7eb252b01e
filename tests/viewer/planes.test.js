import assert from "node:assert/strict";
import test from "node:test";
import { DTYPES, dtypeNamed } from "../../ptformat/viewer/dtypes.js";
import { decodePlanes } from "../../ptformat/viewer/planes.js";
import { bytesOf, frame, little, u32s } from "./build.js";

/** Section 6.3 from the writer's side, byte by byte. */
function takeApart(bytes, { bits, component: width, regrouped }) {
  const size = bits / 8, count = bytes.length / size;
  const planes = Array.from({ length: size }, () => new Uint8Array(count));
  for (let n = 0; n < count; n += 1) {
    for (let base = 0; base < size; base += width) {
      let digits = "";
      for (let i = width - 1; i >= 0; i -= 1) digits += bytes[n * size + base + i].toString(2).padStart(8, "0");
      if (regrouped) digits = digits.slice(2, 10) + digits.slice(0, 2) + digits.slice(10);
      for (let i = 0; i < width; i += 1) planes[base + i][n] = parseInt(digits.slice(8 * i, 8 * i + 8), 2);
    }
  }
  return planes;
}

function sevens(plane) {
  const n = plane.length, q = Math.ceil(n / 8), v = new Uint8Array(8 * q), places = [];
  plane.forEach((byte, i) => {
    v[i] = byte & 0xbf;
    if (byte & 0x40) places.push(i);
  });
  const stored = v.slice(0, 7 * q);
  for (let j = 0; j < q; j += 1) {
    const t = (v[7 * q + j] & 0x3f) | (v[7 * q + j] >> 7 << 6);
    for (let i = 0; i < 7; i += 1) stored[i * q + j] |= ((t >> i) & 1) << 6;
  }
  return bytesOf(u32s(places.length, ...places), stored);
}

const STORE = [(plane) => plane, frame, sevens];
const join = (pairs) => bytesOf(
  ...pairs.map(([mode, stored]) => bytesOf(mode, little(stored.length, 4))), ...pairs.map(([, stored]) => stored));

function decode(stored, length, dtype) {
  const out = new Uint8Array(length);
  decodePlanes(stored, out, dtype);
  return out;
}

test("all element types, all modes", () => {
  for (const dtype of DTYPES.filter(({ component }) => component > 0)) {
    for (const count of [1, 2, 40, 47, 64, 333]) {
      const length = (count * dtype.bits) / 8;
      const bytes = Uint8Array.from({ length }, (_, i) => Math.imul(i + 7, 2654435761) >>> 13);
      const planes = takeApart(bytes, dtype);
      const pairs = planes.map((plane, i) => {
        const mode = count >= 333 && (i & 1) === 1 ? 2 : 0;
        const stored = STORE[mode](mode === 2 ? plane.map((byte) => byte) : plane);
        return stored.length < count ? [mode, stored] : [0, plane];
      });
      assert.deepEqual(decode(join(pairs), bytes.length, dtype), bytes, `${dtype.name} ${count}`);
    }
  }
});

test("mode 2 with places, and planes of every length", () => {
  const dtype = dtypeNamed("int16");
  for (let count = 40; count < 140; count += 1) {
    const plane = Uint8Array.from({ length: count }, (_, i) => Math.imul(i + count, 40503) >> 5 & 0xbf);
    if (count > 60) plane[count - 1] |= 0x40;
    const stored = sevens(plane);
    if (stored.length >= count) continue;
    const out = decode(join([[2, stored], [1, frame(new Uint8Array(count).fill(9))]]), 2 * count, dtype);
    assert.deepEqual(out.filter((_, i) => i % 2 === 1), plane);
    assert.ok(out.every((byte, i) => i % 2 === 1 || byte === 9));
  }
});

test("bfloat16, float32 and complex64 are regrouped, other types are not", () => {
  assert.deepEqual(DTYPES.filter(({ regrouped }) => regrouped).map(({ name }) => name),
    ["bfloat16", "float32", "complex64"]);
  for (const [name, number, first, second] of [["float32", 1, 0xfe, 0x00], ["float32", -2, 0x00, 0xc0]]) {
    const planes = takeApart(new Uint8Array(Float32Array.of(number).buffer), dtypeNamed(name));
    assert.deepEqual([planes[0][0], planes[1][0]], [first, second]);
  }
});

test("faults, in the order of the table", () => {
  const dtype = dtypeNamed("int16"), count = 100, zeros = new Uint8Array(count);
  const good = [0, zeros], packed = [1, frame(zeros)], seven = [2, sevens(zeros)];
  const refuses = (code, stored, why) => {
    assert.throws(() => decode(Uint8Array.from(stored), 2 * count, dtype), { name: "FormatError", code }, why);
  };
  decode(join([packed, seven]), 2 * count, dtype);
  refuses("CODEC", join([good, packed]).subarray(0, 9), "too short for the modes");
  refuses("CODEC", join([[3, zeros], packed]), "an unknown mode");
  refuses("CODEC", join([[0, zeros.subarray(1)], packed]), "a raw plane of a wrong length");
  refuses("CODEC", join([[1, zeros], packed]), "a frame that is not shorter");
  refuses("CODEC", join([[1, zeros.subarray(0, 0)], packed]), "an empty frame");
  refuses("CODEC", join([[2, zeros], packed]), "a plane of mode 2 that is not shorter");
  refuses("CODEC", join([packed, seven]).subarray(0, -1), "the last plane is cut off");
  refuses("CODEC", bytesOf(join([packed, seven]), 0), "a byte after the last plane");
  refuses("CODEC", bytesOf(0, little(4294967295, 4), 0, little(0, 4), zeros), "a huge length");
  refuses("CODEC", join([packed, [2, zeros.subarray(0, 3)]]), "no count");
  refuses("CODEC", join([packed, [2, seven[1].subarray(1)]]), "a wrong length of mode 2");
  const places = (...numbers) => [2, bytesOf(u32s(numbers.length, ...numbers), new Uint8Array(91))];
  const wide = (plane) => {
    const out = new Uint8Array(400);
    decodePlanes(join([[0, new Uint8Array(200)], plane]), out, dtype);
    return out;
  };
  const sized = (numbers) => [2, bytesOf(u32s(numbers.length, ...numbers), new Uint8Array(175))];
  assert.equal(wide(sized([0, 199]))[0], 0x40);
  for (const numbers of [[5, 5], [6, 5], [200], [4294967295]]) {
    assert.throws(() => wide(sized(numbers)), { code: "CODEC" }, String(numbers));
  }
  decode(join([good, places(1)]), 2 * count, dtype);
  refuses("CODEC", join([good, places(100)]), "a place after the last one");
  // 100 bytes are 13 times 8 less 4: the padding is v[100] to v[103], spread over bit 6 of the columns 9 to 12.
  const padded = seven[1].slice();
  padded[4 + 9] |= 0x40;
  refuses("CODEC", join([packed, [2, padded]]), "padding that is not zero");
  const wideWindow = bytesOf([0x28, 0xb5, 0x2f, 0xfd, 0x80, 0xff], little(count, 4), little(3, 3));
  refuses("LIMIT", join([[1, wideWindow], [7, zeros]]), "plane by plane: a limit in the first one");
  refuses("CODEC", join([[7, zeros], [1, wideWindow]]), "plane by plane: a mode in the first one");
});
