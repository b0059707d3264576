// The last replay of kept exchanges after a save: which responses changed.

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { button } from "../parts.js";
import { count } from "../text.js";

/** Exchanges that are named. */
const NAMED = 6;

/** @param {import("../state.js").State} state @param {any} act */
export function saved(state, act) {
  const run = state.saved;
  if (!run || state.isSavedHidden) return null;
  const changed = run.results.filter(({ verdict }) => verdict !== "alike");
  const figures = [
    `${run.alike} alike`,
    run.differ && `${run.differ} ${run.differ === 1 ? "differs" : "differ"}`,
    run.failed && `${run.failed} not replayed`,
    run.leftOut && `${run.leftOut} left out`,
  ];
  return h(
    "section",
    {
      key: "saved",
      "data-run": run.number,
      class: `strip saved ${changed.length ? "differs" : "same"}`,
      "aria-label": "Saved",
    },
    h(
      "div",
      { class: "strip-row", role: "status" },
      h("h2", null, icon(changed.length ? "diff" : "check"), "Saved"),
      h("span", null, `${count(run.results.length, "kept request")} again: ${figures.filter(Boolean).join(", ")}`),
      h("span", { class: "spring" }),
      button({ label: "Dismiss", icon: "close", isBare: true }, act.hideSaved),
    ),
    changed.length > 0 &&
      h(
        "ul",
        null,
        changed
          .slice(0, NAMED)
          .map(({ seq, id, method, target, replay, text }) =>
            h(
              "li",
              { key: seq, class: "strip-row" },
              h("span", { class: "id" }, `[${id}]`),
              h("span", { class: "what" }, h("b", null, method), " ", target),
              h("span", { class: "change" }, text),
              replay !== null &&
                button({ label: "See the difference", icon: "diff" }, () => act.compareAndShow(seq, replay)),
            ),
          ),
      ),
    changed.length > NAMED && h("p", { class: "remark" }, `and ${changed.length - NAMED} more: filter with is:replay`),
  );
}
