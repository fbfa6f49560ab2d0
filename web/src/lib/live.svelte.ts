// One WebSocket for the whole page. Views watch topics; what they no longer look at is not sent.
// Each topic has a cursor: after a lost connection it goes on from there, and a gap is noticed.
import type { Frame, Topic } from "./types.ts";
import { get, quoted, theToken } from "./api.ts";

type Listener = (frame: Frame) => void;

interface Watched {
  topic: Topic;
  listeners: Set<Listener>;
  /** The last frame's `s`; null begins anew. */
  cursor: number | null;
  /** Whether a snapshot has begun and not all its pages are here. */
  halfway: boolean;
}

const watched = new Map<string, Watched>();
let socket: WebSocket | null = null;
let tries = 0;
let timer = 0;
let asked = false;
let heard = 0;
let started = false;
let beats = 0;

/** What the page says of its connection. */
export const live = $state({
  state: "connecting" as "connecting" | "open" | "reconnecting",
  behind: "",
  problem: "",
  frames: 0,
  largest: 0,
});

function keyOf(topic: Topic): string {
  const parts: string[] = [topic.topic];
  if ("run" in topic) parts.push(topic.run);
  if (topic.topic === "log") parts.push(topic.path, String(topic.attempt));
  return parts.join("\n");
}

function asSent(one: Watched): Topic {
  const after = one.halfway ? null : one.cursor;
  if (one.topic.topic === "log") return { ...one.topic, from: one.cursor ?? one.topic.from };
  if (one.topic.topic === "events") return { ...one.topic, after: one.cursor ?? one.topic.after ?? 0 };
  if ("run" in one.topic) return { ...one.topic, after };
  return one.topic;
}

function send(without = ""): void {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const set = [...watched].filter(([key]) => key !== without).map(([, one]) => asSent(one));
  socket.send(JSON.stringify({ watch: set }));
}

function later(): void {
  // What changes within one turn is sent as one set.
  if (asked) return;
  asked = true;
  queueMicrotask(() => {
    asked = false;
    send();
  });
}

/** Watches a topic until the function that it gives is called. */
export function watch(topic: Topic, onFrame: Listener): () => void {
  const key = keyOf(topic);
  let one = watched.get(key);
  if (!one) {
    const cursor = "after" in topic ? (topic.after ?? null) : null;
    one = { topic, listeners: new Set(), cursor, halfway: false };
    watched.set(key, one);
    later();
  } else if (one.topic.topic !== "log" && one.topic.topic !== "events") {
    // The newcomer needs what the others have had already.
    one.cursor = null;
    one.halfway = false;
    again(key);
  }
  one.listeners.add(onFrame);
  return () => {
    one.listeners.delete(onFrame);
    if (one.listeners.size === 0 && watched.get(key) === one) {
      watched.delete(key);
      later();
    }
  };
}

function again(key: string): void {
  // A topic that is left and taken up begins at the cursor that is sent with it.
  send(key);
  later();
}

function keysOf(frame: Frame): string[] {
  if (frame.t !== "log") return [frame.run === undefined ? frame.t : `${frame.t}\n${frame.run}`];
  const [path, attempt] = (frame.c ?? "").split("#");
  const keys = [];
  for (const [key, one] of watched) {
    const topic = one.topic;
    if (topic.topic !== "log" || topic.run !== frame.run) continue;
    if (topic.attempt && String(topic.attempt) !== attempt) continue;
    const below = topic.path.endsWith("/*") && path.startsWith(topic.path.slice(0, -1));
    if (topic.path === path || below) keys.push(key);
  }
  return keys;
}

function take(frame: Frame): void {
  if (frame.t === "lag") {
    live.behind = frame.why ?? "This page could not keep up; what it missed is on its way.";
    return;
  }
  if (frame.t === "error") {
    live.problem = quoted(frame.message ?? "The server could not show something.");
    return;
  }
  for (const key of keysOf(frame)) {
    const one = watched.get(key);
    if (!one) continue;
    if (frame.s !== undefined && !follows(one, frame)) {
      again(key);
      continue;
    }
    if (frame.t === "log") {
      if (!("path" in one.topic && one.topic.path.endsWith("/*"))) one.cursor = frame.e ?? one.cursor;
    } else if (frame.s !== undefined) {
      one.cursor = frame.s;
      one.halfway = frame.snap === true && frame.more === true;
      if (!one.halfway) live.behind = "";
    }
    for (const listener of [...one.listeners]) listener(frame);
  }
}

function follows(one: Watched, frame: Frame): boolean {
  return frame.p === null || frame.p === undefined || one.cursor === null || frame.p === one.cursor;
}

function connect(): void {
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`;
  const mine = new WebSocket(url, ["hocket", `token.${theToken()}`]);
  socket = mine;
  mine.onopen = () => {
    tries = 0;
    heard = performance.now();
    live.state = "open";
    live.problem = "";
    send();
  };
  mine.onmessage = (event) => {
    heard = performance.now();
    const text = event.data as string;
    live.frames++;
    if (text.length > live.largest) live.largest = text.length;
    const frame = JSON.parse(text) as Frame;
    if (frame.t) take(frame);
  };
  mine.onclose = () => {
    if (socket !== mine) return;
    socket = null;
    if (!started) return;
    live.state = "reconnecting";
    // A refused token looks like any other failure here: a plain request tells them apart.
    if (tries > 0) get("about").catch(() => {});
    const pause = Math.min(10_000, 250 * 2 ** Math.min(tries++, 6)) * (0.7 + Math.random() * 0.6);
    timer = window.setTimeout(connect, pause);
  };
}

function beat(): void {
  if (socket?.readyState !== WebSocket.OPEN) return;
  // A connection can be dead without having been closed: a computer that slept, a lost network.
  if (performance.now() - heard > 45_000) socket.close();
  else socket.send(JSON.stringify({ ping: Math.round(performance.now()) }));
}

/** Leaves the connection, and tries no more until `goLive` is called. */
export function leave(): void {
  started = false;
  clearTimeout(timer);
  socket?.close();
  socket = null;
  live.state = "connecting";
}

/** Opens the connection, and keeps it open. */
export function goLive(): void {
  if (started) return;
  started = true;
  tries = 0;
  connect();
  if (beats) return;
  beats = window.setInterval(beat, 20_000);
  addEventListener("online", () => {
    if (socket || !started) return;
    clearTimeout(timer);
    connect();
  });
  // For tests and for whoever looks into why a page is slow.
  Object.assign(window, { __live: { drop: () => socket?.close(), state: live, cursors: () => [...watched].map(([key, one]) => [key, one.cursor]) } });
}
