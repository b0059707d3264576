// Why the exchange failed, and where its handler was.

import { h } from "../dom.js";
import { empty, escaped } from "../parts.js";
import { duration } from "../text.js";

/** Lines of a stack, in which the server has folded the functions of libraries. @param {string[]} stack */
export const frames = (stack) =>
  h(
    "ol",
    { class: "frames", "aria-label": "Functions, innermost first" },
    stack.map((line) =>
      h("li", { class: line.startsWith("(") ? "frame folded" : "frame" }, h("code", null, escaped(line).text)),
    ),
  );

/** @param {import("../state.js").State} _state @param {import("../types.js").Detail} detail */
export function stack(_state, detail) {
  const { fault } = detail.record;
  if (!fault)
    return empty(
      "No fault",
      h("p", null, "If a handler traps, throws or is stopped at a limit, this shows what happened, and where."),
    );
  return [
    h(
      "div",
      { key: "fault", class: "fault-box" },
      h("p", { class: "fault-kind" }, h("b", null, fault.kind), h("span", null, `after ${duration(fault.at)}`)),
      h("p", { class: "fault-text" }, escaped(fault.text).text),
    ),
    fault.stack.length > 0
      ? frames(fault.stack)
      : h("p", { key: "none", class: "remark" }, "There is no stack: no handler was running."),
  ];
}
