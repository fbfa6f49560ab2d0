// One run as this page knows it: its head, its steps and its calls, by their names.
// A frame replaces what it names and nothing else, so it costs what is in it, however large the run.
import { get, ofRun, problem } from "./api.ts";
import { now } from "./clock.svelte.ts";
import { watch } from "./live.svelte.ts";
import type { CallRow, Frame, Head, Row } from "./types.ts";

export interface Changes {
  rows?: (changed: Row[]) => void;
  calls?: (changed: CallRow[]) => void;
}

const ENDED = ["succeeded", "failed", "cancelled"];

/** Whether a run has not ended and nobody drives it. */
export const isStill = (run: { status: string; alive: boolean; here: boolean }): boolean =>
  !ENDED.includes(run.status) && run.status !== "new" && !run.alive && !run.here;

export class RunStore {
  readonly id: string;
  head = $state.raw<Head | null>(null);
  /** Goes up with each change of the steps; read it to be told of changes. */
  rowsAt = $state(0);
  callsAt = $state(0);
  /** Whether all pages of the first snapshot are here. */
  rowsHere = $state(false);
  callsHere = $state(false);
  /** The steps in the order in which they are told. */
  readonly order: string[] = [];
  readonly rows = new Map<string, Row>();
  readonly calls = new Map<string, CallRow>();
  readonly #byPath = new Map<string, Set<string>>();
  readonly #listeners = new Set<Changes>();
  readonly #ends: (() => void)[] = [];

  constructor(id: string) {
    this.id = id;
  }

  /** Whether nobody drives it: nothing is under way, whatever was when its process went. */
  get still(): boolean {
    return this.head !== null && isStill(this.head);
  }

  /** Now; of a run that nobody drives the last instant that is known of. */
  now(): number {
    return this.still ? this.head!.at : now();
  }

  /** A step's state; what was running when its process went is interrupted. */
  stateOf(row: Row): string {
    const state = row.st ?? "pending";
    return state === "running" && this.still ? "interrupted" : state;
  }

  /** Begins to watch; the steps always, the calls when a view asks for them. */
  open(): void {
    this.#ends.push(watch({ topic: "run", run: this.id, after: null }, (frame) => this.#takeRun(frame)));
  }

  #endCalls: (() => void) | null = null;

  /** Watches the calls, too. They stay watched: a snapshot is dearer than what is new. */
  wantCalls(): void {
    this.#endCalls ??= watch({ topic: "calls", run: this.id, after: null }, (frame) => this.#takeCalls(frame));
  }

  close(): void {
    for (const end of this.#ends) end();
    this.#endCalls?.();
    this.#listeners.clear();
  }

  /** Is told what changes, as lists of what is new; for pictures that are kept by hand. */
  listen(changes: Changes): () => void {
    this.#listeners.add(changes);
    return () => this.#listeners.delete(changes);
  }

  /** The explanation, once somebody has asked for it; computing it takes the server a while. */
  explain = $state.raw<Record<string, unknown> | null>(null);
  explaining = $state(false);
  explainTrouble = $state("");

  /** Asks for the explanation of the run as it is now. */
  async loadExplain(): Promise<void> {
    if (this.explaining) return;
    this.explaining = true;
    this.explainTrouble = "";
    try {
      this.explain = await get(ofRun(this.id, "explain"));
    } catch (error) {
      this.explainTrouble = problem(error);
    } finally {
      this.explaining = false;
    }
  }

  /** The calls of a step, or of all that is below it, in the order of their names. */
  callsOf(path: string, below = false): CallRow[] {
    void this.callsAt;
    const found: CallRow[] = [];
    for (const [one, names] of this.#byPath) {
      if (one !== path && !(below && one.startsWith(`${path}/`))) continue;
      for (const name of names) found.push(this.calls.get(name)!);
    }
    return found;
  }

  /** What the snapshot under way has told so far: what it never tells is there no more. */
  #named: Set<string> | null = null;

  #takeRun(frame: Frame): void {
    if (frame.head) this.head = { ...this.head, ...frame.head };
    const changed = (frame.rows ?? []) as Row[];
    for (const row of changed) {
      if (!this.rows.has(row.id)) this.order.push(row.id);
      this.rows.set(row.id, row);
    }
    const gone = new Set(frame.gone);
    if (frame.snap) {
      if (frame.p === null) this.#named = new Set();
      for (const row of changed) this.#named?.add(row.id);
      if (!frame.more && this.#named) {
        for (const id of this.order) if (!this.#named.has(id)) gone.add(id);
        this.#named = null;
      }
    }
    if (gone.size > 0) {
      for (const id of gone) this.rows.delete(id);
      this.order.splice(0, this.order.length, ...this.order.filter((id) => !gone.has(id)));
    }
    const here = this.rowsHere;
    if (!frame.more) this.rowsHere = true;
    if (changed.length === 0 && gone.size === 0 && here) return;
    this.rowsAt++;
    for (const one of this.#listeners) one.rows?.(changed);
  }

  #takeCalls(frame: Frame): void {
    const changed = frame.calls ?? [];
    for (const call of changed) {
      if (!this.calls.has(call.c)) {
        const path = call.c.slice(0, call.c.lastIndexOf("#"));
        let names = this.#byPath.get(path);
        if (!names) this.#byPath.set(path, (names = new Set()));
        names.add(call.c);
      }
      this.calls.set(call.c, call);
    }
    if (!frame.more) this.callsHere = true;
    if (changed.length === 0) return;
    this.callsAt++;
    for (const one of this.#listeners) one.calls?.(changed);
  }
}
