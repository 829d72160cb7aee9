/**
 * Offline verification of evidence: exported receipts with their places in the log, the tiles and the signed checkpoint.
 *
 * Finds what `threada_verify.py` finds in such an archive, with the same codes.
 */

import { unzipSync } from "fflate";

import { type Bytes, decimal, decoded, encoder, hex, isEqual } from "./bytes.js";
import { type Checkpoint, instanceOf, instant, type Key, keyOf, named, notesIn, opened, timeOfId } from "./checkpoints.js";
import { VerificationFailed } from "./errors.js";
import { endorsedKeys, Origins, UNSIGNED } from "./origins.js";
import { Tiles } from "./tiles.js";
import { isIncluded, leafHash, proofIn } from "./verification.js";

const MOST_NAMED = 200;
const NEWLINE = 10;
const AT_ONCE = 256;
const LOG_ORDER = "order: log\n";
const NOT_SEALED = "2d"; // a hyphen
const CLOCKS_DIFFER = 6000; // five seconds, and one because a cosignature states whole seconds

/** One mismatch. `code` is stable and for programs, `message` for people. */
export interface Finding {
  code: string;
  message: string;
  sequence: number | null;
  receipt: string | null;
  line: number | null;
}

/** An older checkpoint that was compared. */
export interface Comparison {
  size: number;
  outcome: string;
}

/** Result of a verification. `numberOfFindings` also counts findings beyond the listed ones. */
export interface Evidence {
  isVerified: boolean;
  log: string;
  checkpoint: { size: number; root: string; signedBy: string[] } | null;
  receipts: number;
  /** Receipts by the role whose signature verifies (web, worker, command), "unsigned", or "unknown key". */
  writtenBy: Record<string, number>;
  firstSequence: number | null;
  lastSequence: number | null;
  against: Comparison[];
  findings: Finding[];
  numberOfFindings: number;
}

export interface EvidenceOptions {
  /** Text of an older checkpoint of your own, or of several. The log must continue them. */
  against?: string;
  /** Require every receipt of the log. */
  complete?: boolean;
  /** Require a valid signature of every receipt by the process that wrote it. */
  signed?: boolean;
}

type Place = Partial<Pick<Finding, "sequence" | "receipt" | "line">>;

/**
 * Verify the archive that `downloadEvidence` returns, against public keys of the log.
 *
 * Get the keys (`name+id+key`) from the people responsible for the instance, not from the API. What is wrong is listed in
 * the result; throw `TypeError` for invalid keys, and for `against` without a checkpoint of this log. No connection is
 * opened. The archive is held in memory.
 */
export async function verifyEvidence(
  archive: Uint8Array,
  keys: readonly string[],
  options: EvidenceOptions = {},
): Promise<Evidence> {
  const known = await Promise.all(keys.map(keyOf));
  const check = new Check();
  try {
    await check.run(filesOf(archive), known, options);
  } catch (error) {
    if (!(error instanceof VerificationFailed)) throw error;
    check.found("cannot_be_checked", error.message);
  }
  check.result.isVerified = check.result.numberOfFindings === 0;
  return check.result;
}

/** Return true if every receipt of an archive has a place in the log, or the file is no such archive. */
export function isSealed(archive: Uint8Array): boolean {
  try {
    return linesOf(filesOf(archive).required("positions.txt")).every((line) => hex(line) !== NOT_SEALED);
  } catch (error) {
    if (!(error instanceof VerificationFailed)) throw error;
    return true; // verifyEvidence says what is wrong
  }
}

class Check {
  readonly result: Evidence = {
    isVerified: false,
    log: "",
    checkpoint: null,
    receipts: 0,
    writtenBy: {},
    firstSequence: null,
    lastSequence: null,
    against: [],
    findings: [],
    numberOfFindings: 0,
  };
  private readonly seen = new Set<number>();
  private readonly accepted = new Set<string>();

  found(code: string, message: string, place: Place = {}): void {
    this.result.numberOfFindings += 1;
    if (this.result.findings.length < MOST_NAMED) {
      this.result.findings.push({ code, message, sequence: null, receipt: null, line: null, ...place });
    }
  }

