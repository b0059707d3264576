// Edits a request and sends it; its answer appears beside it.

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { button, choice } from "../parts.js";
import { isChanged } from "../edit.js";
import { duration, reason, statusClass, visible } from "../text.js";
import { difference } from "./diff.js";

/** @param {import("../state.js").State} state @param {import("../types.js").Detail | undefined} known @param {any} act */
export function editor(state, known, act) {
  const draft = state.editor;
  if (!draft) return null;
  const change = (/** @type {object} */ part) => act.draft({ ...draft, ...part, problem: null });
  const area = (
    /** @type {string} */ name,
    /** @type {"head" | "body" | "all"} */ member,
    /** @type {string} */ note,
  ) =>
    h(
      "label",
      { key: member, class: `area ${member}` },
      h("span", null, name, note && h("span", { class: "faint" }, ` ${note}`)),
      h("textarea", {
        id: `edit-${member}`,
        spellcheck: "false",
        autocomplete: "off",
        wrap: "off",
        is: { value: draft[member] },
        on: { input: (/** @type {any} */ event) => change({ [member]: event.target.value }) },
      }),
    );
  const notes = [
    draft.charset === "latin-1" ? "as Latin-1, since it is not UTF-8" : "",
    draft.isMixed ? "all lines will end in CRLF if something is changed" : "",
    draft.isHttp2 && draft.trailers.length ? "the trailers follow as they were" : "",
  ]
    .filter(Boolean)
    .join("; ");
  return h(
    "section",
    { key: "editor", class: "editor", "aria-label": "Edit and replay" },
    h(
      "div",
      { class: "tools" },
      choice(
        "Edit as",
        [
          ["text", "Text"],
          ["hex", "All bytes"],
        ],
        draft.mode,
        (mode) => change({ mode }),
      ),
      draft.mode === "text" &&
        h(
          "label",
          { class: "check" },
          h("input", {
            type: "checkbox",
            is: { checked: !draft.isLengthKept },
            on: { change: () => change({ isLengthKept: !draft.isLengthKept }) },
          }),
          "framing follows the body",
        ),
      h("span", { class: "spring" }),
      button({ label: "Close", key: "Esc" }, act.closeEditor),
      button(
        {
          label: draft.isSending ? "Sending …" : isChanged(draft) ? "Send it" : "Send as it was",
          icon: "play",
          class: "primary",
          key: "Ctrl+Enter",
          isDisabled: draft.isSending,
        },
        act.sendDraft,
      ),
    ),
    draft.problem && h("p", { class: "remark problem", role: "alert" }, draft.problem),
    h(
      "div",
      { class: "editor-parts" },
      h(
        "div",
        { class: "editor-input" },
        draft.mode === "text"
          ? [
              area("Head", "head", notes),
              area("Body", "body", draft.isBodyHex ? "as hexadecimal, since text would change it" : ""),
            ]
          : area("All bytes", "all", "exactly what is sent"),
      ),
      h("div", { class: "editor-output", "aria-live": "polite" }, answer(state, draft, known, act)),
    ),
  );
}

/** @param {import("../state.js").State} state @param {import("../edit.js").Draft} draft @param {import("../types.js").Detail | undefined} known @param {any} act */
function answer(state, draft, known, act) {
  if (draft.result === null) {
    return h(
      "div",
      { class: "empty" },
      h("p", { class: "empty-title" }, "The answer appears here"),
      h(
        "p",
        null,
        known ? `Before, it was ${known.summary.status} ${known.summary.fault ?? reason(known.summary.status)}.` : "",
      ),
    );
  }
  const made = state.details.get(draft.result);
  if (!made) return h("p", { class: "loading" }, "loading the answer …");
  const { summary, response, record } = made;
  const { comparison } = state;
  const found = comparison && comparison.b === summary.seq ? comparison.result : null;
  const body = response.body ? atob(response.body.slice(0, 8192)) : "";
  return [
    h(
      "p",
      { key: "status", class: `answer-line ${statusClass(summary.status)} ${summary.fault ? "failed" : ""}` },
      h(
        "span",
        { class: "status" },
        summary.fault && icon("fault"),
        h("b", null, summary.status),
        " ",
        summary.fault ?? reason(summary.status),
      ),
      h("span", null, duration(summary.took)),
      h(
        "button",
        { type: "button", class: "link", on: { click: () => act.choose(summary.seq, "Response") } },
        `open [${summary.id}]`,
      ),
    ),
    record.fault &&
      h("p", { key: "fault", class: "failure" }, h("b", null, record.fault.kind), " ", visible(record.fault.text)),
    found &&
      h(
        "p",
        { key: "verdict", class: `verdict ${found.isSame ? "same" : "differs"}` },
        icon(found.isSame ? "check" : "diff"),
        h("b", null, found.isSame ? "The same response as before" : "Compared with the original"),
      ),
    found && found.differences.filter((one) => one.counts).map(difference),
    (!found || found.isSame) &&
      body &&
      h(
        "pre",
        { key: "body", class: "text", tabindex: "0", role: "region", "aria-label": "Body of the answer" },
        act.plain(body),
      ),
  ];
}
