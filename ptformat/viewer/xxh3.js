/**
 * XXH3 with 64 bits of output, seed 0 and the default secret. JavaScript has no fast 64-bit integers, so a number of 64
 * bits is two halves: the functions here return the low half and leave the high one in the variable `high`.
 */

const SECRET_TEXT =
  "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248e" +
  "e03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8fa763fe39c343ff9dcbbc7c70b4f1d8a" +
  "51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8f" +
  "f8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e";

const secretBytes = Uint8Array.from(SECRET_TEXT.match(/../g), (pair) => parseInt(pair, 16));
const secret = new DataView(secretBytes.buffer);
const SECRET_BYTES = 192;
const STRIPE = 64;
const STRIPES_OF_BLOCK = 16;
const BLOCK = STRIPE * STRIPES_OF_BLOCK;
const TWO32 = 4294967296;

/** The words of the secret that each stripe of a block takes, as halves: 8 lanes of 16 stripes. */
const laneKeys = new Int32Array(8 * STRIPES_OF_BLOCK * 2);
for (let lane = 0; lane < 8; lane += 1) {
  for (let stripe = 0; stripe < STRIPES_OF_BLOCK; stripe += 1) {
    const at = (lane * STRIPES_OF_BLOCK + stripe) * 2;
    laneKeys[at] = secret.getInt32(stripe * 8 + lane * 8, true);
    laneKeys[at + 1] = secret.getInt32(stripe * 8 + lane * 8 + 4, true);
  }
}

let high = 0;

/** The upper half of the product of two u32. */
function multiplyHigh(a, b) {
  const aLow = a & 0xffff, aHigh = a >>> 16, bLow = b & 0xffff, bHigh = b >>> 16;
  const mixed = Math.imul(aHigh, bLow);
  // (2^16 - 1)^2 + 2 * (2^16 - 1) = 2^32 - 1: no carry is lost.
  const cross = (Math.imul(aLow, bLow) >>> 16) + (mixed & 0xffff) + Math.imul(aLow, bHigh);
  return (Math.imul(aHigh, bHigh) + (mixed >>> 16) + (cross >>> 16)) | 0;
}

/** The low 64 bits of the product. */
function multiply(aLow, aHigh, bLow, bHigh) {
  high = (multiplyHigh(aLow, bLow) + Math.imul(aLow, bHigh) + Math.imul(aHigh, bLow)) | 0;
  return Math.imul(aLow, bLow);
}

function add(aLow, aHigh, bLow, bHigh) {
  const low = (aLow + bLow) | 0;
  high = (aHigh + bHigh + ((low >>> 0) < (aLow >>> 0) ? 1 : 0)) | 0;
  return low;
}

/** The two halves of the 128-bit product of two 64-bit numbers, combined by exclusive or. */
function multiplyFold(aLow, aHigh, bLow, bHigh) {
  const lowest = Math.imul(aLow, bLow);
  const crossA = Math.imul(aHigh, bLow), crossAHigh = multiplyHigh(aHigh, bLow) >>> 0;
  const crossB = Math.imul(aLow, bHigh), crossBHigh = multiplyHigh(aLow, bHigh) >>> 0;
  const middle = (multiplyHigh(aLow, bLow) >>> 0) + (crossA >>> 0) + (crossB >>> 0);
  const upper = (Math.imul(aHigh, bHigh) >>> 0) + crossAHigh + crossBHigh + Math.floor(middle / TWO32);
  const highest = (multiplyHigh(aHigh, bHigh) + Math.floor(upper / TWO32)) | 0;
  high = (middle ^ highest) | 0;
  return lowest ^ (upper | 0);
}

/** xorshift by 37, times a prime, xorshift by 32. */
function avalanche(low, upper) {
  low ^= upper >>> 5;
  low = multiply(low, upper, 0x9e3779f9 | 0, 0x16566791);
  return low ^ high;
}

/** The avalanche of XXH64. */
function avalanche64(low, upper) {
  low = multiply(low ^ (upper >>> 1), upper, 0x27d4eb4f, 0xc2b2ae3d | 0);
  upper = high ^ (high >>> 29);
  low ^= (low >>> 29) | (high << 3);
  low = multiply(low, upper, 0x9e3779f9 | 0, 0x165667b1);
  return low ^ high;
}