  async run(files: Files, keys: Key[], options: EvidenceOptions): Promise<void> {
    const note = files.text("checkpoint.txt");
    const checkpoint = await opened(note, keys);
    this.result.log = checkpoint.origin;
    const { size, root, signedBy } = checkpoint;
    this.result.checkpoint = { size: Number(size), root: hex(root), signedBy };
    await this.instance(files, note, checkpoint, keys);
    const tiles = await Tiles.of(checkpoint, (name) => files.find(name));
    const older = options.against === undefined ? [] : await this.older(options.against, checkpoint, keys);
    const keyNote = files.find("receipt-keys.txt") === null ? null : files.text("receipt-keys.txt");
    const endorsed = keyNote === null ? new Map() : await endorsedKeys(keyNote, keys);
    const origins = new Origins(endorsed, tenantOf(checkpoint));
    await this.receipts(files, checkpoint, tiles, older, origins, options.signed === true);
    if (options.complete === true) {
      for (let index = 0; index < size; index += 1) {
        if (this.seen.has(index)) continue;
        this.found("receipt_missing", "No receipt of this sequence is in the file.", { sequence: index });
      }
    }
    await this.compare(older, checkpoint, tiles);
  }

  /** Verify every receipt against the leaf at its place. */
  private async receipts(
    files: Files,
    checkpoint: Checkpoint,
    tiles: Tiles,
    older: Checkpoint[],
    origins: Origins,
    isRequired: boolean,
  ): Promise<void> {
    const positions = linesOf(files.required("positions.txt"));
    const bodies = linesOf(files.required("receipts.ndjson"));
    const data = files.find("signatures.txt");
    const signatures = data === null ? null : linesOf(data);
    const tenant = tenantOf(checkpoint);
    const order = files.find("order.txt") === null ? "" : files.text("order.txt");
    if (order !== "" && order !== LOG_ORDER) {
      throw new VerificationFailed("order.txt names an order that this verifier does not know.");
    }
    let last = "";
    let lastSequence = -1;
    let hashes: Bytes[] = [];
    for (const [at, body] of bodies.entries()) {
      const line = at + 1;
      if (at % AT_ONCE === 0) hashes = await Promise.all(bodies.slice(at, at + AT_ONCE).map(leafHash));
      this.result.receipts = line;
      const receipt = this.identified(body, tenant, line);
      const sequence = sequenceOf(positions[at]);
      if (order === LOG_ORDER) {
        if (sequence !== null && sequence <= lastSequence) {
          const message = `Stands after the receipt of sequence ${lastSequence}.`;
          this.found("out_of_order", message, { sequence, receipt, line });
        }
        lastSequence = Math.max(lastSequence, sequence ?? -1);
      } else {
        if (receipt !== null && receipt <= last) {
          this.found("out_of_order", `Stands after ${last}, which is younger or the same.`, { receipt, line });
        }
        last = receipt ?? last;
      }
      const [leaf, size] = [hashes[at % AT_ONCE] as Bytes, Number(checkpoint.size)];
      const isSame = await this.place(leaf, positions[at], tiles, size, { receipt, line });
      if (receipt !== null && sequence !== null) this.time(body, receipt, sequence, checkpoint, older, line);
      if (!isSame) continue;
      const signature = decoded(signatures?.[at] ?? encoder.encode(UNSIGNED), "signatures.txt");
      const isSigned = sequence !== null && checkpoint.signedFrom !== null && sequence >= checkpoint.signedFrom;
      await this.origin(origins, body, signature, signatures !== null, isRequired, isSigned, { receipt, line });
    }
    const left = positions.length - bodies.length;
    if (left > 0) this.found("receipts_cut_off", `${left} more positions are listed than there are receipts.`);
    for (const index of this.seen) {
      this.result.firstSequence = Math.min(this.result.firstSequence ?? index, index);
      this.result.lastSequence = Math.max(this.result.lastSequence ?? index, index);
    }
  }

  /**
   * Verify the signature of a receipt by the process that wrote it. `isThere`: the archive has signatures. `isRequired`:
   * the caller requires one; `isSigned`: the checkpoint says that there is one, unless an operator accepted the receipt.
   */
  private async origin(
    origins: Origins,
    body: Bytes,
    signature: string,
    isThere: boolean,
    isRequired: boolean,
    isSigned: boolean,
    where: Place,
  ): Promise<void> {
    const isAccepted = this.accepted.has(where.receipt ?? "");
    let role: string;
    try {
      role = await origins.roleOf(body, signature);
    } catch (error) {
      if (!(error instanceof VerificationFailed)) throw error;
      if (!isAccepted) this.found("origin_invalid", error.message, where);
      return;
    }
    if (isThere) this.result.writtenBy[role] = (this.result.writtenBy[role] ?? 0) + 1;
    if (!isRequired && (!isSigned || isAccepted)) return;
    if (role === "unsigned") this.found("unsigned", "No process signed it.", where);
    if (role === "unknown key") this.found("unsigned", "An unknown key signed it.", where);
  }

