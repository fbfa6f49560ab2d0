// The page of an explanation: a table of all calls, a timeline, and one selection for both.
// The selection is in the address, so that a link leads to it.
"use strict";
(() => {
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const text = (n) => data.texts[n];
const calls = data.calls;
const COUNT = calls.path.length;
const KIND = data.kinds;
// Large runs list only some calls: then a call's number and its row differ.
const rowOf = calls.index && new Map(calls.index.map((index, row) => [index, row]));
const row = (index) => (rowOf ? rowOf.get(index) : index >= 0 && index < COUNT ? index : undefined);
const indexOf = (at) => (calls.index ? calls.index[at] : at);
const causeName = (n) => data.causes[n][1];
const kindOf = (n) => data.causes[n][0];

// ---- words ----

const pad = (n) => String(n).padStart(2, "0");

function duration(units) {
  const s = units * data.unit / 1e9;
  if (s < 0.9995) return `${+(s * 1000).toPrecision(3)} ms`;
  if (s < 59.95) return `${s.toFixed(s < 10 ? 2 : 1)} s`;
  const whole = Math.round(s);
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${pad(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${pad(Math.floor(whole % 3600 / 60))} m`;
  return `${Math.floor(whole / 86400)} d ${pad(Math.floor(whole % 86400 / 3600))} h`;
}

function instant(units) {
  if (data.took * data.unit < 1e7) return `${+(units * data.unit / 1e3).toFixed(1)} µs`;
  const s = units * data.unit / 1e9;
  const digits = data.took * data.unit / 1e9 < 10 ? 4 : 2;
  if (s < 60) return `${s.toFixed(digits)} s`;
  const minutes = Math.floor(s / 60);
  const rest = (s - 60 * minutes).toFixed(digits).padStart(digits + 3, "0");
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${rest}`;
}

function dollars(pico) {
  if (pico === null) return "";
  const d = pico / 1e12;
  return `$${d >= 1 || !d ? d.toFixed(2) : d.toFixed(6).replace(/0+$/, "").replace(/\.$/, "")}`;
}

const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

function ranges(numbers) {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  const parts = [];
  for (let i = 0; i < sorted.length;) {
    let j = i;
    while (j + 1 < sorted.length && sorted[j + 1] === sorted[j] + 1) j++;
    parts.push(j > i + 1 ? `${sorted[i]}–${sorted[j]}` : sorted.slice(i, j + 1).join(", "));
    i = j + 1;
  }
  const shown = parts.slice(0, 60).join(", ");
  return parts.length > 60 ? `${shown}, and more (${plural(sorted.length, data.evidence)} in all)` : shown;
}

function make(name, attributes, ...inner) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...inner.filter((part) => part !== null && part !== undefined));
  return element;
}

const link = (hash, label) => make("a", {href: hash}, label);

function callLink(index) {
  const at = row(index);
  return at === undefined ? "a call that is not listed" : link(`#call-${index}`, text(calls.path[at]));
}

// ---- calls ----

const end = (at) => calls.ended[at] === null ? data.took : calls.asked[at] + calls.began[at] + calls.ended[at];
const started = (at) => calls.asked[at] + calls.began[at];
const took = (at) => end(at) - started(at);
const onChain = new Set(data.chain);
const onPath = new Set(data.path);

function longestWait(at) {
  const waits = calls.waits[at];
  let best = -1;
  for (let i = 0; i < waits.length; i += 3) {
    if (best < 0 || waits[i + 2] > waits[best + 2]) best = i;
  }
  return best < 0 ? "" : causeName(waits[best]);
}

function fateWords(at) {
  const flags = calls.flags[at];
  const words = [text(calls.fate[at]) || "under way", text(calls.how[at])];
  if (flags & 1) words.push("kept answer");
  if (flags & 2) words.push("hedge");
  if (flags & 4) words.push("never left");
  const mark = ["failed", "refused"].includes(words[0]) ? "✗ " : "";
  return mark + words.filter(Boolean).join(", ");
}

const COLUMNS = [
  ["call", "call", (at) => text(calls.path[at])],
  ["agent", "", (at) => text(calls.agent[at])],
  ["model", "", (at) => text(calls.model[at])],
  ["began", "n", started, instant],
  ["waited", "n", (at) => calls.began[at], duration],
  ["for", "", longestWait],
  ["took", "n", took, duration],
  ["fate", "", fateWords],
  ["tokens", "n", (at) => calls.tokensIn[at] === null && calls.tokensOut[at] === null ? null
    : (calls.tokensIn[at] || 0) + (calls.tokensOut[at] || 0), (n) => n.toLocaleString("en")],
  ["cost", "n", (at) => calls.cost[at], dollars],
  ["on the chain", "", (at) => onChain.has(indexOf(at)) ? "yes" : ""],
];
// What no call has, no column tells.
const BLANK = COLUMNS.map(([, , value]) => {
  for (let at = 0; at < COUNT; at++) {
    const one = value(at);
    if (one !== null && one !== "") return false;
  }
  return COUNT > 0;
});
const PAGE = 100;
const table = {order: [], page: 0, column: -1, down: false, find: "", fate: "", only: null};

function searched(at) {
  return `${text(calls.path[at])} ${text(calls.agent[at])} ${text(calls.model[at])} ${fateWords(at)} ${longestWait(at)}`;
}

function arrange() {
  const find = table.find.toLowerCase();
  let order = [];
  for (let at = 0; at < COUNT; at++) {
    if (table.only && !table.only.has(at)) continue;
    if (table.fate && text(calls.fate[at]) !== table.fate) continue;
    if (find && !searched(at).toLowerCase().includes(find)) continue;
    order.push(at);
  }
  if (table.column >= 0) {
    const value = COLUMNS[table.column][2];
    const sign = table.down ? -1 : 1;
    const keyed = order.map((at) => [value(at), at]);
    keyed.sort(([a, m], [b, n]) => {
      // What is not known stands last, whichever way the others are sorted.
      if (a === null || b === null) return (a === null) - (b === null) || m - n;
      return (a < b ? -sign : a > b ? sign : 0) || m - n;
    });
    order = keyed.map(([, at]) => at);
  }
  table.order = order;
  const last = Math.max(0, Math.ceil(order.length / PAGE) - 1);
  table.page = Math.min(table.page, last);
  const from = table.page * PAGE;
  $("rows").replaceChildren(...order.slice(from, from + PAGE).map(rowElement));
  const upTo = Math.min(from + PAGE, order.length);
  const listed = order.length === COUNT ? plural(COUNT, "call") : `${order.length.toLocaleString("en")} of ${plural(COUNT, "call")}`;
  $("shown").textContent = order.length > PAGE ? `${listed}, ${from + 1} to ${upTo} shown` : listed;
  $("previous").disabled = table.page === 0;
  $("next").disabled = table.page >= last;
  $("all").hidden = !table.only;
  document.querySelectorAll("#calls thead th").forEach((head, n) => {
    head.setAttribute("aria-sort", n !== table.column ? "none" : table.down ? "descending" : "ascending");
  });
}

function rowElement(at) {
  const cells = COLUMNS.map(([, look, value, write], n) => {
    const raw = value(at);
    const shown = raw === null ? "" : write ? write(raw) : raw;
    return make("td", {class: look || null, hidden: BLANK[n] ? "" : null}, n ? shown : link(`#call-${indexOf(at)}`, shown));
  });
  const events = calls.events[at];
  cells.push(make("td", {class: "n"}, events.length ? link(`#call-${indexOf(at)}`, ranges(events)) : ""));
  const chosen = selection.call === at;
  return make("tr", {class: chosen ? "selected" : null, "aria-selected": chosen || null, "data-call": indexOf(at)}, ...cells);
}

function setUpTable() {
  document.querySelectorAll("#calls thead button").forEach((button, n) => {
    button.parentElement.hidden = BLANK[n];
    button.addEventListener("click", () => {
      table.down = table.column === n ? !table.down : button.parentElement.classList.contains("n");
      table.column = n;
      table.page = 0;
      arrange();
    });
  });
  $("find").addEventListener("input", (event) => { table.find = event.target.value; table.page = 0; arrange(); });
  const fates = [...new Set(calls.fate)].map(text).filter(Boolean).sort();
  $("fate").append(...fates.map((fate) => make("option", {value: fate}, fate)));
  $("fate").addEventListener("change", (event) => { table.fate = event.target.value; table.page = 0; arrange(); });
  $("previous").addEventListener("click", () => { table.page--; arrange(); });
  $("next").addEventListener("click", () => { table.page++; arrange(); });
  $("all").addEventListener("click", () => { location.hash = "#calls-all"; });
}

// ---- the account: the stretches of time that the finish waited through ----

const stretches = [];
for (let i = 0, at = 0; i < data.segments.length; i += 3) {
  stretches.push({since: at, until: at + data.segments[i], cause: data.segments[i + 1], call: data.segments[i + 2]});
  at += data.segments[i];
}

// ---- selection ----

// call: a row; rows: the rows that are meant; bars: the stretches of time; title, details: words.
const nothing = {call: -1, rows: null, stretches: null};
let selection = nothing;

function rowsOf(indices) {
  return new Set(indices.map(row).filter((at) => at !== undefined));
}

function selectCall(index) {
  const at = row(index);
  if (at === undefined) return nothing;
  const waits = [];
  for (let i = 0; i < calls.waits[at].length; i += 3) {
    const [cause, since, long] = calls.waits[at].slice(i, i + 3);
    waits.push(`${duration(long)} for ${causeName(cause)} from ${instant(calls.asked[at] + since)}`);
  }
  const spare = calls.slack[at];
  const many = (list) => list.slice(0, 12).flatMap((one, n) => [n ? ", " : "", callLink(one)])
    .concat(list.length > 12 ? ` and ${list.length - 12} more` : "");
  const facts = [
    ["agent", [text(calls.agent[at]), text(calls.model[at])].filter(Boolean).join(", ")],
    ["step", text(calls.step[at])],
    ["asked", instant(calls.asked[at])],
    ["waited", waits.length ? waits.join("; ") : calls.began[at] ? duration(calls.began[at]) : ""],
    ["began", instant(started(at))],
    ["ended", calls.ended[at] === null ? "not by the end" : `${instant(end(at))}, after ${duration(took(at))}`],
    ["fate", fateWords(at)],
    ["tokens", calls.tokensIn[at] === null && calls.tokensOut[at] === null ? ""
      : `${calls.tokensIn[at] ?? "?"} read, ${calls.tokensOut[at] ?? "?"} written`],
    ["cost", calls.cost[at] === null ? (calls.tokensIn[at] ? "unpriced" : "") : dollars(calls.cost[at])],
    ["limits", calls.claims[at].map(text).join(", ")],
    ["came after", calls.after[at] < 0 ? "the beginning" : callLink(calls.after[at])],
    ["needed", calls.needs[at].length > 1 ? many(calls.needs[at]) : ""],
    ["slack", spare === null ? "" : spare === 0 ? "none: it is on the longest path of work" : duration(spare)],
    [`${data.evidence}s`, calls.events[at].length ? ranges(calls.events[at]) : "none"],
  ];
  return {call: at, rows: new Set([at]), filter: false, title: text(calls.path[at]), facts, stretches: null};
}

function selectStretches(title, chosen) {
  const indices = chosen.map((stretch) => stretch.call).filter((index) => index >= 0);
  return {call: -1, rows: rowsOf(indices), filter: true, title, stretches: chosen, facts: []};
}

function selectRows(title, rows, events) {
  return {call: -1, rows, filter: true, title, stretches: null, facts: [], events};
}

function where(test) {
  const rows = new Set();
  for (let at = 0; at < COUNT; at++) if (test(at)) rows.add(at);
  return rows;
}

function selectEvents(title, events) {
  const wanted = new Set(events);
  return selectRows(title, where((at) => calls.events[at].some((event) => wanted.has(event))), events);
}

// What the sums of spending count: what has spent something, and every call that left.
const COUNTED = new Set(["model", "tool"]);
const spends = (at) => calls.flags[at] & 8 || (!(calls.flags[at] & 4) && COUNTED.has(text(calls.work[at])));

function chosenBy(hash) {
  const [, kind, rest] = /^#([a-z]+)-(.*)$/.exec(hash) || [];
  const n = Number(rest);
  switch (kind) {
    case "call": return selectCall(n);
    case "cause": return n < data.causes.length
      ? selectStretches(`the finish waited: ${causeName(n)}`, stretches.filter((stretch) => stretch.cause === n)) : nothing;
    case "stretch": return stretches[n] ? selectStretches(`stretch ${n + 1} of the wall clock`, [stretches[n]]) : nothing;
    case "finding": return data.findings[n] ? selectEvents(text(data.findings[n][0]), data.findings[n][1]) : nothing;
    case "stop": return data.stops[n] ? selectEvents("a stop of the run", data.stops[n][3]) : nothing;
    case "chain": return selectStretches("what the finish waited for", stretches);
    case "path": return selectRows("the longest path of work", rowsOf(data.path));
    case "spent": {
      const key = data.spent[n];
      return key ? selectRows(`calls: ${key.map(text).filter(Boolean).join(", ")}`, where((at) => spends(at)
        && calls.fate[at] === key[0] && calls.agent[at] === key[1]
        && calls.model[at] === key[2] && calls.step[at] === key[3])) : nothing;
    }
    case "fate": return selectRows(`calls that were ${rest || "under way"}`,
      where((at) => spends(at) && text(calls.fate[at]) === rest));
    case "agent": {
      const name = decodeURIComponent(rest);
      return selectRows(`calls of ${name}`, where((at) => spends(at) && text(calls.agent[at]) === name));
    }
    case "limit": {
      const name = decodeURIComponent(rest);
      return selectRows(`calls that ${name} counts`, where((at) => calls.claims[at].some((one) => text(one) === name)));
    }
    case "list": return selectRows("calls that a later answer made void", rowsOf(rest.split(",").map(Number)));
    case "counted": return selectRows("all calls that count", where(spends));
    default: return nothing;
  }
}

const STRETCHES_SHOWN = 200;

function tell() {
  const panel = $("selection");
  panel.hidden = selection === nothing;
  if (selection === nothing) { $("details").replaceChildren(); return; }
  const parts = [make("h3", {}, selection.title)];
  const facts = selection.facts.filter(([, value]) => value !== "" && value !== null);
  if (selection.filter) {
    const events = selection.events || [...selection.rows].flatMap((at) => calls.events[at]);
    facts.push(["calls", `${plural(selection.rows.size, "call")}, in the table below`]);
    if (selection.stretches) {
      const sum = selection.stretches.reduce((whole, one) => whole + one.until - one.since, 0);
      facts.push(["time", `${duration(sum)} in ${plural(selection.stretches.length, "stretch").replace("stretchs", "stretches")}`]);
    }
    facts.push([`${data.evidence}s`, events.length ? ranges(events) : "none"]);
  }
  const list = make("dl", {});
  for (const [name, value] of facts) {
    list.append(make("dt", {}, name), make("dd", {}, ...(Array.isArray(value) ? value : [value])));
  }
  parts.push(list);
  if (selection.stretches) parts.push(stretchTable(selection.stretches));
  $("details").replaceChildren(...parts);
}

function stretchTable(chosen) {
  const body = make("tbody", {});
  for (const one of chosen.slice(0, STRETCHES_SHOWN)) {
    body.append(make("tr", {},
      make("td", {class: "n"}, instant(one.since)), make("td", {class: "n"}, instant(one.until)),
      make("td", {class: "n"}, duration(one.until - one.since)), make("td", {}, causeName(one.cause)),
      make("td", {class: "call"}, one.call < 0 ? "the beginning" : callLink(one.call))));
  }
  const head = make("thead", {}, make("tr", {}, make("th", {class: "n"}, "from"), make("th", {class: "n"}, "to"),
    make("th", {class: "n"}, "long"), make("th", {}, "what for"), make("th", {}, "call")));
  const shown = chosen.length > STRETCHES_SHOWN
    ? `the first ${STRETCHES_SHOWN} of ${plural(chosen.length, "stretch").replace("stretchs", "stretches")}` : "the stretches of time";
  return make("details", {open: chosen.length <= 12 ? "" : null}, make("summary", {}, shown),
    make("div", {class: "wide"}, make("table", {}, head, body)));
}

function follow(scroll) {
  selection = chosenBy(location.hash);
  table.only = selection.filter ? selection.rows : null;
  table.page = 0;
  if (selection.call >= 0) {
    arrange();
    const place = table.order.indexOf(selection.call);
    if (place >= 0) table.page = Math.floor(place / PAGE);
  }
  arrange();
  const chosen = document.querySelector("#rows .selected");
  if (chosen) $("calls").querySelector(".tall").scrollTop = chosen.offsetTop - 60;
  tell();
  timeline.reveal();
  timeline.ask();
  if (scroll && selection !== nothing) $("selection").scrollIntoView({block: "start"});
  // Says for which address all of the above holds.
  document.body.dataset.chosen = location.hash;
}

function choose(hash) {
  // A choice within the timeline must not take the timeline away from under the pointer.
  location.hash = hash;
  follow(false);
}

// ---- the timeline ----

const ROW = 22, AXIS = 24, BAR = 16;

function firstAfter(sorted, value, low) {
  // The first index from `low` on whose value is larger.
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

function unpack([name, flat], above) {
  const n = flat.length / 4;
  // Rows of one name stand together, and only the first one says it.
  const lane = {name: text(name), full: text(name) || (above ? above.full : ""), since: new Float64Array(n), until: new Float64Array(n),
    cause: new Int32Array(n), call: new Int32Array(n)};
  for (let i = 0, at = 0; i < n; i++) {
    at += flat[4 * i];
    lane.since[i] = at;
    at += flat[4 * i + 1];
    lane.until[i] = at;
    lane.cause[i] = flat[4 * i + 2];
    lane.call[i] = flat[4 * i + 3];
  }
  return lane;
}

const finishLane = {
  name: "the finish waited for", full: "the finish waited for", chain: true,
  since: Float64Array.from(stretches, (one) => one.since), until: Float64Array.from(stretches, (one) => one.until),
  cause: Int32Array.from(stretches, (one) => one.cause), call: Int32Array.from(stretches, (one) => one.call),
};

const timeline = (() => {
  const canvas = $("canvas"), scroller = $("scroll"), spacer = $("spacer"), tip = $("tip");
  const paint = canvas.getContext("2d");
  const views = {};
  let by = "agent", lanes = [], from = 0, to = data.took || 1, width = 0, height = 0, left = 0, asked = false;
  let patterns = {}, ratio = 1, hovered = null;
  const state = {drawn: 0, merged: 0, redraws: 0};
  const LEAST = Math.max(1, (data.took || 1) / 1e6);

  function show(name) {
    by = name;
    if (!views[name]) {
      views[name] = [];
      for (const packed of data.views[name]) views[name].push(unpack(packed, views[name][views[name].length - 1]));
    }
    lanes = [finishLane, ...views[name]];
    document.querySelectorAll("#views button").forEach((button) => {
      button.setAttribute("aria-pressed", button.dataset.by === name);
    });
    lay();
  }

  function lay() {
    // The label's column and the canvas follow the width of the page.
    width = scroller.clientWidth;
    const whole = AXIS + lanes.length * ROW + 6;
    height = Math.max(90, Math.min(whole, Math.round(innerHeight * 0.7) - 2));
    scroller.style.height = `${height + 2}px`;
    spacer.style.height = `${Math.max(whole, height)}px`;
    left = Math.max(64, Math.min(190, Math.round(width * 0.26)));
    ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
    patterns = {};
    ask();
  }

  function pattern(kind) {
    if (patterns[kind] !== undefined) return patterns[kind];
    const [, colour, hatch, ink] = KIND[kind];
    if (!hatch) return patterns[kind] = colour;
    const tile = document.createElement("canvas");
    tile.width = tile.height = Math.round(data.tile * ratio);
    const brush = tile.getContext("2d");
    brush.scale(tile.width / data.tile, tile.width / data.tile);
    brush.fillStyle = colour;
    brush.fillRect(0, 0, data.tile, data.tile);
    brush.strokeStyle = ink;
    brush.lineWidth = 1.2;
    brush.lineCap = "round";
    brush.stroke(new Path2D(hatch));
    const made = paint.createPattern(tile, "repeat");
    made.setTransform(new DOMMatrix().scale(data.tile / tile.width));
    return patterns[kind] = made;
  }

  const X = (at) => left + (at - from) / (to - from) * (width - left);
  const T = (x) => from + (x - left) / (width - left) * (to - from);

  function ask() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; draw(); });
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    return {paper: of("--paper"), ink: of("--ink"), soft: of("--soft"), rule: of("--rule"), band: of("--band")};
  }

  function draw() {
    const own = colours();
    state.drawn = state.merged = 0;
    state.redraws++;
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.fillStyle = own.paper;
    paint.fillRect(0, 0, width, height);
    paint.font = "12px system-ui, Segoe UI, Helvetica, Arial, sans-serif";
    paint.textBaseline = "middle";
    const top = scroller.scrollTop;
    const first = Math.max(0, Math.floor(top / ROW)), last = Math.min(lanes.length, Math.ceil((top + height - AXIS) / ROW));
    for (let n = first; n < last; n++) drawLane(lanes[n], AXIS + n * ROW - top, n, own);
    drawStops(own);
    drawNeeds(first, last, top, own);
    drawAxis(own);
    const hidden = state.merged ? `, ${plural(state.merged, "bar")} thinner than a pixel merged with neighbours` : "";
    $("status").textContent = `${instant(from)} to ${instant(to)}; rows ${first + 1} to ${last} of ${lanes.length}; ${plural(state.drawn, "bar")} drawn${hidden}.`;
  }

  function drawLane(lane, y, n, own) {
    if (n % 2) { paint.fillStyle = own.band; paint.fillRect(0, y, width, ROW); }
    paint.fillStyle = own.ink;
    paint.globalAlpha = 1;
    paint.font = `${lane.chain ? "600 " : ""}12px system-ui, Segoe UI, Helvetica, Arial, sans-serif`;
    paint.fillText(shortened(lane.name, left - 12), 6, y + ROW / 2);
    paint.save();
    paint.beginPath();
    paint.rect(left, y, width - left, ROW);
    paint.clip();
    const {since, until} = lane, count = since.length;
    for (let i = firstAfter(until, from, 0); i < count && since[i] < to;) {
      const x0 = Math.max(X(since[i]), left - 2), x1 = Math.min(X(until[i]), width + 2);
      let next = i + 1;
      // What ends within the same pixel cannot be seen beside this bar.
      if (x1 - x0 < 1) next = Math.max(next, firstAfter(until, T(Math.floor(x0) + 1), next));
      state.merged += next - i - 1;
      state.drawn++;
      drawBar(lane, i, x0, Math.max(1, x1 - x0), y, own);
      i = next;
    }
    paint.restore();
    paint.globalAlpha = 1;
  }

  function drawBar(lane, i, x, wide, y, own) {
    const kind = kindOf(lane.cause[i]), colour = KIND[kind][1], call = lane.call[i];
    const at = row(call);
    const meant = !selection.rows || (lane.chain && selection.stretches
      ? selection.stretches.includes(stretches[i]) : selection.rows.has(at));
    paint.globalAlpha = meant ? 1 : 0.35;
    if (colour) {
      paint.fillStyle = wide < 3 ? colour : pattern(kind);
      paint.fillRect(x, y + 2, wide, BAR);
      if (wide > 2) {
        // A thin edge keeps neighbours of one cause apart, and dark bars visible on dark paper.
        paint.strokeStyle = own.soft;
        paint.lineWidth = 0.5;
        paint.strokeRect(x + 0.25, y + 2.25, wide - 0.5, BAR - 0.5);
      }
      if (wide > 46 && at !== undefined && !KIND[kind][2]) {
        paint.fillStyle = "#fff";
        paint.font = "11px system-ui, Segoe UI, Helvetica, Arial, sans-serif";
        paint.fillText(shortened(text(calls.path[at]), wide - 8), x + 4, y + 2 + BAR / 2);
      }
    }
    if (onChain.has(call) && !lane.chain) {
      paint.fillStyle = own.ink;
      paint.fillRect(x, y + 1 + BAR, wide, 3);
    }
    if (selection.call >= 0 && at === selection.call) {
      paint.strokeStyle = own.ink;
      paint.lineWidth = 2;
      paint.strokeRect(x, y + 2, wide, BAR);
    }
  }

  function drawStops(own) {
    paint.globalAlpha = 0.18;
    paint.fillStyle = own.soft;
    for (const [, since, until] of data.stops) {
      const x0 = Math.max(left, X(since)), x1 = Math.min(width, X(until));
      if (x1 > x0) paint.fillRect(x0, AXIS, x1 - x0, height);
    }
    paint.globalAlpha = 1;
  }

  function placeOf(call, first, last) {
    for (let n = Math.max(1, first); n < last; n++) {
      const found = lanes[n].call.indexOf(call);
      if (found >= 0) return n;
    }
    return -1;
  }

  function drawNeeds(first, last, top, own) {
    // From the call that made the chosen one possible to where it was asked for.
    if (selection.call < 0) return;
    const after = calls.after[selection.call], before = row(after);
    if (before === undefined) return;
    const a = placeOf(after, first, last), b = placeOf(indexOf(selection.call), first, last);
    if (a < 0 || b < 0) return;
    const x0 = X(Math.min(end(before), calls.asked[selection.call])), x1 = X(calls.asked[selection.call]);
    const y0 = AXIS + a * ROW - top + ROW / 2, y1 = AXIS + b * ROW - top + ROW / 2;
    paint.save();
    paint.beginPath();
    paint.rect(left, AXIS, width - left, height);
    paint.clip();
    paint.strokeStyle = own.ink;
    paint.lineWidth = 1.5;
    paint.beginPath();
    paint.moveTo(x0, y0);
    paint.bezierCurveTo(x0 + 24, y0, x1 - 24, y1, x1, y1);
    paint.moveTo(x1 - 6, y1 - 4);
    paint.lineTo(x1, y1);
    paint.lineTo(x1 - 6, y1 + 4);
    paint.stroke();
    paint.restore();
  }

  const STEPS = [];
  for (let power = 0; power < 9; power++) for (const base of [1, 2, 5]) STEPS.push(base * 10 ** power);
  for (const [unit, list] of [[1e9, [1, 2, 5, 10, 15, 30]], [6e10, [1, 2, 5, 10, 15, 30]], [3.6e12, [1, 2, 3, 6, 12]],
    [8.64e13, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]]]) for (const n of list) STEPS.push(unit * n);

  function drawAxis(own) {
    paint.fillStyle = own.paper;
    paint.fillRect(0, 0, width, AXIS);
    paint.strokeStyle = own.rule;
    paint.lineWidth = 1;
    paint.font = "11px system-ui, Segoe UI, Helvetica, Arial, sans-serif";
    const span = (to - from) * data.unit;
    const most = Math.max(1, Math.floor((width - left) / 84));
    const step = STEPS.find((one) => span / one <= most) || STEPS[STEPS.length - 1];
    for (let at = Math.max(0, Math.ceil(from * data.unit / step) * step); at <= to * data.unit; at += step) {
      const x = X(at / data.unit);
      paint.beginPath();
      paint.moveTo(x, AXIS - 5);
      paint.lineTo(x, height);
      paint.globalAlpha = 0.55;
      paint.stroke();
      paint.globalAlpha = 1;
      paint.fillStyle = own.soft;
      if (x < width - 40) paint.fillText(tickText(at, step), x + 3, AXIS / 2);
    }
    paint.beginPath();
    paint.moveTo(0, AXIS - 0.5);
    paint.lineTo(width, AXIS - 0.5);
    paint.moveTo(left - 0.5, 0);
    paint.lineTo(left - 0.5, height);
    paint.strokeStyle = own.soft;
    paint.stroke();
  }

  function tickText(ns, step) {
    if (!ns) return "0";
    if (step >= 8.64e13) return `${Math.round(ns / 8.64e13)} d`;
    const s = ns / 1e9;
    if (s < 1) return step >= 1e6 ? `${+(s * 1e3).toPrecision(6)} ms` : `${+(s * 1e6).toPrecision(9)} µs`;
    if (step < 1e9 || s < 60) return `${+s.toPrecision(10)} s`;
    const m = Math.floor(s / 60);
    if (s >= 3600) return `${Math.floor(m / 60)}:${pad(m % 60)}${s % 60 ? `:${pad(Math.round(s % 60))}` : " h"}`;
    return `${m}:${pad(Math.round(s % 60))}`;
  }

  const widths = new Map();
  function shortened(name, room) {
    const key = `${name}\n${Math.round(room)}\n${paint.font}`;
    let fits = widths.get(key);
    if (fits === undefined) {
      if (widths.size > 20000) widths.clear();
      let keep = name.length;
      fits = name;
      while (keep > 0 && paint.measureText(fits).width > room) {
        keep = Math.min(keep - 1, Math.floor(keep * 0.9));
        const tail = Math.floor(keep / 3);
        fits = keep ? `${name.slice(0, keep - tail)}…${tail ? name.slice(-tail) : ""}` : "";
      }
      widths.set(key, fits);
    }
    return fits;
  }

  // ---- moving ----

  function move(start, stop) {
    const whole = data.took || 1;
    const span = Math.max(Math.min(LEAST, whole), Math.min(stop - start, whole));
    // The view shows the run and nothing besides.
    const begin = Math.max(0, Math.min(start, whole - span));
    from = begin;
    to = begin + span;
    ask();
  }
  const pan = (part) => move(from + (to - from) * part, to + (to - from) * part);
  function middle() {
    // The keys zoom around the chosen call where it can be seen.
    if (selection.call < 0) return left + (width - left) / 2;
    const x = X((calls.asked[selection.call] + end(selection.call)) / 2);
    return x > left && x < width ? x : left + (width - left) / 2;
  }
  function zoom(factor, x = middle()) {
    const at = T(Math.max(left, x));
    const span = Math.max(LEAST, Math.min((to - from) * factor, data.took || 1));
    const part = (at - from) / (to - from);
    move(at - span * part, at + span * (1 - part));
  }
  function whole() { move(0, data.took || 1); }
  const lift = (rows) => { scroller.scrollTop += rows * ROW; };

  function reveal() {
    // A chosen call is brought into view; the zoom stays unless it is nowhere near.
    if (selection.call < 0) return;
    const since = calls.asked[selection.call], until = end(selection.call);
    if (until < from || since > to) move((since + until) / 2 - (to - from) / 2, (since + until) / 2 + (to - from) / 2);
    const n = placeOf(indexOf(selection.call), 0, lanes.length);
    if (n < 0) return;
    const y = n * ROW;
    if (y < scroller.scrollTop) scroller.scrollTop = y;
    else if (y + ROW > scroller.scrollTop + height - AXIS) scroller.scrollTop = y + ROW - height + AXIS;
  }

  function hit(x, y) {
    const n = Math.floor((y - AXIS + scroller.scrollTop) / ROW);
    if (x < left || x > width || y < AXIS || n < 0 || n >= lanes.length) return null;
    const lane = lanes[n];
    const at = T(x);
    let i = firstAfter(lane.until, at, 0);
    // A bar thinner than a pixel is drawn one pixel wide.
    if (i >= lane.since.length || X(lane.since[i]) > x + 1) return null;
    const call = lane.call[i], known = row(call);
    return {lane: lane.full, cause: causeName(lane.cause[i]), kind: KIND[kindOf(lane.cause[i])][0],
      since: lane.since[i], until: lane.until[i], index: call, stretch: lane.chain ? i : -1,
      call: known === undefined ? null : text(calls.path[known])};
  }

  function point(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  function hover(event) {
    const [x, y] = point(event);
    hovered = hit(x, y);
    tip.hidden = !hovered;
    if (!hovered) return;
    const known = row(hovered.index);
    const who = known === undefined ? "" : [text(calls.agent[known]), text(calls.model[known])].filter(Boolean).join(", ");
    const lines = [
      make("b", {}, hovered.call || (hovered.index === -1 ? "no call" : "calls that are not listed")),
      make("span", {}, hovered.cause),
      make("span", {}, `${instant(hovered.since)} to ${instant(hovered.until)}: ${duration(hovered.until - hovered.since)}`),
    ];
    if (who) lines.push(make("span", {}, who));
    if (known !== undefined) lines.push(make("span", {}, fateWords(known)));
    tip.replaceChildren(...lines);
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${event.clientY + 18 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 18}px`;
  }

  function setUp() {
    const fingers = new Map();
    let moved = 0;
    canvas.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, point(event));
      canvas.setPointerCapture(event.pointerId);
      moved = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) { hover(event); return; }
      const now = point(event);
      const dx = now[0] - before[0], dy = now[1] - before[1];
      moved += Math.abs(dx) + Math.abs(dy);
      if (moved < 4) return;
      tip.hidden = true;
      canvas.classList.add("drags");
      if (fingers.size === 2) {
        const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
        const apart = (p) => Math.max(20, Math.abs(p[0] - other[0]));
        zoom(apart(before) / apart(now), (now[0] + other[0]) / 2);
      } else {
        const shift = -dx / (width - left) * (to - from);
        move(from + shift, to + shift);
        if (event.pointerType === "mouse") scroller.scrollTop -= dy;
      }
      fingers.set(event.pointerId, now);
    });
    const lift_ = (event) => {
      const clicked = fingers.delete(event.pointerId) && event.type === "pointerup" && moved < 4;
      canvas.classList.remove("drags");
      if (!clicked) return;
      const found = hit(...point(event));
      if (!found) choose("#none-0");
      else if (found.stretch >= 0) choose(`#stretch-${found.stretch}`);
      else if (found.call !== null) choose(`#call-${found.index}`);
    };
    canvas.addEventListener("pointerup", lift_);
    canvas.addEventListener("pointercancel", lift_);
    canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
    canvas.addEventListener("wheel", (event) => {
      // The page scrolls past a timeline that nobody has chosen.
      if (document.activeElement !== canvas && !event.ctrlKey) return;
      event.preventDefault();
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan((event.deltaX || event.deltaY) / 1000);
      else zoom(Math.exp(event.deltaY / 500), point(event)[0]);
    }, {passive: false});
    const keys = {
      ArrowLeft: () => pan(-0.15), a: () => pan(-0.15), ArrowRight: () => pan(0.15), d: () => pan(0.15),
      ArrowUp: () => lift(-1), ArrowDown: () => lift(1), PageUp: () => lift(-10), PageDown: () => lift(10),
      "+": () => zoom(0.7), "=": () => zoom(0.7), w: () => zoom(0.7), "-": () => zoom(1 / 0.7), s: () => zoom(1 / 0.7),
      0: whole, Home: whole, Escape: () => choose("#none-0"), n: () => step(1), p: () => step(-1),
      Enter: () => { if (selection !== nothing) { $("selection").focus(); $("selection").scrollIntoView({block: "start"}); } },
    };
    canvas.addEventListener("keydown", (event) => {
      const act = keys[event.key] || keys[event.key.toLowerCase()];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      act();
    });
    scroller.addEventListener("scroll", ask);
    document.querySelectorAll("#views button").forEach((button) => button.addEventListener("click", () => { show(button.dataset.by); reveal(); }));
    $("closer").addEventListener("click", () => zoom(0.5));
    $("further").addEventListener("click", () => zoom(2));
    $("whole").addEventListener("click", whole);
    addEventListener("resize", lay);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ask);
    show("agent");
  }

  function step(way) {
    if (!COUNT) return;
    const next = selection.call < 0 ? (way > 0 ? 0 : COUNT - 1) : (selection.call + way + COUNT) % COUNT;
    choose(`#call-${indexOf(next)}`);
  }

  const hook = {hit, get drawn() { return state.drawn; }, get merged() { return state.merged; },
    get redraws() { return state.redraws; }, get view() { return {by, from, to, left, width, height, rows: lanes.length}; }};
  return {setUp, ask, reveal, hook};
})();

setUpTable();
timeline.setUp();
follow(false);
if (selection !== nothing) $("selection").scrollIntoView({block: "start"});
addEventListener("hashchange", () => { if (document.body.dataset.chosen !== location.hash) follow(true); });
// Following a link to what is chosen already leads there again.
document.addEventListener("click", (event) => {
  const anchor = event.target.closest && event.target.closest("a[href^='#']");
  if (anchor && anchor.getAttribute("href") === location.hash) follow(true);
});
// What tests and tools ask: what is drawn, and what is at a point of the canvas.
window.__timeline = timeline.hook;
})();
