// One exchange: what it is, what can be done with it, and its tabs.

import { fromBase64, latin1 } from "../bytes.js";
import { h, lazy } from "../dom.js";
import { icon } from "../icons.js";
import { button, empty } from "../parts.js";
import { TABS, summaryOf } from "../state.js";
import { duration, fileName, moment, ordinal, reason, size, statusClass, visible } from "../text.js";
import { diff } from "./diff.js";
import { editor } from "./editor.js";
import { environ } from "./environ.js";
import { lint } from "./lint.js";
import { log } from "./log.js";
import { message } from "./message.js";
import { stack } from "./stack.js";
import { timeline } from "./timeline.js";
import { wire } from "./wire.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../types.js").Detail} Detail */
/** @typedef {import("../types.js").Summary} Summary */

const PANES = /** @type {{[tab in typeof TABS[number]]: (state: State, detail: Detail, act: any) => any}} */ ({
  Request: (state, detail, act) => message(state, detail, "request", act),
  Response: (state, detail, act) => message(state, detail, "response", act),
  Wire: wire,
  Environ: environ,
  Timeline: timeline,
  Log: log,
  Stack: stack,
  Lint: lint,
  Diff: diff,
});

/** @param {State} state @param {any} act */
export function detail(state, act) {
  const summary = summaryOf(state, state.selected);
  if (!summary) {
    const why = state.selected === null ? null : state.failed.get(state.selected);
    return h(
      "main",
      { class: "detail none", "aria-label": "Exchange" },
      why ? empty("This exchange is not there any more", h("p", null, why)) : hints(state),
    );
  }
  const known = state.details.get(summary.seq);
  return h(
    "main",
    { class: "detail", "aria-label": `Exchange ${summary.id}` },
    heading(state, summary, known, act),
    state.editor ? editor(state, known, act) : tabs(state, summary, known, act),
  );
}

/** @param {State} state */
const hints = ({ server }) =>
  empty(
    "Select an exchange",
    h(
      "dl",
      { class: "hints" },
      [
        ["↓ ↑", "walk through the list"],
        ["Enter", "read the exchange"],
        ["1 – 9", "go to a tab"],
        ["/", "filter"],
        ...(server?.captures ? [] : [["r", "replay it"]]),
        ["?", "all keys"],
      ].map(([key, what]) => [h("dt", null, h("kbd", null, key)), h("dd", null, what)]),
    ),
  );