  /** Return false if these are other bytes than the sealed ones. */
  private async place(leaf: Bytes, position: Bytes | undefined, tiles: Tiles, size: number, where: Place): Promise<boolean> {
    const text = position === undefined ? "-" : decoded(position, "positions.txt");
    if (text === "-") {
      this.found("not_sealed", "Was not sealed when this evidence was made.", where);
      return true;
    }
    const sequence = Number(decimal(text, ""));
    const place = { ...where, sequence };
    if (sequence >= size) {
      this.found("not_sealed", `The checkpoint has ${size} receipts, so not this one.`, place);
      return true;
    }
    if (this.seen.has(sequence)) this.found("repeated", "A receipt of this sequence is in the file already.", place);
    this.seen.add(sequence);
    if (!isEqual(await tiles.leaf(sequence), leaf)) {
      this.found("bytes_differ", "These are not the bytes that were sealed at this sequence.", place);
      return false;
    }
    return true;
  }

  /** Verify the time of a receipt: that of its id, not after its sealing, and not before older checkpoints before it. */
  private time(body: Bytes, receipt: string, sequence: number, now: Checkpoint, older: Checkpoint[], line: number): void {
    if (this.accepted.has(receipt)) return;
    const { occurred_at: stated } = JSON.parse(decoded(body, "A receipt")) as { occurred_at?: unknown };
    const time = timeOfId(receipt);
    const place = { receipt, line, sequence };
    if (now.completeUntil !== null) {
      if (time === null || instant(String(stated)) !== time) {
        this.found("time_differs", "Its id is of another time than it says.", place);
        return;
      }
      if (now.signedAt !== null && time >= now.signedAt + CLOCKS_DIFFER) {
        this.found("sealed_too_early", "Its time is after that of its checkpoint.", place);
      }
    }
    const isTooLate = ({ completeUntil, size }: Checkpoint): boolean =>
      completeUntil !== null && time !== null && sequence >= size && time < completeUntil;
    const before = older.find(isTooLate);
    if (before === undefined) return;
    this.found("sealed_too_late", `The log was said to be complete at its time, with ${before.size} receipts.`, place);
  }

  /** Return the id of a receipt after checking its tenant, or null if it cannot be parsed. */
  private identified(body: Bytes, tenant: string, line: number): string | null {
    let receipt: Receipt | null = null;
    try {
      receipt = JSON.parse(decoded(body, "A receipt")) as Receipt | null;
    } catch {
      // reported below
    }
    if (typeof receipt !== "object" || receipt?.id === undefined || receipt.tenant === undefined) {
      this.found("unreadable", "This is not a receipt.", { line });
      return null;
    }
    const id = String(receipt.id);
    for (const accepted of acceptedIn(receipt)) this.accepted.add(accepted);
    if (receipt.tenant !== tenant) {
      this.found("other_tenant", `The receipt is of tenant ${String(receipt.tenant)}.`, { receipt: id, line });
    }
    return id;
  }

  /** Verify that the checkpoint of the evidence, byte for byte, is a leaf of the instance log, if there is a proof. */
  private async instance(files: Files, note: string, checkpoint: Checkpoint, keys: Key[]): Promise<void> {
    if (files.find("instance.tlog-proof") === null) return;
    const proof = proofIn(files.text("instance.tlog-proof"));
    const origin = proof.note.slice(0, Math.max(proof.note.indexOf("\n"), 0));
    const same = keys.filter((key) => instanceOf(key.name) === instanceOf(origin));
    const log = await opened(proof.note, await Promise.all(same.map((key) => named(origin, key.public))));
    if (!origin.endsWith("/instance") || instanceOf(origin) !== instanceOf(checkpoint.origin)) {
      throw new VerificationFailed(`instance.tlog-proof is of ${origin}, which is not the log of this instance.`);
    }
    if (!(await isIncluded(encoder.encode(note), proof.index, proof.path, log))) {
      this.found("instance_proof_does_not_hold", `Its checkpoint is not leaf ${proof.index} of ${origin}.`);
    }
  }

