// Events in words: one line each, and the step or call that it is about.
import { dollars, duration, valueText } from "./format.ts";
import { plainText } from "./plain.ts";
import type { Slim } from "./types.ts";

export interface Line {
  words: string;
  tone: string;
  step: string;
  call: string;
}

const cut = (text: string, most = 160): string => {
  const line = plainText(text.replace(/\s+/g, " ").trim());
  return line.length > most ? `${line.slice(0, most)}…` : line;
};

function callName(value: unknown): [string, string] {
  if (typeof value === "string") return [value.slice(0, value.lastIndexOf("#")), value];
  if (Array.isArray(value)) {
    const path = String(value.at(-2) ?? ""), attempt = String(value.at(-1) ?? "");
    return [path, `${path}#${attempt}`];
  }
  const one = (value ?? {}) as { path?: string; attempt?: number };
  return one.path ? [one.path, `${one.path}#${one.attempt ?? 1}`] : ["", ""];
}

function spent(usage: unknown): string {
  const one = (usage ?? {}) as { tokens_in?: number; tokens_out?: number; cost?: number };
  const words: string[] = [];
  if (one.tokens_in !== undefined || one.tokens_out !== undefined) words.push(`${one.tokens_in ?? "?"} + ${one.tokens_out ?? "?"} tokens`);
  if (typeof one.cost === "number") words.push(dollars(one.cost / 1e12));
  return words.length ? ` (${words.join(", ")})` : "";
}

const fault = (event: Slim): string => {
  const one = event.fault as { message?: string; kind?: string } | undefined;
  return cut(one?.message ?? one?.kind ?? "");
};
const WHYS: Record<string, string> = { stop: "nothing waits for it any more", cancel: "the run is cancelled", timeout: "it took too long", hedge: "the call beside it was faster" };

/** Why a call was cancelled, in words. */
export const why = (reason: string): string => WHYS[reason] ?? cut(reason);
const by = (event: Slim): string => (event.by ? ` by ${String(event.by)}` : "");

/** Tells an event. What this page does not know of yet is told by its name and its fields. */
export function told(event: Slim): Line {
  const [step, call] = callName(event.call);
  const path = String(event.path ?? "") || step;
  const line = (words: string, tone = ""): Line => ({ words, tone, step: path, call });
  const output = event.output === undefined || event.output === null ? "" : `: ${cut(valueText(event.output))}`;
  switch (event.type) {
    case "run_started": return line("the run began");
    case "run_resumed": return line("a process took the run up again");
    case "spec_replaced": return line("the plan was replaced");
    case "pause_requested": return line(`pause asked${by(event)}${event.reason ? `: ${cut(String(event.reason))}` : ""}`, "wait");
    case "continue_requested": return line(`goes on${by(event)}`);
    case "cancel_requested": return line(`cancel asked${by(event)}`, "bad");
    case "retry_requested": return line(`retry asked${by(event)}`);
    case "call_started": {
      const waited = ((event.waits ?? []) as [string, number, number][]).reduce((sum, [, since, until]) => sum + until - since, 0);
      return line(`call sent to ${String(event.agent ?? "")}${waited > 1 ? ` after waiting ${duration(waited > 1e6 ? waited / 1e6 : waited)}` : ""}`, "busy");
    }
    case "call_finished": return line(`call finished${spent(event.usage)}${output}`, "good");
    case "call_failed": return line(`call failed: ${fault(event)}`, "bad");
    case "call_cancelled": return line(`call cancelled: ${why(String(event.reason ?? ""))}`);
    case "call_lost": return line("call lost with its process", "bad");
    case "approval_asked": return line(`approval asked: ${cut(String(event.shown ?? ""))}`, "ask");
    case "approval_given": return line(`${event.approved ? "approved" : "rejected"}${by(event)}${event.note ? `: ${cut(String(event.note))}` : ""}`, event.approved ? "good" : "bad");
    case "input_asked": return line(`input asked: ${cut(String(event.prompt ?? ""))}`, "ask");
    case "input_given": return line(`input given${by(event)}: ${cut(valueText(event.value))}`);
    case "step_skipped": return line(`skipped: ${cut(String(event.reason ?? ""))}`);
    case "step_failed": return line(`failed: ${fault(event)}`, "bad");
    case "limit_changed": {
      const label = String(event.label ?? event.limit);
      return line(`limit ${label} ${String(event.what ?? "")}: ${cut(String(event.message ?? "").replaceAll(String(event.limit), label))}`, "wait");
    }
    case "forecasted": return line("forecast made anew");
    case "time_passed": return line("the clock moved on, for what waits for it");
    case "run_ended": return line(`the run ended: ${String(event.status ?? "")}${event.reason ? `, ${cut(String(event.reason))}` : ""}`, event.status === "succeeded" ? "good" : "bad");
    default: {
      const { seq: _seq, at: _at, type, path: _path, call: _call, ...rest } = event;
      return line(`${String(type ?? "event").replaceAll("_", " ")} ${cut(valueText(rest))}`);
    }
  }
}
