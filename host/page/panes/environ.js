// The environ as the handler had it.

import { h } from "../dom.js";
import { empty, pairs, section } from "../parts.js";
import { count } from "../text.js";

/** @param {import("../state.js").State} _state @param {import("../types.js").Detail} detail */
export function environ(_state, detail) {
  if (!detail.environ)
    return empty(
      "No handler got this request",
      h("p", null, "So there was no environ. The response says why, and Lint what is wrong with the request."),
    );
  const fields = detail.environ.filter(([name]) => name.startsWith("HTTP_"));
  const others = detail.environ.filter(([name]) => !name.startsWith("HTTP_"));
  return [
    section("Variables", count(others.length, "variable"), pairs("Variables", others)),
    fields.length > 0 &&
      section("Fields of the request", count(fields.length, "variable"), pairs("Fields of the request", fields)),
  ];
}
