// Parts that several panes are made of.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { SHOWN } from "./state.js";
import { size, visible } from "./text.js";

/**
 * @param {{label: string, icon?: any, key?: string, title?: string, class?: string, isDisabled?: boolean, isPressed?: boolean, isBare?: boolean}} what
 * @param {(event: Event) => void} act
 */
export const button = (what, act) =>
  h(
    "button",
    {
      key: what.label,
      type: "button",
      class: `button ${what.class ?? ""} ${what.isBare ? "bare" : ""}`,
      title: what.title ?? (what.isBare ? what.label + (what.key ? ` (${what.key})` : "") : undefined),
      "aria-label": what.isBare ? what.label : undefined,
      "aria-pressed": what.isPressed === undefined ? undefined : String(what.isPressed),
      "aria-keyshortcuts": what.key,
      disabled: what.isDisabled ?? false,
      on: { click: act },
    },
    what.icon && icon(what.icon),
    what.isBare ? null : h("span", null, what.label),
    what.key && !what.isBare && h("kbd", { "aria-hidden": "true" }, what.key),
  );

/**
 * One of several, as a row of buttons.
 *
 * @param {string} label
 * @param {[string, string][]} choices Values and their texts.
 * @param {string} chosen
 * @param {(value: string) => void} choose
 */
export const choice = (label, choices, chosen, choose) =>
  h(
    "div",
    { class: "choice", role: "group", "aria-label": label },
    choices.map(([value, text]) =>
      h(
        "button",
        { key: value, type: "button", "aria-pressed": String(value === chosen), on: { click: () => choose(value) } },
        text,
      ),
    ),
  );

/** @param {string} title @param {...any} contents */
export const empty = (title, ...contents) =>
  h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), contents);

/**
 * Names and values.
 *
 * @param {string} label
 * @param {[string, string | null][]} fields
 * @param {(index: number) => string | undefined} [title]
 */
export const pairs = (label, fields, title) =>
  h(
    "table",
    { class: "pairs", "aria-label": label },
    h(
      "tbody",
      null,
      fields.map(([name, value], at) =>
        h(
          "tr",
          { title: title?.(at) },
          h("th", { scope: "row" }, name),
          h(
            "td",
            null,
            value === "" || value === null
              ? h("span", { class: "faint" }, value === null ? "not captured" : "empty")
              : value,
          ),
        ),
      ),
    ),
  );

/** @param {string} title @param {any} aside @param {...any} contents */
export const section = (title, aside, ...contents) =>
  h(
    "section",
    { key: title, class: "section" },
    h("div", { class: "section-head" }, h("h3", null, title), h("div", { class: "section-aside" }, aside)),
    contents,
  );

/**
 * Text in a box that scrolls. Of long text only a part is in the document until the reader asks for more.
 *
 * @param {import("./state.js").State} state
 * @param {any} act
 * @param {string} name Identifies the box.
 * @param {string} label
 * @param {string} text
 * @param {{kind: string, from: number, to: number}[]} [spans] Parts of the text with colours of their own.
 */
export function textBox(state, act, name, label, text, spans) {
  const limit = state.views.get(`more ${name}`) ?? SHOWN;
  const isCut = text.length > limit;
  return h(
    "div",
    { key: name, class: "box" },
    h(
      "pre",
      { class: "text", tabindex: "0", role: "region", "aria-label": label, is: { painted: spans ?? null } },
      isCut ? text.slice(0, limit) : text,
    ),
    isCut &&
      h(
        "div",
        { class: "box-foot" },
        h("span", null, `${size(limit)} of ${size(text.length)} of text shown`),
        button({ label: "Show more" }, () => act.view(`more ${name}`, limit * 4)),
      ),
  );
}

/** Text of a stranger, and where what is hidden in it has been made visible. @param {string} text */
export function escaped(text) {
  const shown = visible(text);
  /** @type {{kind: string, from: number, to: number}[]} */
  const spans = [];
  if (shown.length !== text.length) {
    for (const found of shown.matchAll(/\\x[0-9a-f]{2}|\\u\{[0-9a-f]+\}/g)) {
      spans.push({ kind: "escape", from: found.index, to: found.index + found[0].length });
    }
  }
  return { text: shown, spans };
}

/** A dialog above the page. @param {string} title @param {() => void} close @param {...any} contents */
export const dialog = (title, close, ...contents) =>
  h(
    "dialog",
    {
      key: title,
      class: "dialog",
      "aria-labelledby": "dialog-title",
      on: {
        cancel: (/** @type {Event} */ event) => {
          event.preventDefault();
          close();
        },
        click: (/** @type {Event} */ event) => {
          if (event.target === event.currentTarget) close();
        },
      },
      made: (/** @type {HTMLDialogElement} */ element) =>
        queueMicrotask(() => {
          if (element.isConnected) element.showModal();
        }),
    },
    h(
      "div",
      { class: "dialog-inner" },
      h(
        "header",
        null,
        h("h2", { id: "dialog-title" }, title),
        button({ label: "Close", icon: "close", isBare: true }, close),
      ),
      contents,
    ),
  );
