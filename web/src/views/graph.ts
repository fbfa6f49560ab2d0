// The graph's picture: boxes and lines at the places that the server has computed.
// From afar boxes are specks in the colour of their state; from near they have names and marks.
import { mark, tone } from "../lib/format.ts";

/** What the server tells: `GET /api/runs/{run}/graph`. */
export interface Told {
  nodes: [string, string, number, number, number][];
  edges: [number, number, number?][];
  width: number;
  height: number;
  size: [number, number];
  sizes: Record<string, [number, number]>;
  groups: Record<string, number>;
  members: Record<string, number>;
  routes: Record<string, [number, number][]>;
}

export interface Box {
  id: string;
  name: string;
  kind: string;
  x: number;
  y: number;
  w: number;
  h: number;
  layer: number;
  group: number;
  members: number;
  inside: boolean;
  before: number[];
  after: number[];
  state: string;
  /** How many rows of each state share this box: items and rounds of a step do. */
  states: Map<string, number>;
  /** How many of its items are done, of how many. */
  done: number;
  of: number;
}

/** From x, y to x, y; where the layer led to begins; whether it is only wanted. */
type Hop = [number, number, number, number, number, boolean];

const BETWEEN = 72;
const MANY = 1_500, MOST_PIXELS = 16_000_000, SETTLED = 150;
const KINDS: Record<string, string> = {
  approve: "person", input: "person", consensus: "team", review: "review", panel: "panel", plan: "plan", gather: "gathers",
};
// What is to be seen first of several states of one box.
const FIRST = ["failed", "held", "waiting", "running", "interrupted", "stopped", "pending", "succeeded", "skipped"];

/** The path of a step in its plan, without items and rounds: `a/3~2/b` is of `a/b`. */
export const planPath = (path: string): string => path.replace(/(\/\d+)?(~\d+)?(?=\/|$)/g, "");

export class Graph {
  readonly boxes: Box[];
  readonly byId = new Map<string, number>();
  readonly edges: [number, number, boolean][];
  readonly width: number;
  readonly height: number;
  /** Stretches of lines: from a point to another, the left of the layer led to, whether only wanted. */
  readonly #hops: Hop[] = [];
  #seen = new Map<string, [number, string]>();
  #kept: { canvas: HTMLCanvasElement; scale: number; ink: string } | null = null;
  #left: (box: Box, layer: number) => number = (box) => box.x;

  constructor(told: Told) {
    this.width = told.width;
    this.height = told.height;
    this.boxes = told.nodes.map(([id, kind, x, y, layer], n) => {
      const [w, h] = told.sizes[n] ?? told.size;
      this.byId.set(id, n);
      return {
        id, kind, x, y, w, h, layer, name: id.slice(id.lastIndexOf("/") + 1), group: told.groups[n] ?? -1,
        members: told.members[n] ?? 0, inside: false, before: [], after: [], state: "pending", states: new Map(), done: 0, of: 0,
      };
    });
    for (const box of this.boxes) if (box.group >= 0) this.boxes[box.group].inside = true;
    this.edges = told.edges.map(([a, b, want]) => [a, b, want === 1]);
    for (const [a, b] of this.edges) {
      this.boxes[a].after.push(b);
      this.boxes[b].before.push(a);
    }
    this.#route(told.routes);
  }

