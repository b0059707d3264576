// What runs now.

import { h } from "../dom.js";
import { button } from "../parts.js";
import { duration, size } from "../text.js";
import { frames } from "./stack.js";

/** Rows that are shown. */
const ROWS = 20;

/** @param {import("../state.js").State} state @param {any} act */
export function running(state, act) {
  const all = state.running;
  if (!all.length) return null;
  return h(
    "section",
    { key: "running", class: "strip running", "aria-label": "Running" },
    h("h2", null, "Running", h("span", { class: "badge" }, all.length)),
    h(
      "ul",
      null,
      all.slice(0, ROWS).map((one) => {
        const stack = state.stacks[one.id];
        return h(
          "li",
          { key: one.id },
          h(
            "div",
            { class: "strip-row" },
            h("span", { class: "id" }, `[${one.id}]`),
            h("span", { class: "what" }, h("b", null, one.method), " ", one.target),
            h("span", { class: "figure", title: "since the request arrived" }, duration(one.took)),
            h("span", { class: "figure", title: "computed" }, `${duration(one.cpu)} CPU`),
            h("span", { class: "figure", title: "memory" }, size(one.memory)),
            h("span", { class: "wait" }, one.wait ? `waits: ${one.wait}` : "computes"),
            button({ label: stack ? "Hide the stack" : "Show the stack", title: "Where the handler is now" }, () =>
              stack ? act.hideStack(one.id) : act.showStack(one.id),
            ),
            button(
              { label: "End it", icon: "stop", class: "danger", title: "Stop the handler, as a limit would" },
              () => act.end(one.id),
            ),
          ),
          stack &&
            h(
              "div",
              { class: "strip-more" },
              stack.stack.length ? frames(stack.stack) : h("p", { class: "remark" }, "no functions"),
            ),
        );
      }),
    ),
    all.length > ROWS && h("p", { class: "remark" }, `and ${all.length - ROWS} more`),
  );
}
