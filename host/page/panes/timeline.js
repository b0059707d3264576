// When what happened: the stages of the exchange as bars, its reads, writes and log lines as ticks, and all of it as a table.

import { h } from "../dom.js";
import { empty, escaped } from "../parts.js";
import { count, duration } from "../text.js";

/** Ticks and rows that are shown. */
const TICKS = 150;
const ROWS = 200;

/** @param {import("../types.js").Detail} detail */
function stagesOf({ record: { marks, request, response } }) {
  const lastIn = request.turns.at(-1)?.[0] ?? marks.head ?? 0;
  const firstOut = response.turns[0]?.[0] ?? marks.responded;
  const lastOut = response.turns.at(-1)?.[0] ?? marks.ended ?? 0;
  /** @type {[string, string, number | undefined, number | undefined, string][]} */
  const all = [
    ["Head arrives", "in", 0, marks.head, "from its first byte to its last"],
    [
      "Body arrives",
      "in",
      marks.head,
      lastIn > (marks.head ?? 0) ? lastIn : undefined,
      "until the last byte that was read",
    ],
    ["Waits for others", "wait", marks.head, marks.admitted, "until a handler could run (--max-concurrent)"],
    ["Instance is made", "wait", marks.admitted, marks.started, "until the handler's first instruction"],
    ["Handler answers", "handler", marks.started, marks.responded, "until the head of its response"],
    ["Response leaves", "out", marks.responded ?? firstOut, lastOut, "from its head to the last write"],
    [
      "Is released",
      "wait",
      Math.max(lastOut, marks.ended ?? 0),
      marks.completed,
      "after the response, until nothing used the exchange any more",
    ],
  ];
  return all.filter(([, , from, to]) => from !== undefined && to !== undefined && to >= from);
}

/** @param {import("../state.js").State} _state @param {import("../types.js").Detail} detail */
export function timeline(_state, detail) {
  const { record } = detail;
  const { marks, request, response, lines, fault } = record;
  const stages = stagesOf(detail);
  const end = Math.max(
    1,
    marks.completed ?? 0,
    marks.ended ?? 0,
    ...stages.map(([, , , to]) => to ?? 0),
    ...lines.map(({ at }) => at),
    request.turns.at(-1)?.[0] ?? 0,
    response.turns.at(-1)?.[0] ?? 0,
  );
  if (!stages.length) return empty("No times");
  const place = (/** @type {number} */ at) => `${((100 * at) / end).toFixed(3)}%`;
  const bar = (/** @type {typeof stages[0]} */ [name, kind, from = 0, to = 0, title]) =>
    h(
      "div",
      { class: "lane", title },
      h("span", { class: "lane-name" }, name),
      h(
        "span",
        { class: "lane-track" },
        h("span", { class: `lane-bar ${kind}`, style: { left: place(from), width: `max(2px, ${place(to - from)})` } }),
      ),
      h("span", { class: "lane-time" }, duration(to - from)),
    );
  const ticks = (/** @type {string} */ name, /** @type {string} */ kind, /** @type {[number, string][]} */ all) =>
    all.length > 0 &&
    h(
      "div",
      { class: "lane" },
      h("span", { class: "lane-name" }, name),
      h(
        "span",
        { class: "lane-track" },
        all
          .slice(0, TICKS)
          .map(([at, title]) =>
            h("span", { class: `tick ${kind}`, title: `+${duration(at)} ${title}`, style: { left: place(at) } }),
          ),
      ),
      h("span", { class: "lane-time" }, `${all.length} ×`),
    );
  return [
    h(
      "div",
      {
        key: "lanes",
        class: "lanes",
        role: "img",
        "aria-label": "The stages of the exchange in time; the table below has the same",
      },
      h(
        "div",
        { class: "lane scale" },
        h("span", { class: "lane-name" }),
        h(
          "span",
          { class: "lane-track" },
          [0, 0.25, 0.5, 0.75, 1].map((part) =>
            h("span", { class: "scale-mark", style: { left: `${100 * part}%` } }, duration(end * part) || "0"),
          ),
        ),
        h("span", { class: "lane-time" }),
      ),
      stages.map(bar),
      (detail.varied?.outbound ?? []).slice(0, TICKS).map(outboundLane(bar)),
      ticks(
        "Reads",
        "in",
        request.turns.map(([at, length]) => [at, count(length, "byte")]),
      ),
      ticks(
        "Writes",
        "out",
        response.turns.map(([at, length]) => [at, count(length, "byte")]),
      ),
      ticks(
        "Log lines",
        "line",
        lines.map(({ at, text }) => [at, escaped(text.slice(0, 80)).text]),
      ),
      fault && ticks("Fault", "fault", [[fault.at, fault.kind]]),
    ),
    events(detail),
  ];
}

/** @param {import("../types.js").Outbound} request */
const outboundText = ({ method, url, status, error }) => `${method} ${url}: ${error ?? status}`;

/** A request to another server as a bar. @param {(stage: [string, string, number, number, string]) => any} bar */
const outboundLane = (bar) => (/** @type {import("../types.js").Outbound} */ request) =>
  bar(["Asks a server", "outbound", request.at, request.at + (request.took ?? 0), outboundText(request)]);

/** @param {import("../types.js").Detail} detail */
function events({ record: { marks, request, response, lines, fault }, varied }) {
  /** @type {[number, string, string][]} */
  const all = [
    ...request.turns.map(
      ([at, length]) => /** @type {[number, string, string]} */ ([at, "read", count(length, "byte")]),
    ),
    ...response.turns.map(
      ([at, length]) => /** @type {[number, string, string]} */ ([at, "write", count(length, "byte")]),
    ),
    ...lines.map(
      ({ at, stream, text }) =>
        /** @type {[number, string, string]} */ ([at, stream, escaped(text.slice(0, 200)).text]),
    ),
  ];
  for (const sent of varied?.outbound ?? []) all.push([sent.at, "asks", outboundText(sent)]);
  const names = {
    head: "the head is complete",
    admitted: "a handler can run",
    started: "the handler starts",
    responded: "the head of the response is ready",
    ended: "the response is complete",
    completed: "nothing uses the exchange any more",
  };
  for (const [mark, name] of Object.entries(names))
    if (marks[mark] !== undefined) all.push([marks[mark], "stage", name]);
  if (fault) all.push([fault.at, "fault", `${fault.kind}: ${escaped(fault.text).text}`]);
  all.sort((a, b) => a[0] - b[0]);
  return [
    h(
      "table",
      { key: "events", class: "log-lines", "aria-label": "What happened, in order" },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          ["After", "What", ""].map((name) =>
            h("th", { scope: "col" }, name || h("span", { class: "visually-hidden" }, "Detail")),
          ),
        ),
      ),
      h(
        "tbody",
        null,
        all
          .slice(0, ROWS)
          .map(([at, what, text]) =>
            h(
              "tr",
              { class: `event-${what}` },
              h("td", { class: "at" }, `+${duration(at)}`),
              h("td", { class: "stream" }, what),
              h("td", { class: "said" }, text),
            ),
          ),
      ),
    ),
    all.length > ROWS && h("p", { key: "rest", class: "remark" }, `${count(all.length - ROWS, "more event")}`),
  ];
}
