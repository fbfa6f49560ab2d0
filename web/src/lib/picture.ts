// The timeline's picture: what is in sight is drawn, once for each frame of the screen at most.
import { Axis, between, markText } from "./axis.ts";
import { firstAfter, type Bar, type Lane } from "./lanes.ts";
import type { Look } from "./types.ts";

export const ROW = 22, AXIS = 24, BAR = 16;

export interface Scene {
  lanes: Lane[];
  bars: (lane: Lane) => Bar[];
  axis: Axis;
  /** What is in sight, as lengths from the beginning as they are drawn. */
  from: number;
  to: number;
  top: number;
  width: number;
  height: number;
  left: number;
  now: number;
  look: (kind: string) => Look;
  tile: number;
  label: (lane: Lane) => string;
  chosen: (call: string) => boolean;
  any: boolean;
  chain: ReadonlySet<string>;
}

export interface Done {
  drawn: number;
  merged: number;
  growing: number;
}

interface Own {
  paper: string;
  ink: string;
  soft: string;
  rule: string;
  band: string;
}

const FONT = "system-ui, Segoe UI, Helvetica, Arial, sans-serif";

export class Picture {
  readonly canvas: HTMLCanvasElement;
  readonly #paint: CanvasRenderingContext2D;
  #ratio = 1;
  #surfaces = new Map<string, CanvasPattern | string>();
  #looks = new Map<string, Look>();
  #widths = new Map<string, string>();
  #own: Own | null = null;

  constructor(canvas: HTMLCanvasElement) {
    this.canvas = canvas;
    this.#paint = canvas.getContext("2d", { alpha: false })!;
  }

  /** Fits the canvas to its place; to be called when the place, the screen or the theme changes. */
  fit(width: number, height: number): void {
    this.#ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * this.#ratio);
    this.canvas.height = Math.round(height * this.#ratio);
    this.canvas.style.height = `${height}px`;
    this.#surfaces.clear();
    this.#looks.clear();
    const style = getComputedStyle(document.documentElement);
    const of = (name: string) => style.getPropertyValue(name).trim();
    this.#own = { paper: of("--paper"), ink: of("--ink"), soft: of("--soft"), rule: of("--rule"), band: of("--band") };
  }

  /** How wide the longest of some names is. */
  widest(names: string[]): number {
    this.#paint.font = `12px ${FONT}`;
    let most = 0;
    for (const name of new Set(names)) most = Math.max(most, this.#paint.measureText(name).width);
    return Math.ceil(most);
  }

  draw(scene: Scene): Done {
    const paint = this.#paint, own = this.#own!;
    const done: Done = { drawn: 0, merged: 0, growing: 0 };
    paint.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    paint.globalAlpha = 1;
    paint.fillStyle = own.paper;
    paint.fillRect(0, 0, scene.width, scene.height);
    paint.textBaseline = "middle";
    const first = Math.max(0, Math.floor(scene.top / ROW));
    const last = Math.min(scene.lanes.length, Math.ceil((scene.top + scene.height - AXIS) / ROW));
    // Bars lie upon the lines of the axis, and these upon the bands.
    paint.fillStyle = own.band;
    for (let n = first | 1; n < last; n += 2) paint.fillRect(0, AXIS + n * ROW - scene.top, scene.width, ROW);
    const marks = this.#marks(scene);
    this.#lines(scene, marks);
    for (let n = first; n < last; n++) this.#lane(scene, scene.lanes[n], AXIS + n * ROW - scene.top, done);
    this.#breaks(scene);
    this.#axis(scene, marks);
    return done;
  }

  #look(kind: string, scene: Scene): Look {
    let look = this.#looks.get(kind);
    if (!look) this.#looks.set(kind, (look = { ...scene.look(kind) }));
    return look;
  }

  #surface(kind: string, scene: Scene): CanvasPattern | string {
    const had = this.#surfaces.get(kind);
    if (had !== undefined) return had;
    const look = this.#look(kind, scene);
    let made: CanvasPattern | string = look.colour;
    if (look.hatch) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = Math.max(1, Math.round(scene.tile * this.#ratio));
      const brush = tile.getContext("2d")!;
      brush.scale(tile.width / scene.tile, tile.width / scene.tile);
      brush.fillStyle = look.colour;
      brush.fillRect(0, 0, scene.tile, scene.tile);
      brush.strokeStyle = look.ink;
      brush.lineWidth = 1.2;
      brush.lineCap = "round";
      brush.stroke(new Path2D(look.hatch));
      const pattern = this.#paint.createPattern(tile, "repeat")!;
      pattern.setTransform(new DOMMatrix().scale(scene.tile / tile.width));
      made = pattern;
    }
    this.#surfaces.set(kind, made);
    return made;
  }

  #lane(scene: Scene, lane: Lane, y: number, done: Done): void {
    const paint = this.#paint, own = this.#own!, { left, width, axis, from, to } = scene;
    if (!lane.more) {
      paint.fillStyle = lane.wait ? own.soft : own.ink;
      paint.font = `12px ${FONT}`;
      paint.fillText(this.#short(scene.label(lane), left - 12), 6, y + ROW / 2);
    }
    paint.save();
    paint.beginPath();
    paint.rect(left, y, width - left, ROW);
    paint.clip();
    const scale = (width - left) / (to - from);
    const X = (at: number) => left + (axis.drawn(at) - from) * scale;
    const T = (x: number) => axis.instant(from + (x - left) / scale);
    const bars = scene.bars(lane), begin = axis.instant(from), end = axis.instant(to);
    for (let i = firstAfter(bars, begin, "until"); i < bars.length && bars[i].since < end; ) {
      const bar = bars[i];
      const x0 = Math.max(X(bar.since), left - 2), x1 = Math.min(X(Math.min(bar.until, scene.now)), width + 2);
      let next = i + 1;
      // What ends within the same pixel cannot be seen beside this bar.
      if (x1 - x0 < 1) next = Math.max(next, firstAfter(bars, T(Math.floor(x0) + 1), "until", next));
      done.merged += next - i - 1;
      done.drawn++;
      if (bar.until === Infinity) done.growing++;
      this.#bar(scene, bar, x0, Math.max(1, x1 - x0), y);
      i = next;
    }
    paint.restore();
    paint.globalAlpha = 1;
  }

  #bar(scene: Scene, bar: Bar, x: number, wide: number, y: number): void {
    const paint = this.#paint, own = this.#own!, look = this.#look(bar.kind, scene);
    const chosen = scene.any && scene.chosen(bar.call);
    paint.globalAlpha = scene.any && !chosen ? 0.4 : 1;
    if (look.colour) {
      paint.fillStyle = wide < 3 ? look.colour : this.#surface(bar.kind, scene);
      paint.fillRect(x, y + 2, wide, BAR);
      if (wide > 4) {
        // A thin edge keeps neighbours of one cause apart, and dark bars visible on dark paper.
        paint.strokeStyle = own.soft;
        paint.lineWidth = 0.5;
        paint.strokeRect(x + 0.25, y + 2.25, wide - 0.5, BAR - 0.5);
      }
      if (wide > 46 && !look.hatch) {
        paint.fillStyle = "#fff";
        paint.font = `11px ${FONT}`;
        paint.fillText(this.#short(bar.call.replace(/#0$/, ""), wide - 8), x + 4, y + 2 + BAR / 2);
      }
    }
    if (scene.chain.has(bar.call)) {
      paint.globalAlpha = 1;
      paint.fillStyle = own.ink;
      paint.fillRect(x, y + 1 + BAR, wide, 3);
    }
    if (chosen) {
      paint.strokeStyle = own.ink;
      paint.lineWidth = 2;
      paint.strokeRect(x + 1, y + 3, Math.max(1, wide - 2), BAR - 2);
    }
  }

  #breaks(scene: Scene): void {
    const paint = this.#paint, own = this.#own!, scale = (scene.width - scene.left) / (scene.to - scene.from);
    for (const one of scene.axis.breaks) {
      const x0 = Math.max(scene.left, scene.left + (one.at - scene.from) * scale);
      const x1 = Math.min(scene.width, scene.left + (one.at + one.long - scene.from) * scale);
      if (x1 <= x0) continue;
      paint.globalAlpha = 0.25;
      paint.fillStyle = own.soft;
      paint.fillRect(x0, AXIS, x1 - x0, scene.height);
      paint.globalAlpha = 1;
    }
  }