/** @param {State} state @param {Summary} summary @param {Detail | undefined} known @param {any} act */
function heading(state, summary, known, act) {
  const { seq, origin } = summary;
  const replay = state.server?.replay;
  const isReplayable = replay?.isAllowed ?? true;
  const isRead = !!state.server?.captures;
  const failure = known?.record.fault;
  return h(
    "header",
    { class: `heading ${statusClass(summary.status)} ${summary.fault ? "failed" : ""}` },
    h(
      "div",
      { class: "heading-top" },
      button({ label: "Back to the list", icon: "chevron", isBare: true, class: "back" }, act.leave),
      h(
        "h2",
        { class: "line", title: summary.target },
        summary.method ? [h("b", null, summary.method), " ", summary.target] : firstLine(known),
      ),
      h(
        "span",
        { class: "status" },
        summary.fault && icon("fault"),
        h("b", null, summary.status || "none"),
        " ",
        summary.fault ?? reason(summary.status),
      ),
    ),
    h(
      "div",
      { class: "facts" },
      facts(summary, known?.capture ?? null).map(([what, title]) => h("span", { title }, what)),
    ),
    origin !== "client" &&
      h(
        "p",
        { class: "origin" },
        icon("replay"),
        origin.replay.edited ? "An edited replay of " : "A replay of ",
        origin.replay.of
          ? h(
              "button",
              { type: "button", class: "link", on: { click: () => act.choose(origin.replay.of) } },
              `[${origin.replay.id}]`,
            )
          : `[${origin.replay.id}], from a file`,
      ),
    known?.record.left && h("p", { class: "cut" }, icon("diff"), `It left the record: ${visible(known.record.left)}`),
    summary.isCut && h("p", { class: "cut" }, icon("cut"), cutText(known)),
    summary.kept !== null &&
      (isRead
        ? h("p", { class: "origin" }, icon("pin", "kept"), visible(summary.kept || "Kept, without a note"))
        : note(summary, act)),
    isRead && h("p", { class: "origin" }, icon("replay"), `No replay here: ${replay?.why}`),
    failure &&
      h(
        "button",
        { type: "button", class: "failure", on: { click: () => act.tab("Stack") } },
        h("b", null, failure.kind),
        " ",
        visible(failure.text),
      ),
    h(
      "div",
      { class: "actions", role: "toolbar", "aria-label": "Exchange" },
      !isRead &&
        button(
          {
            label: "Replay",
            icon: "replay",
            key: "r",
            isDisabled: !isReplayable,
            title: isReplayable ? "Send the same bytes to the handler as it is now" : (replay?.why ?? undefined),
          },
          () => act.replay(seq),
        ),
      !isRead && known?.varied && button(exactly(known.varied, isReplayable), () => act.replay(seq, true)),
      known && known.record.request.turns.length > 1 && isReplayable && pace(state, act),
      !isRead &&
        button(
          {
            label: "Edit",
            icon: "edit",
            key: "e",
            isDisabled: !isReplayable,
            isPressed: !!state.editor,
            title: isReplayable ? "Change the request, and send it" : (replay?.why ?? undefined),
          },
          () => act.edit(seq),
        ),
      !isRead &&
        button(
          {
            label: summary.kept === null ? "Keep" : "Kept",
            icon: "pin",
            key: "p",
            isPressed: summary.kept !== null,
            title: "Kept exchanges are not removed, and are replayed when the handler is saved",
          },
          () => act.keep(seq),
        ),
      button({ label: "Export", icon: "export", key: "x" }, () => act.openExport(seq)),
      button(
        {
          label: "Compare",
          icon: "diff",
          key: "d",
          isPressed: state.comparing === seq,
          title: "Compare with the exchange that is selected next; or hold Shift and click one",
        },
        () => act.startComparing(seq),
      ),
    ),
  );
}

/** When the parts of a request that came in several are sent. @param {State} state @param {any} act */
const pace = ({ isPaced }, act) =>
  h(
    "label",
    { key: "pace", class: "check", title: "Send each part of the request when it came, instead of all at once" },
    h("input", { type: "checkbox", is: { checked: isPaced }, on: { change: () => act.pace(!isPaced) } }),
    "at its pace",
  );

/** What a client has sent that is no request. @param {Detail | undefined} known */
function firstLine(known) {
  const [line] = known ? latin1(fromBase64(known.request.wire)).split(/\r?\n/, 1) : [""];
  return visible(line.slice(0, 200)) || "no request";
}

/**
 * The button for a replay in which time, randomness and other servers are as they were.
 *
 * @param {NonNullable<Detail["varied"]>} varied
 * @param {boolean} isReplayable
 */
function exactly({ missing }, isReplayable) {
  const title = missing.length
    ? `Except for ${missing.join(", ")}, which is not recorded: the same time, randomness and answers of other servers`
    : "With the same time, randomness and answers of other servers as then; nothing is sent to them";
  return { label: "Replay exactly", key: "Shift+R", isDisabled: !isReplayable, title };
}

/** @param {Summary} summary @param {any} act */
const note = (summary, act) =>
  h(
    "label",
    { class: "note" },
    icon("pin"),
    h("span", { class: "visually-hidden" }, "Note"),
    h("input", {
      key: `note ${summary.seq}`,
      type: "text",
      placeholder: "A note for this exchange",
      maxlength: "200",
      is: { defaultValue: summary.kept ?? "" },
      on: { change: (/** @type {any} */ event) => act.note(summary.seq, event.target.value) },
    }),
  );

