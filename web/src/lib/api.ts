// Requests to the server that this page came from. The token stands in each request's header.

export type Query = Record<string, string | number | boolean | null | undefined>;

/** What a request came to when it was not granted: what, and what to do. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly kind: string,
    message: string,
    readonly hint = "",
  ) {
    super(message);
  }
}

/** A message as a page shows it: commands stand in quotation marks, not as in Markdown. */
export const quoted = (message: string): string => message.replace(/`([^`\n]+)`/g, "“$1”");

/** Says an error in words, with what to do about it. */
export function problem(error: unknown): string {
  if (error instanceof ApiError) return quoted(error.hint ? `${error.message} ${error.hint}` : error.message);
  return quoted(error instanceof Error ? error.message : String(error));
}

const KEY = "hocket.token";
let token = "";
let refused: () => void = () => {};

/** A part of an address as text, or null if it is none. */
export function decoded(part: string): string | null {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    if (error instanceof URIError) return null;
    throw error;
  }
}

/** Takes the token out of the address, or what this tab had before. */
export function takeToken(): boolean {
  const found = /^#token=([^&]+)(?:&(.*))?$/.exec(location.hash);
  if (found) {
    sessionStorage.setItem(KEY, decoded(found[1]) ?? found[1]);
    history.replaceState(null, "", `${location.pathname}${found[2] ? `#${found[2]}` : ""}`);
  }
  token = sessionStorage.getItem(KEY) ?? "";
  return token !== "";
}

export function setToken(given: string): void {
  token = given.trim();
  sessionStorage.setItem(KEY, token);
}

/** The token, for the one connection that can send no header. */
export const theToken = (): string => token;

/** Says what happens when the server does not take the token. */
export function whenRefused(act: () => void): void {
  refused = act;
}

function address(path: string, query?: Query): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== null && value !== undefined && value !== "") given.set(name, String(value));
  }
  const text = given.toString();
  return `/api/${path}${text ? `?${text}` : ""}`;
}

async function ask(url: string, init: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    const headers = { ...(init.headers as Record<string, string>), authorization: `Bearer ${token}` };
    answer = await fetch(url, { ...init, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The server does not answer.", "Is `hocket serve` running?");
  }
  if (answer.ok) return answer;
  let kind = "bug", message = `The server answered ${answer.status}.`, hint = "";
  if (answer.headers.get("content-type")?.startsWith("application/json")) {
    const told = (await answer.json()).error;
    kind = told.kind;
    message = told.message;
    hint = told.hint ?? "";
  }
  if (answer.status === 401) refused();
  throw new ApiError(answer.status, kind, message, hint);
}

/** Writes the name of a run as a part of a path: `runs/ID/steps`. */
export const ofRun = (run: string, rest = ""): string =>
  `runs/${encodeURIComponent(run)}${rest ? `/${rest}` : ""}`;

export async function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return (await ask(address(path, query), { signal })).json();
}

export async function post<T>(path: string, body: unknown = {}): Promise<T> {
  const headers = { "content-type": "application/json" };
  return (await ask(address(path), { method: "POST", headers, body: JSON.stringify(body) })).json();
}

export interface Part {
  text: string;
  from: number;
  to: number;
  total: number;
}

/** Reads bytes from `from` up to `to`; both may be negative or absent, as in the header `Range`. */
export async function bytes(path: string, query: Query, range: string, signal?: AbortSignal): Promise<Part> {
  let answer: Response;
  try {
    answer = await ask(address(path, query), { headers: { range: `bytes=${range}` }, signal });
  } catch (error) {
    // Nothing is there yet, and so no part of it.
    if (error instanceof ApiError && error.status === 416) return { text: "", from: 0, to: 0, total: 0 };
    throw error;
  }
  const data = new Uint8Array(await answer.arrayBuffer());
  const said = /bytes (\d+)-(\d+)\/(\d+)/.exec(answer.headers.get("content-range") ?? "");
  const from = said ? Number(said[1]) : 0;
  const total = said ? Number(said[3]) : data.length;
  return { text: new TextDecoder().decode(data), from, to: from + data.length, total };
}

/** Gives a file to the browser to be saved: a plain link could not send the token. */
export async function save(path: string, query: Query, name: string): Promise<void> {
  const answer = await ask(address(path, query), {});
  const url = URL.createObjectURL(await answer.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
