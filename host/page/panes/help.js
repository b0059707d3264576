// The keys, and what the filter understands.

import { h } from "../dom.js";
import { dialog } from "../parts.js";

const KEYS = [
  ["↓ ↑ or j k", "next, previous exchange"],
  ["Home End", "newest, oldest in the list"],
  ["Enter", "read the exchange; Esc leads back"],
  ["1 – 9", "go to a tab"],
  ["/", "filter; Esc clears it"],
  ["r", "replay: the same bytes, to the handler as it is now"],
  ["R", "replay exactly: with the time, randomness and other servers of then"],
  ["e", "edit the request, and send it"],
  ["p", "keep, or keep no longer"],
  ["x", "export"],
  ["d", "compare with the exchange that is selected next"],
  ["?", "this help"],
];
/** The keys that need a server. */
const CHANGES = ["r", "R", "e", "p"];
const TERMS = [
  ["hook", "method, target or status has it"],
  ["status:5xx", "a status, or its class"],
  ["method:PUT", "the method"],
  ["-path:/health", "not: with - before it"],
  ["path:/h", "a part of the target"],
  ["host:x  remote:10.", "a part of Host, of the client's address"],
  ["fault:trap", "the kind of the fault; any is fault:*"],
  ["is:kept", "also replay, edited, cut, fault"],
  ["took:>100ms", "also cpu, memory, received, sent, id"],
  ['field:"x-a: b"', "a part of a field, of either side"],
  ["log:missing", "in a line of the handler's log"],
  ['body:"two words"', "in a body, as far as it is kept"],
];

/** @param {import("../state.js").State} state @param {any} act */
export const help = (state, act) =>
  dialog(
    "Help",
    () => act.dialog(null),
    h(
      "div",
      { class: "help" },
      h(
        "section",
        null,
        h("h3", null, "Keys"),
        h(
          "dl",
          null,
          KEYS.filter(([key]) => !(state.server?.captures && CHANGES.includes(key))).map(([key, what]) => [h("dt", null, h("kbd", null, key)), h("dd", null, what)]),
        ),
      ),
      h(
        "section",
        null,
        h("h3", null, "Filter"),
        h("p", { class: "remark" }, "All terms must match."),
        h(
          "dl",
          null,
          TERMS.map(([term, what]) => [h("dt", null, h("code", null, term)), h("dd", null, what)]),
        ),
      ),
    ),
    h(
      "footer",
      null,
      h(
        "p",
        { class: "remark" },
        `wasmserve ${state.server?.version ?? ""}. ${state.server?.onSave.isOn ? "Kept exchanges are replayed when the handler is saved." : state.server?.onSave.why ? `No replay on save: ${state.server.onSave.why}.` : ""}`,
      ),
    ),
  );
