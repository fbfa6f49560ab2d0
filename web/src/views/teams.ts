// What the server tells of teams and panels: `GET /api/runs/{run}/teams`.
export interface Member { name: string; agent: string; weight: number }
export interface Contribution { member: string; label: string; revision: number; content: string; weight: number; agent: string }
export interface Judgement {
  member: string; choice: string; confidence: number; weight: number; reason: string; seen: Record<string, number>;
  counts: boolean; issues: string[]; agent: string; failed: boolean;
}
export interface Event { at: number; member: string; what: string; detail: string; path: string }
export interface Sum { calls: number; cached: number; tokens: { in: number; out: number }; cost_usd: number; unpriced_calls: number }
export interface Team {
  kind: "consensus" | "review" | "tools"; status: "open" | "decided" | "failed"; began: number; ended: number | null;
  decision: string; forced: boolean; winner: string; contributions: Contribution[]; judgements: Judgement[]; rows: Event[];
  fates: Record<string, Sum>; waiting: number; calls: Record<string, string>;
  asked: { members: Member[]; policy?: string; rule?: string; threshold?: number; rounds?: number; early?: boolean; quorum?: number; swarm?: number; criteria?: string };
}
export interface Speaker { name: string; agent: string; kind: string; fallback: string[] }
export interface PanelTold {
  speakers: Speaker[]; own: Speaker[]; quorum: number | null; within: number | null;
  /** What each has said that is done, whether or not it came in time. */
  said: Record<string, string>;
  gathered: { contributions: Record<string, string>; missing: Record<string, string>; skipped: Record<string, string>; revised: boolean; unselected: string | null } | null;
}
export interface TeamsTold {
  teams: Record<string, Team>; panels: Record<string, PanelTold>; more: string[];
  names: Record<string, { kind: string; status: string; began: number }>;
}
/** What later answers made void, as an explanation tells it. */
export interface Chains {
  teams: { team: string; seats: { name: string; calls: number; restarts: number; void: number; longest: number; took: number; tokens: number; cost: number; chains: number[][] }[] }[];
}

export const TEAM_STATES: Record<string, string> = { open: "running", decided: "succeeded", failed: "failed" };
