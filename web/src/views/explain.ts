// What the server tells of why a run took as long as it did, and of what would change.
export interface Share { kind: string; detail: string; name: string; ns: number; share: number }
export interface Segment { since: number; until: number; kind: string; detail: string; call: string | null; events: number[] }
export interface Spread { median: number; low: number; high: number }
export interface Simulated { worth: string; words: string; match: string; why: string; binds: string }
export interface Finding {
  kind: string; subject: string; title: string; detail: string; cost: number; share: number; money: number; tokens: number;
  advice: string; change: string[]; evidence: number[]; events: number; simulated: Simulated | null;
}
export interface Course { name: string; cap: number | null; span: number; area: number; peak: number; full: number }
export interface Told {
  run: string; status: string; took: number; headline: string; shares: Share[]; chain: Segment[]; chain_left_out: number;
  findings: Finding[]; labels: Record<string, string>; evidence: string; inferred: boolean; missing: string[]; seq: number;
  bounds: { path: number; work: Record<string, number>; rate: Record<string, number>; best: number; binds: string; took: number; efficiency: number | null; refuted: string[] };
  load: { run: Course; agents: Record<string, Course>; limits: Record<string, Course> };
  uses: { limit: string; windows: { kind: string; amount: number; per: number; peak: number; mean: number; held: number }[]; calls: number; waited: number; waiting: number; held: number; refused: number }[];
}

export interface Variant {
  name: string; settings: string[]; runs: number; figures: string; pairs: number; against: string; why: string; direction: string;
  seconds: Spread | null; calls: Spread | null; dollars: Spread | null; tokens: Spread | null; refused: Spread | null; wasted: Spread | null;
  success: number | null; faster: Spread | null; faster_certain: [number, number] | null; cheaper: Spread | null; unpriced: boolean; binds: string; frontier: boolean;
}
export interface Study {
  name: string; plan: string; seed: number; assumed: string[]; caveat: string; baseline: Variant; variants: Variant[];
  match: { run: string; verdict: "good" | "rough" | "bad"; seconds: number; simulated_seconds: Spread; calls: number; simulated_calls: Spread; reasons: string[] } | null;
}
export interface Knob { key: string; value: string; group: string; choices: string[] }

/** Settings as they stand in the address. */
export const packed = (settings: string[]): string => settings.join("\n");
export const unpacked = (text: string): string[] => text.split("\n").filter(Boolean);

export const WORTHS: Record<string, [string, string]> = {
  faster: ["✓", "good"], none: ["–", "dull"], slower: ["✗", "bad"], fails: ["✗", "bad"], unknown: ["?", "wait"], impossible: ["✗", "bad"],
};