const word = (view, at) => view.getInt32(at, true);
const swapped = (x) => ((x << 24) | ((x & 0xff00) << 8) | ((x >>> 8) & 0xff00) | (x >>> 24)) | 0;

function hash1to3(view, at, length) {
  const first = view.getUint8(at), middle = view.getUint8(at + (length >> 1)), last = view.getUint8(at + length - 1);
  const combined = (first << 16) | (middle << 24) | last | (length << 8);
  return avalanche64(combined ^ word(secret, 0) ^ word(secret, 4), 0);
}

function hash4to8(view, at, length) {
  let low = word(view, at + length - 4) ^ word(secret, 8) ^ word(secret, 16);
  let upper = word(view, at) ^ word(secret, 12) ^ word(secret, 20);
  // Rotations by 49 and 24.
  const turnedLow = ((upper << 17) | (low >>> 15)) ^ ((low << 24) | (upper >>> 8));
  const turnedUpper = ((low << 17) | (upper >>> 15)) ^ ((upper << 24) | (low >>> 8));
  low = multiply(low ^ turnedLow, upper ^ turnedUpper, 0x1e98df25, 0x9fb21c65 | 0);
  upper = high;
  low = add(upper >>> 3, 0, length, 0) ^ low;
  low = multiply(low, upper, 0x1e98df25, 0x9fb21c65 | 0);
  upper = high;
  high = upper ^ (upper >>> 28);
  return low ^ ((low >>> 28) | (upper << 4));
}

function hash9to16(view, at, length) {
  const aLow = word(view, at) ^ word(secret, 24) ^ word(secret, 32);
  const aHigh = word(view, at + 4) ^ word(secret, 28) ^ word(secret, 36);
  const bLow = word(view, at + length - 8) ^ word(secret, 40) ^ word(secret, 48);
  const bHigh = word(view, at + length - 4) ^ word(secret, 44) ^ word(secret, 52);
  let low = add(swapped(aHigh), swapped(aLow), length, 0);
  low = add(low, high, bLow, bHigh);
  const upper = high;
  const folded = multiplyFold(aLow, aHigh, bLow, bHigh);
  low = add(low, upper, folded, high);
  return avalanche(low, high);
}

/** Adds what 16 bytes give to the sum in (low, upper). */
function mix(low, upper, view, at, key) {
  const folded = multiplyFold(
    word(view, at) ^ word(secret, key), word(view, at + 4) ^ word(secret, key + 4),
    word(view, at + 8) ^ word(secret, key + 8), word(view, at + 12) ^ word(secret, key + 12),
  );
  return add(low, upper, folded, high);
}

function hash17to128(view, at, length) {
  let low = multiply(length, 0, 0x85ebca87 | 0, 0x9e3779b1 | 0);
  for (let pair = (length - 1) >> 5; pair >= 0; pair -= 1) {
    low = mix(low, high, view, at + pair * 16, pair * 32);
    low = mix(low, high, view, at + length - pair * 16 - 16, pair * 32 + 16);
  }
  return avalanche(low, high);
}

function hash129to240(view, at, length) {
  let low = multiply(length, 0, 0x85ebca87 | 0, 0x9e3779b1 | 0);
  for (let round = 0; round < 8; round += 1) low = mix(low, high, view, at + round * 16, round * 16);
  low = avalanche(low, high);
  for (let round = 8; round < length >> 4; round += 1) {
    low = mix(low, high, view, at + round * 16, (round - 8) * 16 + 3);
  }
  low = mix(low, high, view, at + length - 16, 119);
  return avalanche(low, high);
}

const FIRST_ACCUMULATORS = Int32Array.of(
  0xc2b2ae3d, 0, 0x85ebca87, 0x9e3779b1, 0x27d4eb4f, 0xc2b2ae3d, 0x9e3779f9, 0x165667b1,
  0xc2b2ae63, 0x85ebca77, 0x85ebca77, 0, 0x165667c5, 0x27d4eb2f, 0x9e3779b1, 0,
);

/**
 * Adds some stripes to the accumulators, lane by lane. The sums of one block are exact in float64: a product of 32 and
 * 16 bits is below 2^48 and there are 16 of each, so the carries wait for the end of the block.
 */
