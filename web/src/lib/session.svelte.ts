// What is true for the whole page: who looks, at which server, how causes look, what is asked.
import type { About, Alert, Look, Question } from "./types.ts";

export const session = $state({
  about: null as About | null,
  /** Whether the server knows no such token. */
  locked: false,
  questions: [] as Question[],
  alerts: [] as Alert[],
  moreAsked: 0,
});

/** Whether this page may act, or only look. */
export const mayAct = (): boolean => session.about?.role === "operate";

const PLAIN: Look = { colour: "#999999", hatch: "", ink: "#000000", mark: "?", name: "not known" };

// What a wait is called in the journal, and the kind of cause that it is.
const OF_WAIT: Record<string, string> = {
  spacing: "rate", closed: "refused", breaker: "refused", reserved: "slot", claim: "coordinator", commit: "coordinator", own: "coordinator",
};

/** The kind of a cause, from its whole name: `spacing:flash` is of the kind `rate`. */
export function kindOf(cause: string): string {
  const short = cause.split(":", 1)[0];
  return OF_WAIT[short] ?? short;
}

/** How a cause or a fate looks. */
export function lookOf(cause: string): Look {
  const kind = kindOf(cause);
  return session.about?.looks[kind] ?? session.about?.fates[kind] ?? PLAIN;
}

// Waits of one kind that would be called the same.
const HOW: Record<string, string> = { spacing: ", spacing", closed: ", closed", breaker: ", down", reserved: ", reserved" };

/** A cause in words: `rate limit flash`, `slot of run`. */
export function causeText(cause: string): string {
  const [, detail = ""] = cause.split(/:(.*)/s, 2);
  const name = lookOf(cause).name;
  const how = HOW[cause.split(":", 1)[0]] ?? "";
  return (detail ? `${name} ${detail.replace(/^agent:/, "")}` : name) + how;
}

/** What is waited for, in words: the server says what people call it. */
export const waitText = (wait: { cause: string; name: string }): string =>
  causeText(wait.name ? `${wait.cause.split(":", 1)[0]}:${wait.name}` : wait.cause);
