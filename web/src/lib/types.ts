// What the server tells, as docs/reference has it. Instants are milliseconds since the epoch,
// durations are milliseconds, money is dollars.

export interface Look {
  colour: string;
  hatch: string;
  ink: string;
  mark: string;
  name: string;
}

export interface About {
  program: string;
  version: string;
  role: "view" | "operate";
  by: string;
  state: string;
  started: number;
  looks: Record<string, Look>;
  fates: Record<string, Look>;
  tile: number;
}

export interface Wait {
  cause: string;
  name: string;
  count: number;
  until: number | null;
}

export interface Eta {
  low: number;
  high: number;
  finish: number;
}

export interface RunRow {
  id: string;
  name: string;
  status: string;
  created: number;
  updated: number;
  events: number;
  owner: string | null;
  alive: boolean;
  here: boolean;
  steps: Record<string, number> | null;
  usd: number | null;
  unpriced: number | null;
  calls: number | null;
  waits: Wait[] | null;
  asked: number;
  eta: Eta | null;
  source: string;
}

export interface Question {
  run: string;
  name: string;
  path: string;
  kind: string;
  shown: string;
  digest: string;
  asked_at: number;
  expires: number | null;
  on_timeout: string;
  /** Why the run is paused, as "" if it is not. */
  paused?: string;
  detail: {
    command?: unknown[] | null;
    stdin?: unknown;
    diff?: string | null;
    estimate?: { usd?: number; seconds?: number; calls?: number } | null;
  } | null;
  schema?: unknown;
  /** The JSON Schema that an input has to fit. */
  output?: unknown;
  /** Whether long texts of it are cut: `GET /api/inbox?run=&path=` gives them whole. */
  cut?: boolean;
}

export interface Alert {
  id: string;
  at: number;
  rule: string;
  message: string;
  run?: string;
  seen?: boolean;
  [more: string]: unknown;
}

export interface Head {
  id: string;
  name: string;
  status: string;
  reason: string;
  created: number;
  began: number | null;
  ended: number | null;
  /** When it came to rest: ended, paused, or left by its process; null while it goes on. */
  rested: number | null;
  at: number;
  seq: number;
  inputs: Record<string, unknown>;
  source: string;
  program: string;
  owner: string | null;
  alive: boolean;
  here: boolean;
  forked: { run: string; seq: number } | null;
  steps: Record<string, number>;
  total: number;
  calls: Record<string, number>;
  /** How many calls went down with the process that drove the run. */
  interrupted: number;
  tokens: { in: number; out: number; cached: number };
  usd: number;
  unpriced: number;
  max_parallel: number | null;
  waits: Wait[];
  eta: Eta | null;
  asked: Question[];
  output_bytes: number | null;
  kinds: string[];
  agents: Record<string, { kind: string; model?: string }>;
}

/** A step, or a part of one. What is absent is as usual: see docs/reference. */
export interface Row {
  id: string;
  k?: string;
  st?: string;
  ag?: string;
  t0?: number;
  t1?: number;
  n?: number;
  w?: number;
  usd?: number;
  up?: number;
  d?: string;
  done?: number;
  of?: number;
}

/** A call: only `q` waits; `t0` without `t1` is in flight. */
export interface CallRow {
  c: string;
  ag: string;
  m?: string;
  q?: number;
  t0?: number;
  t1?: number;
  how?: "finished" | "failed" | "cancelled" | "lost";
  why?: string;
  w?: [string, number, number][];
  tk?: [number | null, number | null];
  usd?: number;
  kept?: boolean;
  h?: boolean;
}

export interface StepDetail {
  row: Row | null;
  prompt: string | null;
  output: unknown;
  output_bytes: number | null;
  output_media: string | null;
  cut: boolean;
  calls: CallRow[];
  needs: string[];
  fates: Record<string, string>;
  problem: string | null;
  spec: unknown;
}

export interface Slim {
  seq: number;
  at: number;
  type?: string;
  [more: string]: unknown;
}

export interface OfferedPlan {
  file: string;
  plan: string;
  about?: string;
  inputs: Record<string, { required: boolean; default?: unknown; about?: string }>;
  steps: number;
  digest: string;
  problems: string[];
}

export type Topic =
  | { topic: "runs" | "inbox" | "limits" }
  | { topic: "run" | "calls" | "events"; run: string; after?: number | null }
  | { topic: "log"; run: string; path: string; attempt: number; from: number };

/** A frame of the live connection; what is in it depends on `t`. */
export interface Frame {
  t: string;
  run?: string;
  p?: number | null;
  s?: number;
  snap?: boolean;
  page?: number;
  more?: boolean | number;
  head?: Head;
  rows?: unknown[];
  gone?: string[];
  calls?: CallRow[];
  events?: Slim[];
  c?: string;
  o?: number;
  e?: number;
  d?: string;
  skipped?: number;
  end?: boolean;
  questions?: Question[];
  alerts?: Alert[];
  why?: string;
  message?: string;
  topic?: unknown;
  [more: string]: unknown;
}