function accumulate(accumulators, view, at, stripes) {
  for (let lane = 0; lane < 8; lane += 1) {
    const own = at + lane * 8, other = at + (lane ^ 1) * 8;
    let low = accumulators[lane * 2] >>> 0, upper = accumulators[lane * 2 + 1] >>> 0;
    let productLow = 0, productHigh = 0;
    for (let stripe = 0, key = lane * 32, offset = 0; stripe < stripes; stripe += 1, key += 2, offset += STRIPE) {
      const a = (view.getInt32(own + offset, true) ^ laneKeys[key]) >>> 0;
      const b = view.getInt32(own + offset + 4, true) ^ laneKeys[key + 1];
      productLow += a * (b & 0xffff);
      productHigh += a * (b >>> 16);
      low += view.getUint32(other + offset, true);
      upper += view.getUint32(other + offset + 4, true);
    }
    store(accumulators, lane, low, upper, productLow, productHigh);
  }
}

/** low + 2^32 upper + productLow + 2^16 productHigh, modulo 2^64. */
function store(accumulators, lane, low, upper, productLow, productHigh) {
  const shifted = productHigh % 65536 * 65536;
  const sum = low + (productLow % TWO32) + shifted;
  const carry = Math.floor(sum / TWO32);
  const rest = upper + Math.floor(productLow / TWO32) + Math.floor(productHigh / 65536) + carry;
  accumulators[lane * 2] = sum % TWO32;
  accumulators[lane * 2 + 1] = rest % TWO32;
}

function scramble(accumulators) {
  for (let lane = 0; lane < 8; lane += 1) {
    const low = accumulators[lane * 2], upper = accumulators[lane * 2 + 1];
    const key = SECRET_BYTES - STRIPE + lane * 8;
    const mixed = low ^ (upper >>> 15) ^ word(secret, key);
    accumulators[lane * 2] = multiply(mixed, upper ^ word(secret, key + 4), 0x9e3779b1 | 0, 0);
    accumulators[lane * 2 + 1] = high;
  }
}

/** The last stripe of all ends with the bytes and takes words of the secret that no other stripe takes. */
function accumulateLast(accumulators, view, at) {
  for (let lane = 0; lane < 8; lane += 1) {
    const own = at + lane * 8, other = at + (lane ^ 1) * 8, key = SECRET_BYTES - STRIPE - 7 + lane * 8;
    const a = (word(view, own) ^ word(secret, key)) >>> 0, b = word(view, own + 4) ^ word(secret, key + 4);
    const low = (accumulators[lane * 2] >>> 0) + view.getUint32(other, true);
    const upper = (accumulators[lane * 2 + 1] >>> 0) + view.getUint32(other + 4, true);
    store(accumulators, lane, low, upper, a * (b & 0xffff), a * (b >>> 16));
  }
}

function hashLong(view, at, length) {
  const accumulators = Int32Array.from(FIRST_ACCUMULATORS);
  const end = at + length;
  let block = at;
  for (; end - block > BLOCK; block += BLOCK) {
    accumulate(accumulators, view, block, STRIPES_OF_BLOCK);
    scramble(accumulators);
  }
  accumulate(accumulators, view, block, Math.floor((end - block - 1) / STRIPE));
  accumulateLast(accumulators, view, end - STRIPE);
  let low = multiply(length | 0, Math.floor(length / TWO32) | 0, 0x85ebca87 | 0, 0x9e3779b1 | 0);
  for (let pair = 0; pair < 4; pair += 1) {
    const upper = high, key = 11 + pair * 16, a = pair * 4;
    const folded = multiplyFold(
      accumulators[a] ^ word(secret, key), accumulators[a + 1] ^ word(secret, key + 4),
      accumulators[a + 2] ^ word(secret, key + 8), accumulators[a + 3] ^ word(secret, key + 12),
    );
    low = add(low, upper, folded, high);
  }
  return avalanche(low, high);
}

function hash(view, length) {
  if (length > 240) return hashLong(view, 0, length);
  if (length > 128) return hash129to240(view, 0, length);
  if (length > 16) return hash17to128(view, 0, length);
  if (length > 8) return hash9to16(view, 0, length);
  if (length > 3) return hash4to8(view, 0, length);
  if (length > 0) return hash1to3(view, 0, length);
  return avalanche64(word(secret, 56) ^ word(secret, 64), word(secret, 60) ^ word(secret, 68));
}

/**
 * @param {Uint8Array} bytes
 * @returns {bigint} xxh3-64 of the bytes, as a u64
 */
export function xxh3(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const low = hash(view, bytes.byteLength);
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
