// What differs between the responses of two exchanges.

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { empty } from "../parts.js";
import { duration, reason, time } from "../text.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../types.js").Summary} Summary */

/** Exchanges that are offered. */
const OFFERED = 12;
const NAMES = /** @type {{[what: string]: string}} */ ({
  status: "Status",
  field: "Field",
  framing: "Framing",
  body: "Body",
  trailers: "Trailers",
  fault: "Fault",
  log: "Log",
});

/** The exchange that this one is compared with unless another is chosen. @param {State} state @param {Summary} summary */
export function counterpart(state, summary) {
  const { comparison } = state;
  if (comparison && (comparison.b === summary.seq || comparison.a === summary.seq))
    return comparison.a === summary.seq ? comparison.b : comparison.a;
  return summary.origin === "client" ? null : (summary.origin.replay.of ?? null);
}

/** @param {State} state @param {import("../types.js").Detail} detail @param {any} act */
export function diff(state, { summary }, act) {
  const { comparison } = state;
  const isShown = comparison !== null && (comparison.a === summary.seq || comparison.b === summary.seq);
  const other = counterpart(state, summary);
  const alike = state.held
    .filter(({ seq, method, target }) => seq !== summary.seq && method === summary.method && target === summary.target)
    .slice(0, OFFERED);
  return [
    isShown && comparison.problem && h("p", { key: "problem", class: "remark problem" }, comparison.problem),
    isShown && !comparison.problem && !comparison.result && h("p", { key: "loading", class: "loading" }, "comparing …"),
    isShown && comparison.result && result(state, comparison, act),
    !isShown && other !== null && h("p", { key: "coming", class: "loading" }, "comparing …"),
    !isShown &&
      other === null &&
      empty(
        "Compare this response with another",
        h(
          "p",
          null,
          state.server?.replay.isAllowed === false ? "Choose" : ["Replay it (", h("kbd", null, "r"), "), choose"],
          " one below, or press ",
          h("kbd", null, "d"),
          " and select any exchange.",
        ),
      ),
    alike.length > 0 &&
      h(
        "section",
        { key: "alike", class: "section" },
        h("div", { class: "section-head" }, h("h3", null, "Others with the same request line")),
        h(
          "ul",
          { class: "alike" },
          alike.map((one) =>
            h(
              "li",
              null,
              h(
                "button",
                {
                  type: "button",
                  class: "link",
                  on: { click: () => act.compare(Math.min(one.seq, summary.seq), Math.max(one.seq, summary.seq)) },
                },
                `[${one.id}]`,
              ),
              ` ${time(one.began)}  ${one.status} ${one.fault ?? reason(one.status)}  ${duration(one.took)}`,
              one.origin !== "client" && icon("replay", "replay"),
            ),
          ),
        ),
      ),
  ];
}

/** @param {State} state @param {NonNullable<State["comparison"]>} comparison @param {any} act */
function result(state, { a, b, result: found }, act) {
  const link = (/** @type {number} */ seq) => {
    const summary =
      [...state.held, ...(state.found?.exchanges ?? [])].find((known) => known.seq === seq) ??
      state.details.get(seq)?.summary;
    return h(
      "button",
      { type: "button", class: "link", on: { click: () => act.choose(seq) } },
      summary ? `[${summary.id}] ${summary.status} ${summary.fault ?? reason(summary.status)}` : `exchange ${seq}`,
    );
  };
  if (!found) return null;
  const counting = found.differences.filter((one) => one.counts && !one.differsByItself);
  const others = found.differences.filter((one) => !one.counts || one.differsByItself);
  return h(
    "div",
    { key: "result", class: "diff-result" },
    h(
      "p",
      { class: `verdict ${found.isSame ? "same" : "differs"}` },
      icon(found.isSame ? "check" : "diff"),
      h(
        "b",
        null,
        found.isSame
          ? "The same response"
          : `${counting.length} ${counting.length === 1 ? "difference" : "differences"}`,
      ),
      h("span", null, link(a), " → ", link(b)),
    ),
    counting.map(difference),
    others.length > 0 &&
      h(
        "section",
        { class: "section uncounted" },
        h("div", { class: "section-head" }, h("h3", null, "Not counted")),
        others.map(difference),
      ),
  );
}

/** @param {import("../types.js").Difference} one */
export function difference(one) {
  const title = [NAMES[one.what] ?? one.what, one.name].filter(Boolean).join(" ");
  const signs = { "-": "removed", "+": "added", "@": "left-out", " ": "both" };
  return h(
    "section",
    { class: "difference" },
    h("h3", null, title, one.differsByItself && h("span", { class: "by-itself" }, "differs by itself")),
    one.lines.length > 0
      ? h(
          "div",
          { class: "diff-lines", tabindex: "0", role: "region", "aria-label": `Difference: ${title}` },
          one.lines.map(({ sign, text, differsByItself }) =>
            h(
              "div",
              {
                class: `diff-line ${signs[/** @type {keyof typeof signs} */ (sign)] ?? "both"} ${differsByItself ? "itself" : ""}`,
              },
              h("span", { class: "sign" }, sign === "@" ? "⋯" : sign),
              h("span", { class: "diff-text" }, text),
            ),
          ),
        )
      : h(
          "div",
          { class: "diff-lines" },
          h(
            "div",
            { class: "diff-line removed" },
            h("span", { class: "sign" }, "-"),
            h("span", { class: "diff-text" }, one.before || "—"),
          ),
          h(
            "div",
            { class: "diff-line added" },
            h("span", { class: "sign" }, "+"),
            h("span", { class: "diff-text" }, one.after || "—"),
          ),
        ),
  );
}
