// The lanes of the timeline, kept up call by call. A lane holds calls that do not overlap, so its
// bars are in order of both their ends, and what is in sight is found by halving.
import type { CallRow } from "./types.ts";

export type By = "slot" | "agent" | "step";

export interface Bar {
  since: number;
  /** Infinity while it grows. */
  until: number;
  /** A kind of cause, or a fate of what came to nothing. */
  kind: string;
  cause: string;
  call: string;
}

export interface Lane {
  name: string;
  /** Whether it stands below another of the same name, which says it. */
  more: boolean;
  /** A lane of waits has the cause as its name, and whose they are here. */
  wait: boolean;
  of: string;
  calls: CallRow[];
  bars: Bar[];
  stale: boolean;
}

/** Whoever answers questions; their waits stand beside the calls'. */
export const PEOPLE = "people";

const stepOf = (call: CallRow): string => call.c.slice(0, call.c.lastIndexOf("#")).split("/", 1)[0];
const NEVER = Infinity;

/** The first index whose value is larger, among bars in order. */
export function firstAfter(bars: Bar[], value: number, of: "since" | "until", low = 0): number {
  let high = bars.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (bars[middle][of] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

export class Lanes {
  lanes: Lane[] = [];
  since = NEVER;
  /** The latest instant that a call tells. */
  until = 0;
  open = 0;
  readonly by: By;
  readonly #workOf: (call: CallRow) => string;
  readonly #groups = new Map<string, Lane[]>();
  readonly #laneOf = new Map<string, Lane>();
  readonly #opened = new Set<string>();
  readonly #waits = new Map<string, { since: number; until: number; call: string }[]>();
  #lately: CallRow[] = [];

  constructor(by: By, workOf: (call: CallRow) => string, calls: Iterable<CallRow>) {
    this.by = by;
    this.#workOf = workOf;
    const sorted = [...calls].sort((a, b) => this.#from(a) - this.#from(b));
    for (const call of sorted) this.add(call);
  }

  /** When a call begins to take its lane: when it is sent, but by step when it is asked for. */
  #from(call: CallRow): number {
    return (this.by === "step" ? (call.q ?? call.t0) : call.t0) ?? NEVER;
  }

  add(call: CallRow): void {
    const from = this.#from(call);
    if (call.q !== undefined) this.since = Math.min(this.since, call.q);
    if (call.t0 !== undefined) this.since = Math.min(this.since, call.t0);
    this.until = Math.max(this.until, call.t1 ?? call.t0 ?? call.q ?? 0);
    const ended = call.t1 !== undefined || call.how !== undefined;
    if (ended) this.#opened.delete(call.c);
    else this.#opened.add(call.c);
    this.open = this.#opened.size;
    if (this.by !== "step" && call.w) this.#lately.push(call);
    const had = this.#laneOf.get(call.c);
    if (had) {
      const at = had.calls.findLastIndex((one) => one.c === call.c);
      had.calls[at] = call;
      had.stale = true;
      return;
    }
    if (from === NEVER) return;
    const lane = this.#free(this.#groupOf(call), from);
    lane.calls.push(call);
    lane.stale = true;
    this.#laneOf.set(call.c, lane);
  }

  #groupOf(call: CallRow): string {
    if (this.by === "step") return stepOf(call);
    return this.by === "agent" || call.ag === PEOPLE ? call.ag : "slot";
  }

  #free(name: string, from: number): Lane {
    let group = this.#groups.get(name);
    if (!group) this.#groups.set(name, (group = []));
    for (const lane of group) {
      const last = lane.calls[lane.calls.length - 1];
      if ((last.t1 ?? (last.how ? (last.t0 ?? last.q ?? 0) : NEVER)) <= from) return lane;
    }
    const lane: Lane = { name, of: "", more: group.length > 0, wait: false, calls: [], bars: [], stale: true };
    group.push(lane);
    this.#order();
    return lane;
  }

  #order(): void {
    this.lanes = [...this.#groups.values()].flat();
    if (this.by !== "slot") return;
    this.#groups.get("slot")?.forEach((lane, n) => {
      lane.name = `slot ${n + 1}`;
      lane.more = false;
    });
  }

  /** All lanes as they stand below each other, waits first: a lane for each cause that some call waited for. */
  all(): Lane[] {
    if (this.by === "step") return this.lanes;
    for (const call of this.#lately) {
      for (const [cause, since, until] of call.w ?? []) {
        const key = this.by === "agent" ? `${call.ag}\n${cause}` : `\n${cause}`;
        let list = this.#waits.get(key);
        if (!list) this.#waits.set(key, (list = []));
        list.push({ since, until, call: call.c });
      }
    }
    if (this.#lately.length > 0) {
      this.#lately = [];
      this.#waitLanes = [...this.#waits].map(([key, list]) => unite(key, list));
    }
    if (this.by === "slot") return [...this.#waitLanes, ...this.lanes];
    return [...this.#groups].flatMap(([agent, lanes]) => [...this.#waitLanes.filter((one) => one.of === agent), ...lanes]);
  }
  #waitLanes: Lane[] = [];

  bars(lane: Lane): Bar[] {
    if (!lane.stale) return lane.bars;
    lane.stale = false;
    lane.bars = [];
    for (const call of lane.calls) this.#draw(call, lane.bars);
    return lane.bars;
  }

  #draw(call: CallRow, into: Bar[]): void {
    if (this.by === "step") {
      for (const [cause, since, until] of call.w ?? []) into.push({ since, until, kind: cause, cause, call: call.c });
      if (call.t0 === undefined) {
        const last = call.w?.at(-1)?.[2] ?? call.q ?? 0;
        if (call.t1 === undefined && !call.how) into.push({ since: last, until: NEVER, kind: "unknown", cause: "waits", call: call.c });
        return;
      }
    }
    if (call.t0 === undefined) return;
    const until = call.t1 ?? (call.how ? call.t0 : NEVER);
    const kind = call.how === "failed" || call.how === "cancelled" ? call.how : call.how === "lost" ? "down" : this.#workOf(call);
    into.push({ since: call.t0, until, kind, cause: call.how ?? "works", call: call.c });
  }

  /** The stretches in which no call was there at all, for those who leave them out. */
  idle(least: number): [number, number][] {
    const spans: [number, number][] = [];
    for (const lane of this.lanes) {
      for (const call of lane.calls) spans.push([call.q ?? call.t0 ?? 0, call.t1 ?? (call.how ? (call.t0 ?? 0) : NEVER)]);
    }
    spans.sort((a, b) => a[0] - b[0]);
    const gaps: [number, number][] = [];
    let end = spans[0]?.[1] ?? 0;
    for (const [since, until] of spans) {
      if (since - end > least) gaps.push([end, since]);
      end = Math.max(end, until);
    }
    return gaps;
  }
}

function unite(key: string, list: { since: number; until: number; call: string }[]): Lane {
  const [of, cause] = key.split("\n", 2);
  list.sort((a, b) => a.since - b.since);
  const bars: Bar[] = [];
  for (const one of list) {
    const last = bars[bars.length - 1];
    if (last && one.since <= last.until) last.until = Math.max(last.until, one.until);
    else bars.push({ since: one.since, until: one.until, kind: cause, cause, call: one.call });
  }
  return { name: cause, of, more: false, wait: true, calls: [], bars, stale: false };
}
