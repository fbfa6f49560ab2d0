// The timeline's axis: instants to places and back, with stretches of nothing left out if wished.

export class Axis {
  /** Where left-out stretches begin and end, and how long all before them is as drawn. */
  #breaks: { since: number; until: number; at: number; long: number }[] = [];
  readonly base: number;

  constructor(base: number, gaps: [number, number][] = [], gapLong = 0) {
    this.base = base;
    let cut = 0;
    for (const [since, until] of gaps) {
      const long = Math.min(gapLong, until - since);
      this.#breaks.push({ since, until, at: since - base - cut, long });
      cut += until - since - long;
    }
  }

  get breaks(): readonly { since: number; until: number; at: number; long: number }[] {
    return this.#breaks;
  }

  #find(value: number, of: "since" | "at"): number {
    let low = 0, high = this.#breaks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#breaks[middle][of] > value) high = middle;
      else low = middle + 1;
    }
    return low - 1;
  }

  /** From an instant to the length from the beginning as it is drawn. */
  drawn(instant: number): number {
    const n = this.#find(instant, "since");
    if (n < 0) return instant - this.base;
    const one = this.#breaks[n];
    if (instant >= one.until) return one.at + one.long + (instant - one.until);
    return one.at + (one.long * (instant - one.since)) / (one.until - one.since);
  }

  instant(drawn: number): number {
    const n = this.#find(drawn, "at");
    if (n < 0) return drawn + this.base;
    const one = this.#breaks[n];
    if (drawn >= one.at + one.long) return one.until + (drawn - one.at - one.long);
    return one.since + ((one.until - one.since) * (drawn - one.at)) / one.long;
  }
}

const STEPS: number[] = [];
for (const power of [-3, -2, -1, 0, 1, 2]) for (const base of [1, 2, 5]) STEPS.push(base * 10 ** power);
for (const [unit, list] of [
  [1e3, [1, 2, 5, 10, 15, 30]], [6e4, [1, 2, 5, 10, 15, 30]], [3.6e6, [1, 2, 3, 6, 12]], [8.64e7, [1, 2, 5, 10, 20, 50, 100, 200, 500]],
] as [number, number[]][]) for (const n of list) STEPS.push(unit * n);

/** A round distance between marks, so that no more than so many are drawn. */
export const between = (span: number, most: number): number => STEPS.find((one) => span / one <= most) ?? STEPS[STEPS.length - 1];

const pad = (n: number): string => String(n).padStart(2, "0");

/** What a mark says: how long after the beginning it is. */
export function markText(ms: number, step: number): string {
  if (Math.abs(ms) < 1e-9) return "0";
  if (step >= 8.64e7) return `${Math.round(ms / 8.64e7)} d`;
  const s = ms / 1e3;
  if (s < 1) return `${+ms.toPrecision(6)} ms`;
  if (step < 1e3 || s < 60) return `${+s.toPrecision(10)} s`;
  const m = Math.floor(s / 60 + 1e-9);
  if (s >= 3600) return `${Math.floor(m / 60)}:${pad(m % 60)}${Math.round(s % 60) ? `:${pad(Math.round(s % 60))}` : " h"}`;
  return `${m}:${pad(Math.round(s - 60 * m))}`;
}