  #route(routes: Told["routes"]): void {
    // The gap before a layer is where lines change their height: all of a layer begins at one place.
    const lefts = new Map<string, number>();
    const key = (box: Box, layer: number) => `${box.group} ${layer}`;
    for (const box of this.boxes) lefts.set(key(box, box.layer), Math.min(box.x, lefts.get(key(box, box.layer)) ?? Infinity));
    this.#left = (box, layer) => lefts.get(key(box, layer)) ?? box.x;
    const trunks = new Map(Object.entries(routes).map(([n, points]) => [Number(n), points]));
    // A trunk is a need's unless all that hangs on it is only wanted.
    const needed = new Set(this.edges.filter(([a, b, want]) => !want && this.boxes[b].layer > this.boxes[a].layer + 1).map(([a]) => a));
    for (const [n, points] of trunks) {
      const box = this.boxes[n];
      let [x, y] = [box.x + box.w, box.y + box.h / 2];
      for (const [px, py] of points) {
        this.#hops.push([x, y, px, py, px, !needed.has(n)]);
        [x, y] = [px, py];
      }
    }
    for (const [a, b, want] of this.edges) {
      const one = this.boxes[a], other = this.boxes[b], trunk = trunks.get(a);
      const hops = other.layer - one.layer;
      const last = trunk && hops > 1 ? trunk[hops - 2] : null;
      const [x, y] = last ?? [one.x + one.w, one.y + one.h / 2];
      this.#hops.push([x, y, other.x, other.y + other.h / 2, this.#left(other, other.layer), want]);
    }
  }

  /** Takes rows of the run's store; gives whether anything looks different now. */
  take(rows: Iterable<{ id: string; st?: string; done?: number; of?: number }>): boolean {
    const touched = new Set<number>();
    for (const row of rows) {
      const state = row.st ?? "pending", had = this.#seen.get(row.id);
      const n = had?.[0] ?? this.#boxOf(row.id);
      if (n < 0) continue;
      if (row.of !== undefined) {
        this.boxes[n].done = row.done ?? 0;
        this.boxes[n].of = row.of;
        touched.add(n);
      }
      if (had?.[1] === state) continue;
      const states = this.boxes[n].states;
      if (had) states.set(had[1], (states.get(had[1]) ?? 1) - 1);
      states.set(state, (states.get(state) ?? 0) + 1);
      this.#seen.set(row.id, [n, state]);
      touched.add(n);
    }
    for (const n of touched) {
      const box = this.boxes[n];
      box.state = FIRST.find((state) => (box.states.get(state) ?? 0) > 0) ?? "pending";
    }
    return touched.size > 0;
  }

  #boxOf(path: string): number {
    return this.byId.get(path) ?? this.byId.get(planPath(path)) ?? -1;
  }

  /** The box of a step, or of the closed group that it is in; -1 for none. */
  find(path: string): number {
    for (let at = planPath(path); at; at = at.slice(0, Math.max(0, at.lastIndexOf("/")))) {
      const n = this.byId.get(at);
      if (n !== undefined) return n;
    }
    return -1;
  }

  /** The innermost box at a point. */
  at(x: number, y: number): number {
    let found = -1;
    for (let n = 0; n < this.boxes.length; n++) {
      const box = this.boxes[n];
      // A box comes behind the group that it is in.
      if (x >= box.x && x < box.x + box.w && y >= box.y && y < box.y + box.h) found = n;
    }
    return found;
  }

  draw(paint: CanvasRenderingContext2D, sight: Sight): number {
    const { own, scale, x, y, width, height, ratio } = sight;
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.fillStyle = own.paper;
    paint.fillRect(0, 0, width, height);
    const zoom = scale * ratio;
    paint.setTransform(zoom, 0, 0, zoom, -x * zoom, -y * zoom);
    const right = x + width / scale, below = y + height / scale;
    const far = scale < 0.28;
    for (let n = 0; n < this.boxes.length; n++) {
      const box = this.boxes[n];
      if (box.inside && !(box.x > right || box.x + box.w < x || box.y > below || box.y + box.h < y)) this.#group(paint, box, n, sight);
    }
    this.#lines(paint, sight, far);
    this.#chain(paint, sight);
    let drawn = 0;
    for (let n = 0; n < this.boxes.length; n++) {
      const box = this.boxes[n];
      if (box.inside || box.x > right || box.x + box.w < x || box.y > below || box.y + box.h < y) continue;
      drawn++;
      if (far) this.#speck(paint, box, n, sight);
      else this.#box(paint, box, n, sight);
    }
    return drawn;
  }

  /** Draws the lines in sight; of a large plan from afar, a picture of them that is kept. */
  #lines(paint: CanvasRenderingContext2D, sight: Sight, far: boolean): void {
    const { x, y, width, height, scale, ratio } = sight;
    const wide = Math.ceil(this.width * scale * ratio), high = Math.ceil(this.height * scale * ratio);
    if (!far || this.#hops.length < MANY || wide * high > MOST_PIXELS) {
      stroke(paint, sight, this.#hops, x, y, x + width / scale, y + height / scale);
      return;
    }
    const had = this.#kept;
    if (!had || had.ink !== sight.own.edge || (had.scale !== scale && performance.now() - sight.zoomed > SETTLED)) {
      const canvas = document.createElement("canvas");
      canvas.width = wide;
      canvas.height = high;
      const brush = canvas.getContext("2d")!;
      brush.setTransform(scale * ratio, 0, 0, scale * ratio, 0, 0);
      stroke(brush, sight, this.#hops, -Infinity, -Infinity, Infinity, Infinity);
      this.#kept = { canvas, scale, ink: sight.own.edge };
    }
    // While somebody zooms the last picture is stretched; a sharp one follows.
    paint.drawImage(this.#kept!.canvas, 0, 0, this.width, this.height);
  }

  /** Whether the picture of the lines is of another size than what is shown. */
  get blurred(): number {
    return this.#kept?.scale ?? 0;
  }

  #chain(paint: CanvasRenderingContext2D, sight: Sight): void {
    if (sight.chain.size === 0) return;
    paint.strokeStyle = sight.own.ink;
    paint.lineWidth = Math.max(3, 2 / sight.scale);
    paint.beginPath();
    for (const [a, b] of this.edges) {
      if (!sight.chain.has(a) || !sight.chain.has(b)) continue;
      const one = this.boxes[a], other = this.boxes[b];
      curve(paint, [one.x + one.w, one.y + one.h / 2, other.x, other.y + other.h / 2, this.#left(other, other.layer), false]);
    }
    paint.stroke();
  }

  #speck(paint: CanvasRenderingContext2D, box: Box, n: number, { own, chosen, scale, chain }: Sight): void {
    paint.fillStyle = tone(box.state) === "dull" ? own.edge : own[tone(box.state)];
    const least = 1.5 / scale;
    paint.fillRect(box.x, box.y, Math.max(box.w, least), Math.max(box.h, least));
    if (n !== chosen && !chain.has(n)) return;
    paint.strokeStyle = own.ink;
    paint.lineWidth = (n === chosen ? 4 : 2) / scale;
    const room = n === chosen ? 4 / scale : 0;
    paint.strokeRect(box.x - room, box.y - room, box.w + 2 * room, box.h + 2 * room);
  }

  #group(paint: CanvasRenderingContext2D, box: Box, n: number, sight: Sight): void {
    const { own, scale, chosen } = sight;
    paint.fillStyle = own.band;
    paint.strokeStyle = n === chosen ? own.ink : own.edge;
    paint.lineWidth = n === chosen ? 3 : Math.max(1, 0.7 / scale);
    paint.beginPath();
    paint.roundRect(box.x, box.y, box.w, box.h, 8);
    paint.fill();
    paint.stroke();
    if (scale < 0.28) return;
    paint.textBaseline = "middle";
    paint.fillStyle = own[tone(box.state)];
    paint.font = `600 13.5px ${FONT}`;
    paint.fillText(mark(box.state), box.x + 12, box.y + 17);
    paint.fillStyle = own.ink;
    paint.fillText(sight.short(`${box.name}  ·  ${KINDS[box.kind] ?? box.kind}`, box.w - 44, paint), box.x + 30, box.y + 17);
  }

  #box(paint: CanvasRenderingContext2D, box: Box, n: number, sight: Sight): void {
    const { own, chosen, chain, scale } = sight, colour = own[tone(box.state)];
    const quiet = tone(box.state) === "dull";
    paint.fillStyle = own.paper;
    paint.strokeStyle = n === chosen || chain.has(n) ? own.ink : own.edge;
    paint.lineWidth = n === chosen ? 4 : chain.has(n) ? 2.5 : 1;
    if (box.kind === "approve" || box.kind === "input") paint.setLineDash([6, 3]);
    paint.beginPath();
    paint.roundRect(box.x, box.y, box.w, box.h, 5);
    paint.fill();
    paint.stroke();
    paint.setLineDash([]);
    paint.fillStyle = quiet ? own.rule : colour;
    paint.fillRect(box.x + 1, box.y + 2, 6, box.h - 4);
    paint.fillStyle = colour;
    paint.textBaseline = "middle";
    paint.font = `600 14px ${FONT}`;
    paint.fillText(mark(box.state), box.x + 13, box.y + box.h / 2);
    if (scale < 0.42) return;
    const rows = [...box.states.values()].reduce((sum, one) => sum + one, 0);
    const done = box.of ? box.done : (box.states.get("succeeded") ?? 0) + (box.states.get("skipped") ?? 0);
    const items = box.of || rows;
    const note = [KINDS[box.kind], box.members ? `${box.members}` : "", items > 1 ? `${done} of ${items} done` : ""].filter(Boolean).join(" · ");
    paint.fillStyle = own.ink;
    paint.font = `14px ${FONT}`;
    paint.fillText(sight.short(box.name, box.w - 42, paint), box.x + 32, box.y + (note ? 12.5 : box.h / 2));
    if (!note) return;
    paint.fillStyle = own.soft;
    paint.font = `12px ${FONT}`;
    paint.fillText(sight.short(note, box.w - 42, paint), box.x + 32, box.y + 28.5);
  }
}

