/** Hashes of a log in tiles of 256 (c2sp.org/tlog-tiles), each verified against the checkpoint before use. */

import { type Bytes, hex, isEqual } from "./bytes.js";
import type { Checkpoint } from "./checkpoints.js";
import { VerificationFailed } from "./errors.js";
import { nodeHash } from "./verification.js";

const TILE = 256;
const HASH = 32;

/** Reads tiles by their names; `read` returns null for a tile that is not there. */
export class Tiles {
  private readonly kept = new Map<string, Bytes[]>();

  private constructor(
    private readonly read: (name: string) => Uint8Array | null,
    private readonly size: number,
    private readonly edge: Map<number, Bytes[]>,
  ) {}

  /** Verify the tiles at the right edge of the log, which lead to the root. */
  static async of(checkpoint: Checkpoint, read: (name: string) => Uint8Array | null): Promise<Tiles> {
    const size = Number(checkpoint.size);
    if (!Number.isSafeInteger(size)) throw new VerificationFailed("The log of the checkpoint is too large to be read.");
    const edge = new Map<number, Bytes[]>();
    const tiles = new Tiles(read, size, edge);
    const peaks: Bytes[] = [];
    const levels = Math.ceil(Math.max(size.toString(2).length, 1) / 8);
    for (let level = levels - 1; level >= 0; level -= 1) {
      const entries = Math.floor(size / TILE ** level);
      const [number, width] = [Math.floor(entries / TILE), entries % TILE];
      if (width === 0) continue;
      const hashes = tiles.required(tileName(level, number, width), width);
      edge.set(level, hashes);
      let start = 0;
      for (let bit = 7; bit >= 0; bit -= 1) {
        const span = 1 << bit;
        if ((width & span) === 0) continue;
        peaks.push(await complete(hashes.slice(start, start + span)));
        start += span;
      }
    }
    if (size > 0 && !isEqual(await over(peaks), checkpoint.root)) {
      throw new VerificationFailed("The tiles at the right edge of the log do not lead to the root of the checkpoint.");
    }
    return tiles;
  }

  /** Return the hash of the leaf at a place of the log. */
  leaf(index: number): Promise<Bytes> {
    return this.entry(0, index);
  }

  /** Return the root of the log when it had `size` leaves, in hexadecimal form. */
  async rootAt(size: number): Promise<string | null> {
    const peaks: Bytes[] = [];
    let start = 0;
    for (let bit = size.toString(2).length - 1; bit >= 0; bit -= 1) {
      const span = 2 ** bit;
      if (Math.floor(size / span) % 2 === 0) continue;
      const [level, low] = [Math.floor(bit / 8), bit % 8];
      const first = start / TILE ** level;
      const hashes: Bytes[] = [];
      for (let at = 0; at < 1 << low; at += 1) hashes.push(await this.entry(level, first + at));
      peaks.push(await complete(hashes));
      start += span;
    }
    return size === 0 ? null : hex(await over(peaks));
  }

  private async entry(level: number, position: number): Promise<Bytes> {
    const tile = await this.tile(level, Math.floor(position / TILE));
    const hash = tile[position % TILE];
    if (hash === undefined) throw new VerificationFailed(`The log has no entry ${position} at level ${level}.`);
    return hash;
  }

  private async tile(level: number, number: number): Promise<Bytes[]> {
    if (Math.floor(Math.floor(this.size / TILE ** level) / TILE) === number) return this.edge.get(level) ?? [];
    const name = tileName(level, number, TILE);
    let hashes = this.kept.get(name);
    if (hashes === undefined) {
      hashes = this.required(name, TILE);
      if (!isEqual(await complete(hashes), await this.entry(level + 1, number))) {
        throw new VerificationFailed(`${name} does not belong to the log of the checkpoint.`);
      }
      this.kept.set(name, hashes);
    }
    return hashes;
  }

  private required(name: string, width: number): Bytes[] {
    const data = this.read(name);
    if (data === null) throw new VerificationFailed(`${name} is not in the evidence.`);
    if (data.length !== width * HASH) throw new VerificationFailed(`${name} does not hold ${width} hashes.`);
    return Array.from({ length: width }, (_, at) => data.slice(at * HASH, at * HASH + HASH) as Bytes);
  }
}

function tileName(level: number, number: number, width: number): string {
  const digits = String(number);
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, "0");
  const groups = padded.match(/.{3}/g) ?? [];
  const path = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join("/");
  return `tile/${level}/${path}${width < TILE ? `.p/${width}` : ""}`;
}

/** Return the root over 2**n hashes. */
async function complete(hashes: Bytes[]): Promise<Bytes> {
  while (hashes.length > 1) {
    const pairs = Array.from({ length: hashes.length / 2 }, (_, at) => [hashes[2 * at], hashes[2 * at + 1]] as Bytes[]);
    hashes = await Promise.all(pairs.map(([left, right]) => nodeHash(left as Bytes, right as Bytes)));
  }
  return hashes[0] as Bytes;
}

/** Return the root over complete subtrees, largest first. */
async function over(peaks: Bytes[]): Promise<Bytes> {
  let root = peaks[peaks.length - 1] as Bytes;
  for (const left of peaks.slice(0, -1).reverse()) root = await nodeHash(left, root);
  return root;
}
