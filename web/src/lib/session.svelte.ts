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

/** How a cause or a fate looks; the kind is what stands before a colon. */
export function lookOf(kind: string): Look {
  const about = session.about;
  const short = kind.split(":", 1)[0];
  return about?.looks[short] ?? about?.fates[short] ?? PLAIN;
}