/** A line that changes its height in the gap before the layer it leads to, and is level elsewhere. */
function curve(paint: CanvasRenderingContext2D, [x, y, toX, toY, left]: Hop): void {
  const bend = Math.max(x, left - BETWEEN), end = Math.max(bend, left), half = (end - bend) / 2;
  paint.moveTo(x, y);
  paint.lineTo(bend, y);
  paint.bezierCurveTo(bend + half, y, end - half, toY, end, toY);
  paint.lineTo(toX, toY);
}

function stroke(paint: CanvasRenderingContext2D, sight: Sight, hops: Hop[], x: number, y: number, right: number, below: number): void {
  const { scale, own } = sight, coarse = scale < 0.12;
  paint.strokeStyle = own.edge;
  paint.globalAlpha = scale < 0.28 ? 0.5 : 0.9;
  paint.lineWidth = Math.max(1, 0.7 / scale);
  for (const wanted of [false, true]) {
    paint.setLineDash(wanted && !coarse ? [5, 4] : []);
    paint.beginPath();
    for (const hop of hops) {
      if (hop[5] !== wanted || hop[0] > right || hop[2] < x || Math.min(hop[1], hop[3]) > below || Math.max(hop[1], hop[3]) < y) continue;
      if (coarse) {
        paint.moveTo(hop[0], hop[1]);
        paint.lineTo(hop[2], hop[3]);
      } else curve(paint, hop);
    }
    paint.stroke();
  }
  paint.setLineDash([]);
  paint.globalAlpha = 1;
}