  /** Where the axis has marks, and what they say. */
  #marks(scene: Scene): [number, string][] {
    const { left, width, axis, from, to } = scene;
    const span = to - from, scale = (width - left) / span;
    const step = between(span, Math.max(1, Math.floor((width - left) / 84)));
    const begin = axis.instant(from) - axis.base;
    const found: [number, string][] = [];
    let before = -Infinity;
    const first = Math.max(0, Math.ceil(begin / step) * step);
    for (let n = 0; n < 400; n++) {
      const at = first + n * step;
      const drawn = axis.drawn(axis.base + at);
      if (drawn > to) break;
      const x = left + (drawn - from) * scale;
      // Marks within what is left out would lie upon each other.
      if (x - before < 60) continue;
      before = x;
      found.push([x, markText(at, step)]);
    }
    return found;
  }

  #lines(scene: Scene, marks: [number, string][]): void {
    const paint = this.#paint;
    paint.strokeStyle = this.#own!.rule;
    paint.lineWidth = 1;
    paint.globalAlpha = 0.55;
    paint.beginPath();
    for (const [x] of marks) {
      paint.moveTo(Math.round(x) + 0.5, AXIS);
      paint.lineTo(Math.round(x) + 0.5, scene.height);
    }
    paint.stroke();
    paint.globalAlpha = 1;
  }

  #axis(scene: Scene, marks: [number, string][]): void {
    const paint = this.#paint, own = this.#own!, { left, width, height } = scene;
    paint.fillStyle = own.paper;
    paint.fillRect(0, 0, width, AXIS);
    paint.lineWidth = 1;
    paint.font = `11px ${FONT}`;
    paint.fillStyle = own.soft;
    for (const [x, words] of marks) if (x < width - 40) paint.fillText(words, x + 3, AXIS / 2);
    paint.strokeStyle = own.soft;
    paint.beginPath();
    paint.moveTo(0, AXIS - 0.5);
    paint.lineTo(width, AXIS - 0.5);
    paint.moveTo(left - 0.5, 0);
    paint.lineTo(left - 0.5, height);
    paint.stroke();
  }

  #short(name: string, room: number): string {
    const key = `${name}\n${Math.round(room)}\n${this.#paint.font}`;
    let fits = this.#widths.get(key);
    if (fits !== undefined) return fits;
    if (this.#widths.size > 20_000) this.#widths.clear();
    let keep = name.length;
    fits = name;
    while (keep > 0 && this.#paint.measureText(fits).width > room) {
      keep = Math.min(keep - 1, Math.floor(keep * 0.9));
      const tail = Math.floor(keep / 3);
      fits = keep ? `${name.slice(0, keep - tail)}…${tail ? name.slice(-tail) : ""}` : "";
    }
    this.#widths.set(key, fits);
    return fits;
  }
}
