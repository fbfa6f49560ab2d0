// How numbers, times and states are written, the same on every screen.

const pad = (n: number): string => String(n).padStart(2, "0");

/** A length of time, from milliseconds: `340 ms`, `1.25 s`, `3 m 05 s`, `2 h 10 m`. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "";
  const s = Math.max(0, ms) / 1000;
  if (s === 0) return "0 s";
  if (s < 0.9995) return `${+(s * 1000).toPrecision(3)} ms`;
  if (s < 59.95) return `${s.toFixed(s < 10 ? 2 : 1)} s`;
  const whole = Math.round(s);
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${pad(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} m`;
  return `${Math.floor(whole / 86400)} d ${pad(Math.floor((whole % 86400) / 3600))} h`;
}

/** The same in whole seconds, for what ticks. */
export function ticking(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  return s < 60 ? `${s} s` : duration(s * 1000);
}

/** An instant as the clock on the wall, with the date when it is not today. */
export function clock(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return "";
  const at = new Date(ms);
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${time}`;
}

/** How long ago: `just now`, `5 m ago`. */
export function ago(ms: number, now: number): string {
  const s = Math.max(0, now - ms) / 1000;
  if (s < 10) return "just now";
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} m ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}

/** When a run will likely be over, as a list has room for it; never an instant that has passed. */
export function foreseen(eta: { low: number; high: number }, now: number): string {
  if (eta.high <= now) return "later than forecast";
  const [from, to] = [clock(eta.low), clock(eta.high)];
  if (from === to) return to;
  return eta.low <= now ? `by ${to}` : `${from} to ${to}`;
}

export function dollars(usd: number | null | undefined): string {
  if (usd === null || usd === undefined) return "";
  if (usd >= 1 || usd === 0) return `$${usd.toFixed(2)}`;
  if (usd > 0 && usd < 5e-7) return "< $0.000001";
  // Two digits at least, as money is written.
  return `$${usd.toFixed(6).replace(/(\.\d\d\d*?)0+$/, "$1")}`;
}

/** Money with what is not known of it: `$1.20 + 3 unpriced`. */
export function cost(usd: number | null | undefined, unpriced: number | null | undefined): string {
  if (usd === null || usd === undefined) return "";
  if (!unpriced) return dollars(usd);
  return usd === 0 ? `${count(unpriced)} unpriced` : `${dollars(usd)} + ${count(unpriced)} unpriced`;
}

export const count = (n: number): string => n.toLocaleString("en");
export const plural = (n: number, word: string, many = `${word}s`): string => `${count(n)} ${n === 1 ? word : many}`;
export const percent = (part: number): string => `${(100 * part).toFixed(part < 0.0995 && part > 0 ? 1 : 0)} %`;

export function bytesText(n: number): string {
  if (n < 1000) return `${n} B`;
  if (n < 1e6) return `${(n / 1e3).toFixed(n < 1e4 ? 1 : 0)} KB`;
  return `${(n / 1e6).toFixed(1)} MB`;
}

/** A value as text: text as it is, everything else as JSON. */
export const valueText = (value: unknown): string =>
  typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? "");

/** How the states of runs and steps look: a mark beside the word, so that colour is never alone. */
export const STATES: Record<string, { mark: string; tone: string }> = {
  new: { mark: "·", tone: "dull" },
  pending: { mark: "·", tone: "dull" },
  running: { mark: "▶", tone: "busy" },
  waiting: { mark: "?", tone: "ask" },
  held: { mark: "!", tone: "ask" },
  pausing: { mark: "‖", tone: "wait" },
  paused: { mark: "‖", tone: "wait" },
  interrupted: { mark: "‖", tone: "wait" },
  ending: { mark: "◌", tone: "wait" },
  succeeded: { mark: "✓", tone: "good" },
  finished: { mark: "✓", tone: "good" },
  failed: { mark: "✗", tone: "bad" },
  lost: { mark: "✗", tone: "bad" },
  cancelled: { mark: "⊘", tone: "dull" },
  stopped: { mark: "⊘", tone: "dull" },
  skipped: { mark: "⤼", tone: "dull" },
};

export const mark = (state: string): string => STATES[state]?.mark ?? "·";
export const tone = (state: string): string => STATES[state]?.tone ?? "dull";
export const stateName = (state: string): string => state.replaceAll("_", " ");
