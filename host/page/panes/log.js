// What the handler wrote to its log during the exchange.

import { h } from "../dom.js";
import { empty, escaped } from "../parts.js";
import { duration } from "../text.js";

/** Lines that are shown. */
const LINES = 400;

/** @param {import("../state.js").State} _state @param {import("../types.js").Detail} detail */
export function log(_state, detail) {
  const { lines } = detail.record;
  if (!lines.length)
    return empty("The handler wrote nothing", h("p", null, "What it prints or logs while it answers appears here."));
  return [
    h(
      "table",
      { class: "log-lines", "aria-label": "Lines of the handler" },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          ["After", "Stream", "Line"].map((name) => h("th", { scope: "col" }, name)),
        ),
      ),
      h(
        "tbody",
        null,
        lines
          .slice(0, LINES)
          .map(({ at, stream, text }) =>
            h(
              "tr",
              { class: `stream-${stream}` },
              h("td", { class: "at" }, `+${duration(at)}`),
              h("td", { class: "stream" }, stream),
              h("td", { class: "said" }, escaped(text).text),
            ),
          ),
      ),
    ),
    lines.length > LINES &&
      h("p", { class: "remark" }, `${lines.length - LINES} more lines are in an export as raw or HAR.`),
  ];
}
