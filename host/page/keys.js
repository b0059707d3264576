// The keys of the page.

import { TABS } from "./state.js";

/** @typedef {import("./state.js").State} State */

/**
 * What a key does, or `null` if it is not ours.
 *
 * @param {State} state
 * @param {any} act
 * @param {KeyboardEvent} event
 * @returns {(() => void) | null}
 */
export function actionOf(state, act, event) {
  const { key } = event;
  const target = /** @type {HTMLElement} */ (event.target);
  if (state.phase === "signed out" || state.dialog) return null;
  if (key === "Enter" && (event.ctrlKey || event.metaKey) && state.editor) return act.sendDraft;
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (key === "Escape") return escape(state, act, target);
  if (target.matches("textarea, input:not([type=checkbox]), select")) {
    return target.id === "filter" && (key === "ArrowDown" || key === "Enter")
      ? () => {
          act.step(1);
          act.leave();
        }
      : null;
  }
  const isInList = target === document.body || target.id === "list";
  const selected = state.selected;
  const onSelected = (/** @type {(seq: number) => void} */ what) => (selected === null ? null : () => what(selected));
  const page = Math.max(1, Math.floor(state.height / 26) - 1);
  switch (key) {
    case "j":
      return () => act.step(1);
    case "k":
      return () => act.step(-1);
    case "ArrowDown":
      return isInList ? () => act.step(1) : null;
    case "ArrowUp":
      return isInList ? () => act.step(-1) : null;
    case "PageDown":
      return isInList ? () => act.step(page) : null;
    case "PageUp":
      return isInList ? () => act.step(-page) : null;
    case "Home":
      return isInList ? () => act.step(-Infinity) : null;
    case "End":
      return isInList ? () => act.step(Infinity) : null;
    case "Enter":
      return isInList ? act.enter : null;
    case "/":
      return () => document.getElementById("filter")?.focus();
    case "?":
      return () => act.dialog("help");
    case "r":
      return onSelected(act.replay);
    case "R":
      return onSelected((seq) => act.replay(seq, true));
    case "e":
      return onSelected(act.edit);
    case "p":
      return onSelected(act.keep);
    case "x":
      return onSelected(act.openExport);
    case "d":
      return onSelected(act.startComparing);
  }
  const tab = TABS[Number(key) - 1];
  return tab && selected !== null && !state.editor ? () => act.tab(tab) : null;
}

/** Leads out of what one is in. @param {State} state @param {any} act @param {HTMLElement} target */
function escape(state, act, target) {
  if (state.comparing !== null) return act.cancelComparing;
  if (state.editor) return act.closeEditor;
  if (target.id === "filter" && state.query === "") return act.leave;
  if (target.id === "filter" || (state.query !== "" && target.id === "list" && state.selected === null))
    return () => act.search("");
  if (target.id !== "list" && target !== document.body) return act.leave;
  return state.selected === null ? null : act.deselect;
}
