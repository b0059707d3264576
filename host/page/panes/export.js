// Exports an exchange: a preview, to be copied or downloaded.

import { h } from "../dom.js";
import { button, choice, dialog } from "../parts.js";
import { size } from "../text.js";

/** The formats, as `wasmserve convert --as` names them. */
export const FORMATS = /** @type {[string, string, string][]} */ ([
  ["curl", "curl", "a command for a shell"],
  ["raw", "Raw", "the bytes of the request"],
  ["har", "HAR", "for browsers and other tools"],
  ["rest", "REST Client", "a file for the editor's extension"],
  ["hurl", "Hurl", "a request with what it must return"],
  ["test", "#[test]", "a Rust test for the handler"],
  ["pcapng", "pcapng", "for Wireshark"],
  ["warc", "WARC", "all of it, for wasmserve replay"],
]);

/** @param {import("../state.js").State} state @param {any} act */
export function exporting(state, act) {
  if (!state.exporting) return null;
  const { seq, format, withSecrets, preview, replaced, beside, problem } = state.exporting;
  const [, name, what] = FORMATS.find(([known]) => known === format) ?? FORMATS[0];
  const close = () => act.dialog(null);
  return dialog(
    "Export",
    close,
    h(
      "div",
      { class: "tools" },
      choice(
        "Format",
        FORMATS.map(([value, text]) => [value, text]),
        format,
        (value) => act.exportAs(seq, value, withSecrets),
      ),
    ),
    h("p", { class: "remark" }, `${name}: ${what}.`),
    h(
      "label",
      { class: "check" },
      h("input", {
        type: "checkbox",
        is: { checked: withSecrets },
        on: { change: () => act.exportAs(seq, format, !withSecrets) },
      }),
      "with secrets: Authorization, cookies, keys and tokens as they are",
    ),
    !withSecrets &&
      h(
        "p",
        { class: "remark", role: "status" },
        replaced === null
          ? ""
          : replaced.length
            ? `Replaced: ${replaced.join(", ")}. Bodies are not searched for secrets.`
            : "No secrets were found in fields and target. Bodies are not searched.",
      ),
    problem
      ? h("p", { class: "remark problem", role: "alert" }, problem)
      : preview === null
        ? h("p", { class: "loading" }, "exporting …")
        : typeof preview === "string"
          ? h("pre", { class: "text preview", tabindex: "0", role: "region", "aria-label": "Preview" }, preview)
          : h("p", { class: "remark" }, `${size(preview.length)}, not text.`),
    beside.length > 0 &&
      h(
        "div",
        { class: "tools" },
        h("span", { class: "remark" }, "It needs these files beside it:"),
        beside.map((file) => button({ label: file, icon: "down" }, () => act.downloadBeside(file))),
      ),
    h(
      "footer",
      null,
      button(
        {
          label: state.query.trim() ? "All that the filter finds, as HAR" : "All exchanges, as HAR",
          title: "Without secrets",
        },
        act.exportAll,
      ),
      h("span", { class: "spring" }),
      button({ label: "Copy", icon: "copy", isDisabled: typeof preview !== "string" }, () => act.copyExport()),
      button({ label: "Download", icon: "down", class: "primary", isDisabled: preview === null }, () =>
        act.downloadExport(),
      ),
    ),
  );
}