/** @param {Summary} summary @param {string | null} capture @returns {[string, string | undefined][]} */
function facts(summary, capture) {
  const { handler, cpu, memory } = summary;
  /** @type {([string, string | undefined] | null)[]} */
  const all = [
    [`[${summary.id}]`, `exchange ${summary.id} in the log`],
    capture === null ? null : [`of ${fileName(capture)}`, `from the capture ${capture}`],
    [duration(summary.took), "from the first byte of the request until the response was complete"],
    cpu === null ? null : [`${duration(cpu)} CPU`, "the time that the handler computed"],
    !memory ? null : [size(memory), "the most memory that the instance had"],
    [
      `↓ ${size(summary.received)}  ↑ ${size(summary.sent)}`,
      `${summary.received} bytes from the client, ${summary.sent} bytes to it`,
    ],
    [summary.remote, "the client"],
    [`${summary.protocol}, ${ordinal(summary.nth)} on connection ${summary.connection}`, undefined],
    handler
      ? [
          `${fileName(handler.name)}, build ${handler.number}`,
          `${handler.name}; the builds are counted since the server started`,
        ]
      : null,
    [moment(summary.began), "when the first byte arrived"],
  ];
  return all.filter((fact) => fact !== null);
}

/** @param {Detail | undefined} known */
function cutText(known) {
  if (!known) return "Not all bytes are kept.";
  const sides = /** @type {const} */ (["request", "response"]).flatMap((name) => {
    const side = known.record[name];
    const kept = known[name].wireLength;
    if (side.total <= kept) return [];
    const why =
      side.cut === "no-room" ? "the memory of --ui-memory was used up"
      : side.cut === "head-max" ? "so much of a head is not kept"
      : "--capture-body sets how much is";
    return [`${size(kept)} of ${size(side.total)} of the ${name} are kept: ${why}.`];
  });
  return sides.join(" ") || "Not all bytes are kept.";
}

/** @param {State} state @param {Summary} summary @param {Detail | undefined} known @param {any} act */
function tabs(state, summary, known, act) {
  const { tab } = state;
  const badges = /** @type {{[tab: string]: any}} */ ({
    Log: known?.record.lines.length || null,
    Lint: known?.lint.length || null,
    Stack: summary.fault ? "!" : null,
  });
  const failed = state.failed.get(summary.seq);
  return [
    h(
      "div",
      {
        key: "tabs",
        class: "tabs",
        role: "tablist",
        "aria-label": "Parts of the exchange",
        on: { keydown: act.tabKey },
      },
      TABS.map((name, at) =>
        h(
          "button",
          {
            key: name,
            type: "button",
            role: "tab",
            id: `tab-${name}`,
            "aria-selected": String(name === tab),
            "aria-controls": "pane",
            tabindex: name === tab ? "0" : "-1",
            title: `${name} (${at + 1})`,
            on: { click: () => act.tab(name) },
          },
          name,
          badges[name] && h("span", { class: "badge" }, badges[name]),
        ),
      ),
    ),
    h(
      "div",
      {
        key: `${summary.seq} ${tab}`,
        class: "pane",
        id: "pane",
        role: "tabpanel",
        tabindex: "0",
        "aria-labelledby": `tab-${tab}`,
      },
      known
        ? lazy(
            `${summary.seq} ${tab}`,
            pane,
            tab,
            known,
            state.bytes,
            state.decoded,
            state.views,
            tab === "Diff" ? state : null,
            act,
          )
        : failed
          ? empty("There is no more of it", h("p", null, failed))
          : h("p", { class: "loading" }, "loading …"),
    ),
  ];
}

/**
 * The pane of a tab. Its arguments are all that panes depend on, so that what arrives meanwhile costs nothing.
 *
 * @param {typeof TABS[number]} tab
 * @param {Detail} known
 * @param {State["bytes"]} bytes
 * @param {State["decoded"]} decoded
 * @param {State["views"]} views
 * @param {State | null} whole Everything, for what compares.
 * @param {any} act
 */
function pane(tab, known, bytes, decoded, views, whole, act) {
  const state = /** @type {State} */ ({ ...(whole ?? {}), bytes, decoded, views });
  return h("div", { class: `pane-inner ${tab.toLowerCase()}` }, PANES[tab](state, known, act));
}