  /** Return the older checkpoints of this log. Each must be signed. */
  private async older(against: string, checkpoint: Checkpoint, keys: Key[]): Promise<Checkpoint[]> {
    const notes = notesIn(against).filter((note) => note.startsWith(`${checkpoint.origin}\n`));
    if (notes.length === 0) throw new TypeError(`"against" holds no checkpoint of ${checkpoint.origin}.`);
    const found: Checkpoint[] = [];
    for (const note of notes) {
      try {
        found.push(await opened(note, keys));
      } catch (error) {
        if (!(error instanceof VerificationFailed)) throw error;
        this.found("older_checkpoint_unusable", `An older checkpoint: ${error.message}`);
      }
    }
    return found;
  }

  /** Verify that the log continues older checkpoints. */
  private async compare(older: Checkpoint[], checkpoint: Checkpoint, tiles: Tiles): Promise<void> {
    for (const old of older) {
      const size = Number(old.size);
      let outcome = old.size < checkpoint.size ? "this log continues it" : "the same";
      if (old.size > checkpoint.size) {
        outcome = `rolled back: ${size} receipts were sealed then, and the log has ${checkpoint.size} now`;
        this.found("rolled_back", outcome);
      } else if (old.size > 0n && (await tiles.rootAt(size)) !== hex(old.root)) {
        outcome = `forked: its first ${size} receipts are not the ones that were sealed then`;
        this.found("forked", outcome);
      } else if ((old.completeUntil ?? 0) > (checkpoint.completeUntil ?? Infinity)) {
        outcome = "its time goes back: the older checkpoint says that the log was complete until a later time";
        this.found("time_goes_back", outcome);
      }
      this.result.against.push({ size, outcome });
    }
  }
}

/** Members of a receipt that are read here. */
interface Receipt {
  id?: unknown;
  tenant?: unknown;
  kind?: unknown;
  actor?: { entry_point?: unknown } | null;
  inputs?: { receipts?: { receipt_id?: unknown }[] } | null;
}

/** Return the receipts that an operator accepted into the log by a command although their time or signature is wrong. */
function acceptedIn(receipt: Receipt): string[] {
  if (receipt.kind !== "quarantine.accepted" || receipt.actor?.entry_point !== "command") return [];
  const receipts = receipt.inputs?.receipts;
  return Array.isArray(receipts) ? receipts.map((one) => String(one.receipt_id)) : [];
}

const tenantOf = (checkpoint: Checkpoint): string => checkpoint.origin.slice(checkpoint.origin.lastIndexOf("/") + 1);

/** Files of an evidence archive, in the folder of its only checkpoint. */
class Files {
  constructor(private readonly entries: Record<string, Uint8Array>, private readonly top: string) {}

  find(name: string): Uint8Array | null {
    return Object.hasOwn(this.entries, this.top + name) ? (this.entries[this.top + name] ?? null) : null;
  }

  required(name: string): Uint8Array {
    const data = this.find(name);
    if (data === null) throw new VerificationFailed(`${name} is not in the evidence.`);
    return data;
  }

  text(name: string): string {
    return decoded(this.required(name), name);
  }
}

function filesOf(archive: Uint8Array): Files {
  let entries: Record<string, Uint8Array>;
  try {
    entries = unzipSync(archive);
  } catch {
    throw new VerificationFailed("The file is not a complete archive.");
  }
  const checkpoints = Object.keys(entries).filter((name) => name === "checkpoint.txt" || name.endsWith("/checkpoint.txt"));
  const [first] = checkpoints;
  if (first === undefined || checkpoints.length > 1) {
    throw new VerificationFailed("The archive does not hold one checkpoint.txt, so it is not evidence.");
  }
  return new Files(entries, first.slice(0, -"checkpoint.txt".length));
}

/** Return the number in a line of positions.txt, or null if there is none; `place` says what is wrong. */
function sequenceOf(position: Bytes | undefined): number | null {
  const text = position === undefined ? "" : new TextDecoder().decode(position);
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : null;
}

/** Return the lines of a file without their newlines. */
function linesOf(data: Uint8Array): Bytes[] {
  const lines: Bytes[] = [];
  let start = 0;
  while (start < data.length) {
    const end = data.indexOf(NEWLINE, start);
    lines.push(data.slice(start, end < 0 ? data.length : end) as Bytes);
    start = end < 0 ? data.length : end + 1;
  }
  return lines;
}