const FONT = "system-ui, Segoe UI, Helvetica, Arial, sans-serif";

/** What is in sight, and how it looks there. */
export interface Sight {
  x: number;
  y: number;
  scale: number;
  width: number;
  height: number;
  ratio: number;
  /** When the scale was last changed, on the clock of the page. */
  zoomed: number;
  chosen: number;
  chain: ReadonlySet<number>;
  own: Record<string, string>;
  short: (text: string, room: number, paint: CanvasRenderingContext2D) => string;
}

/** The page's colours as they are now, by their names. */
export function colours(): Record<string, string> {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const own = Object.fromEntries(["paper", "ink", "soft", "rule", "band", "edge", "good", "busy", "ask", "bad", "wait"].map((name) => [name, of(name)]));
  return { ...own, dull: own.soft };
}

const widths = new Map<string, string>();
/** Cuts a text in its middle so that it fits. */
export function short(text: string, room: number, paint: CanvasRenderingContext2D): string {
  const key = `${text}\n${Math.round(room)}\n${paint.font}`;
  let fits = widths.get(key);
  if (fits !== undefined) return fits;
  if (widths.size > 20_000) widths.clear();
  fits = text;
  for (let keep = text.length; keep > 0 && paint.measureText(fits).width > room; ) {
    keep = Math.min(keep - 1, Math.floor(keep * 0.9));
    const tail = Math.floor(keep / 3);
    fits = keep ? `${text.slice(0, keep - tail)}…${tail ? text.slice(-tail) : ""}` : "";
  }
  widths.set(key, fits);
  return fits;
}
