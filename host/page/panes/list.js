// The list of exchanges. Only the rows that can be seen are in the document.

import { h, lazy } from "../dom.js";
import { icon } from "../icons.js";
import { button, empty } from "../parts.js";
import { ROW, indexOf, older, rows } from "../state.js";
import { count, duration, reason, size, statusClass, time } from "../text.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../types.js").Summary} Summary */

/** Rows above and below what can be seen. */
const AROUND = 8;
const COLUMNS = [
  ["marks", "Marks"],
  ["id", "#", "The id in the log, in the order in which requests came; exchanges are listed when they have ended"],
  ["time", "Time"],
  ["method", "Method"],
  ["target", "Target"],
  ["status", "Status"],
  ["took", "Took"],
  ["cpu", "CPU"],
  ["size", "Size"],
];

/** @param {State} state @param {any} act */
export function list(state, act) {
  const all = rows(state);
  const first = Math.max(0, Math.min(all.length, Math.floor(state.top / ROW)) - AROUND);
  const last = Math.min(all.length, Math.ceil((state.top + state.height) / ROW) + AROUND);
  const at = indexOf(all, state.selected);
  const isActiveShown = at >= first && at < last;
  const isOlder = older(state) !== null;
  return h(
    "div",
    { class: "list" },
    h(
      "div",
      {
        class: "grid",
        id: "list",
        role: "grid",
        tabindex: "0",
        "aria-label": "Exchanges, newest first",
        "aria-rowcount": isOlder ? "-1" : String(all.length + 1),
        "aria-activedescendant": isActiveShown ? `row-${state.selected}` : undefined,
        on: { scroll: act.scrolled },
        made: act.sized,
      },
      h(
        "div",
        { class: "row head", role: "row", "aria-rowindex": "1" },
        COLUMNS.map(([name, label, title]) =>
          h(
            "div",
            { role: "columnheader", class: name, title },
            name === "marks" ? h("span", { class: "visually-hidden" }, label) : label,
          ),
        ),
      ),
      h(
        "div",
        { class: "rows", role: "rowgroup", style: { height: `${all.length * ROW + (isOlder ? ROW : 0)}px` } },
        all
          .slice(first, last)
          .map((exchange, index) =>
            lazy(
              exchange.seq,
              row,
              exchange,
              first + index,
              exchange.seq === state.selected,
              exchange.seq === state.comparing,
              act,
            ),
          ),
        isOlder &&
          last === all.length &&
          h(
            "div",
            { key: "older", class: "row older", role: "row", style: { top: `${all.length * ROW}px` } },
            h("div", { role: "gridcell" }, "older ones are being loaded …"),
          ),
      ),
    ),
    state.unseen > 0 &&
      h("div", { class: "unseen" }, button({ label: `${count(state.unseen, "new exchange")}` }, act.toTop)),
    all.length === 0 && nothing(state, act),
  );
}

/** @param {Summary} exchange @param {number} at @param {boolean} isSelected @param {boolean} isComparing @param {any} act */
function row(exchange, at, isSelected, isComparing, act) {
  const { seq, status, fault } = exchange;
  const cell = (/** @type {string} */ name, /** @type {any[]} */ ...contents) =>
    h("div", { role: "gridcell", class: name }, contents);
  return h(
    "div",
    {
      class: `row ${statusClass(status)} ${fault ? "failed" : ""} ${isSelected ? "selected" : ""} ${isComparing ? "comparing" : ""}`,
      id: `row-${seq}`,
      role: "row",
      "aria-rowindex": String(at + 2),
      "aria-selected": String(isSelected),
      style: { top: `${at * ROW}px` },
      on: {
        click: (/** @type {MouseEvent} */ event) => (event.shiftKey ? act.compareWith(seq) : act.choose(seq)),
        dblclick: act.enter,
      },
    },
    cell(
      "marks",
      exchange.kept !== null && icon("pin", "kept"),
      exchange.origin !== "client" && icon("replay", "replay"),
      exchange.isCut && icon("cut", "not all bytes are kept"),
    ),
    cell("id", exchange.id),
    cell("time", time(exchange.began).slice(0, 8), h("span", { class: "ms" }, time(exchange.began).slice(8))),
    cell("method", exchange.method || "—"),
    cell("target", exchange.target || h("span", { class: "faint" }, "no request line")),
    cell("status", fault && icon("fault"), status ? h("b", null, status) : null, " ", fault ?? reason(status)),
    cell("took", duration(exchange.took)),
    cell("cpu", duration(exchange.cpu)),
    cell("size", size(exchange.sent)),
  );
}

/** What is shown in place of rows. @param {State} state @param {any} act */
function nothing(state, act) {
  if (state.isSearching) return h("div", { class: "nothing" }, empty("Searching …"));
  if (state.found) {
    const { searched, total } = state.found;
    if (older(state) !== null)
      return h(
        "div",
        { class: "nothing" },
        empty(`Searching: ${searched.toLocaleString("en")} of ${total.toLocaleString("en")} so far`),
      );
    return h(
      "div",
      { class: "nothing" },
      empty(
        "No exchange matches",
        h("p", null, `${count(total, "exchange")} searched. `),
        button({ label: "Clear the filter", key: "Esc" }, () => act.search("")),
      ),
    );
  }
  const { url, bin, paused } = state.server ?? {};
  if (!url) return null;
  const curl = `curl -d hello ${url}`;
  return h(
    "div",
    { class: "nothing" },
    h(
      "div",
      { class: "empty" },
      h("div", { class: "pulse", "aria-hidden": "true" }),
      h("p", { class: "empty-title" }, paused ? "Capturing is paused" : "Waiting for the first request"),
      h(
        "p",
        null,
        bin
          ? "Every request to this address is shown here, and is answered:"
          : "Every exchange with this address is shown here:",
      ),
      h(
        "p",
        { class: "address" },
        h("code", null, url),
        button({ label: "Copy the address", icon: "copy", isBare: true }, () => act.copy(url, "the address")),
      ),
      h("p", null, "Try it:"),
      h(
        "p",
        { class: "address" },
        h("code", null, curl),
        button({ label: "Copy the command", icon: "copy", isBare: true }, () => act.copy(curl, "the command")),
      ),
      bin &&
        h(
          "p",
          null,
          button({ label: `It answers ${bin.status} ${reason(bin.status)}: change that`, icon: "bin" }, () =>
            act.dialog("bin"),
          ),
        ),
    ),
  );
}
