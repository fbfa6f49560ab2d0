// Where the page is: all of it stands in the address, so that a link leads to the same sight and
// the browser's back and forward work. `#/run/ID/table?step=build&sort=-took`
import { decoded } from "./api.ts";

export interface Place {
  view: string;
  run: string;
  tab: string;
  /** Everything else, by name: the chosen step and call, filters, order, the timeline's range. */
  at: Record<string, string>;
}

/** No screen has this name. */
const NOWHERE = "?";

function read(): Place {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").map(decoded);
  // What cannot be read leads nowhere, and that is said.
  if (parts.includes(null)) return { view: NOWHERE, run: "", tab: "", at: {} };
  const [view = "", run = "", tab = ""] = parts as string[];
  const at: Record<string, string> = {};
  new URLSearchParams(query).forEach((value, name) => (at[name] = value));
  return { view: view || "runs", run: view === "run" ? run : "", tab: view === "run" ? tab : "", at };
}

export function address(view: string, run = "", tab = "", at: Record<string, string> = {}): string {
  const path = [view, run, tab].filter(Boolean).map(encodeURIComponent).join("/");
  const query = new URLSearchParams(Object.entries(at).filter(([, value]) => value !== "")).toString();
  return `#/${path}${query ? `?${query}` : ""}`;
}

class Route {
  place = $state.raw<Place>(read());

  constructor() {
    const follow = () => this.follow();
    addEventListener("popstate", follow);
    addEventListener("hashchange", follow);
  }

  /** Reads the address again. */
  follow(): void {
    this.place = read();
  }

  /** What stands in the address under a name, or "". */
  get(name: string): string {
    return this.place.at[name] ?? "";
  }

  /** Changes what stands in the address; "" takes it out. With `replace` "back" does not return here. */
  set(changes: Record<string, string>, replace = false): void {
    const { view, run, tab, at } = this.place;
    this.go(address(view, run, tab, { ...at, ...changes }), replace);
  }

  go(to: string, replace = false): void {
    if (to === location.hash) return;
    if (replace) history.replaceState(null, "", to);
    else history.pushState(null, "", to);
    this.place = read();
  }

  /** The address of another tab of the same run, with the same choice. */
  tab(name: string): string {
    const { run, at } = this.place;
    const kept: Record<string, string> = {};
    for (const key of ["step", "call"]) if (at[key]) kept[key] = at[key];
    return address("run", run, name, kept);
  }
}

export const route = new Route();
