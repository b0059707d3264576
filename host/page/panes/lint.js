// What is unusual or wrong in the client's request.

import { h } from "../dom.js";
import { empty } from "../parts.js";

/** @param {import("../state.js").State} _state @param {import("../types.js").Detail} detail */
export function lint(_state, { lint: findings }) {
  if (!findings.length)
    return empty(
      "Nothing unusual",
      h("p", null, "What is wrong or rare in a client's request is listed here, with the clause of the RFC."),
    );
  return h(
    "ul",
    { class: "findings" },
    findings.map(({ what, clause }) =>
      h("li", null, h("p", null, what), clause && h("p", { class: "clause" }, clause)),
    ),
  );
}
