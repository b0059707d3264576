// What the request bin answers; and the question before everything is removed.

import { h } from "../dom.js";
import { button, dialog } from "../parts.js";
import { reason } from "../text.js";

/** @param {import("../state.js").State} state @param {any} act */
export function bin(state, act) {
  const { bin: current, url } = /** @type {NonNullable<typeof state.server>} */ (state.server);
  if (!current) return null;
  const read = (/** @type {HTMLFormElement} */ form) => {
    const data = new FormData(form);
    const lines = String(data.get("fields"))
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
    const fields = lines.map((line) => {
      const colon = line.indexOf(":");
      return colon < 0 ? [line, ""] : [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    });
    return { status: Number(data.get("status")), fields, body: data.get("echo") ? null : String(data.get("body")) };
  };
  return dialog(
    "What the request bin answers",
    () => act.dialog(null),
    h(
      "form",
      {
        class: "form",
        on: {
          submit: (/** @type {any} */ event) => {
            event.preventDefault();
            act.setBin(read(event.currentTarget));
          },
        },
      },
      h("p", { class: "remark" }, `Every request to ${url} gets this answer.`),
      h(
        "label",
        null,
        h("span", null, "Status"),
        h("input", {
          name: "status",
          type: "number",
          min: "200",
          max: "599",
          required: true,
          list: "statuses",
          is: { defaultValue: String(current.status) },
        }),
      ),
      h(
        "datalist",
        { id: "statuses" },
        [200, 201, 202, 204, 301, 302, 400, 401, 403, 404, 409, 410, 429, 500, 502, 503].map((status) =>
          h("option", { value: status }, reason(status)),
        ),
      ),
      h(
        "label",
        null,
        h("span", null, "Fields, one a line"),
        h("textarea", {
          name: "fields",
          rows: "4",
          spellcheck: "false",
          placeholder: "Content-Type: application/json",
          is: { defaultValue: current.fields.map(([name, value]) => `${name}: ${value}`).join("\n") },
        }),
      ),
      h(
        "label",
        null,
        h("span", null, "Body"),
        h("textarea", { name: "body", rows: "7", spellcheck: "false", is: { defaultValue: current.body ?? "" } }),
      ),
      h(
        "label",
        { class: "check" },
        h("input", { name: "echo", type: "checkbox", is: { defaultChecked: current.body === null } }),
        "send back the body of the request instead",
      ),
      h(
        "footer",
        null,
        button({ label: "Cancel" }, () => act.dialog(null)),
        h("button", { type: "submit", class: "button primary" }, h("span", null, "Answer this from now on")),
      ),
    ),
  );
}

/** @param {import("../state.js").State} _state @param {any} act */
export const clear = (_state, act) =>
  dialog(
    "Remove all exchanges?",
    () => act.dialog(null),
    h("p", null, "All exchanges that are not kept are removed from memory. Files of --capture stay."),
    h(
      "footer",
      null,
      button({ label: "Cancel" }, () => act.dialog(null)),
      button({ label: "Remove them", icon: "clear", class: "danger" }, act.clear),
    ),
  );
