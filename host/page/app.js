// The page: shows the state, once a frame at most.

import { actions } from "./actions.js";
import { h, render } from "./dom.js";
import { actionOf } from "./keys.js";
import { paint } from "./paint.js";
import { banners, bar, filter, nameOf } from "./panes/bar.js";
import { bin, clear } from "./panes/bin.js";
import { detail } from "./panes/detail.js";
import { exporting } from "./panes/export.js";
import { help } from "./panes/help.js";
import { list } from "./panes/list.js";
import { running } from "./panes/running.js";
import { saved } from "./panes/saved.js";
import { signIn } from "./panes/signin.js";
import { initial, reduce } from "./state.js";

/** @typedef {import("./state.js").State} State */

const DIALOGS = { help, export: exporting, bin, clear };

let state = initial();
let isScheduled = false;
let moves = 0;

const act = actions(() => state, dispatch);

/** @param {import("./state.js").Action} action */
function dispatch(action) {
  state = reduce(state, action);
  if (isScheduled) return;
  isScheduled = true;
  // A hidden page draws no frames: what it shows is brought up to date when it is seen again.
  requestAnimationFrame(draw);
}

function draw() {
  isScheduled = false;
  render(/** @type {Element} */ (document.getElementById("app")), view(state));
  const grid = document.getElementById("list");
  if (grid && moves !== state.moves) grid.scrollTop = state.top;
  moves = state.moves;
  document.title = state.server ? `${nameOf(state.server)} · wasmserve` : "wasmserve";
  paint();
  act.provide();
}

/** @param {State} state */
function view(state) {
  const { phase, notice, dialog, split, selected } = state;
  if (phase === "signed out") return signIn(state, act);
  if (phase === "unknown") return null;
  return h(
    "div",
    { key: "page", class: `page ${selected === null ? "" : "reading"}` },
    bar(state, act),
    h("div", { key: "notes", class: "notes" }, banners(state, act), running(state, act), saved(state, act)),
    h(
      "div",
      { key: "columns", class: "columns", style: { "--split": `${split}%` } },
      h(
        "section",
        { key: "left", class: "left", "aria-label": "List" },
        filter(state, act),
        list(state, act),
        separator(split),
      ),
      detail(state, act),
    ),
    h(
      "div",
      {
        key: "notice",
        class: `notice ${notice?.kind ?? ""} ${notice ? "shown" : ""}`,
        role: "status",
        "aria-live": "polite",
      },
      notice?.text,
    ),
    dialog && DIALOGS[dialog](state, act),
  );
}

/** Between list and detail: dragged, or moved by arrow keys. @param {number} split */
const separator = (split) =>
  h("div", {
    key: "separator",
    class: "separator",
    role: "separator",
    tabindex: "0",
    "aria-orientation": "vertical",
    "aria-label": "Width of the list",
    "aria-valuenow": String(Math.round(split)),
    "aria-valuemin": "25",
    "aria-valuemax": "75",
    on: {
      keydown: (/** @type {KeyboardEvent} */ event) => {
        const by = { ArrowLeft: -2, ArrowRight: 2 }[event.key];
        if (by) act.split(state.split + by);
      },
      pointerdown: (/** @type {any} */ event) => event.currentTarget.setPointerCapture(event.pointerId),
      pointermove: (/** @type {any} */ event) => {
        if (event.currentTarget.hasPointerCapture(event.pointerId)) act.split((100 * event.clientX) / innerWidth);
      },
      dblclick: () => act.split(initial().split),
    },
  });

document.addEventListener("keydown", (event) => {
  const action = actionOf(state, act, event);
  if (!action) return;
  event.preventDefault();
  action();
});

const theme = localStorage.getItem("theme");
if (theme === "light" || theme === "dark") act.setTheme(theme);
const split = Number(localStorage.getItem("split"));
if (split) act.split(split);
act.start();
