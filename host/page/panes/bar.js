// The bar at the top: what is served, whether the page is live, the filter, and what there is to know at once.

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { button } from "../parts.js";
import { count, fileName, size, visible } from "../text.js";

/** @typedef {import("../state.js").State} State */

const QUICK = [
  ["is:fault", "failed"],
  ["is:kept", "kept"],
  ["is:replay", "replays"],
];

/** @param {State} state @param {any} act */
export function bar(state, act) {
  const { server } = state;
  const themes = { "": "the system's", light: "light", dark: "dark" };
  return h(
    "header",
    { key: "bar", class: "bar" },
    h("h1", { class: "brand" }, "wasmserve"),
    server &&
      h(
        "div",
        { class: "served" },
        h(
          "span",
          {
            class: "served-title",
            title: (
              server.captures?.names ?? server.handlers.map(({ title, mount }) => `${mount}  ${title}`)
            ).join("\n"),
          },
          nameOf(server),
        ),
        server.url && [
          h("code", null, server.url),
          button({ label: "Copy the address", icon: "copy", isBare: true }, () => act.copy(server.url, "the address")),
        ],
      ),
    h("div", { class: "spring" }),
    live(state),
    server?.bin &&
      button({ label: `Answers ${server.bin.status}`, icon: "bin", title: "Choose what the request bin answers" }, () =>
        act.dialog("bin"),
      ),
    server &&
      !server.captures &&
      button(
        {
          label: server.paused ? "Resume" : "Pause",
          icon: server.paused ? "play" : "pause",
          isPressed: server.paused,
          title: server.paused ? "Capture again" : "Serve, but capture nothing",
        },
        act.pause,
      ),
    server &&
      !server.captures &&
      button({ label: "Clear", icon: "clear", title: "Remove all exchanges that are not kept" }, () =>
        act.dialog("clear"),
      ),
    button({ label: `Theme: ${themes[state.theme]}`, icon: "theme", isBare: true }, act.theme),
    button({ label: "Help", icon: "help", key: "?", isBare: true }, () => act.dialog("help")),
  );
}

/** What the exchanges are of. @param {NonNullable<State["server"]>} server */
export function nameOf({ captures, handlers }) {
  const names = captures?.names ?? handlers.map(({ title }) => title);
  return names.length > 3 ? `${names.length} ${captures ? "captures" : "handlers"}` : names.map(fileName).join(" · ");
}

/** @param {State} state */
function live({ phase, server }) {
  const words = {
    unknown: "",
    "signed out": "signed out",
    connecting: "connecting",
    live: server?.captures ? "from files" : server?.paused ? "paused" : "live",
    interrupted: "interrupted",
    over: server?.captures ? "viewer ended" : "server ended",
  };
  const [seen, removed] = server?.captures ? ["read", "left out for lack of memory"] : ["seen", "removed to make room"];
  const title = server
    ? `${count(server.counts.seen, "exchange")} ${seen}, ${server.counts.removed.toLocaleString("en")} ${removed}; ${size(server.memory.used)} of ${size(server.memory.max)} in use`
    : undefined;
  return h(
    "div",
    { class: "connection", title },
    h("span", {
      class: `light ${phase === "live" && server?.paused ? "paused" : phase.replace(" ", "-")}`,
      "aria-hidden": "true",
    }),
    h("span", null, words[phase]),
    server && h("span", { class: "figures" }, `${server.counts.seen.toLocaleString("en")} ${seen}`),
    server &&
      h(
        "span",
        {
          class: "meter",
          role: "img",
          "aria-label": `memory: ${size(server.memory.used)} of ${size(server.memory.max)}`,
        },
        h("span", {
          style: { width: `${Math.min(100, (100 * server.memory.used) / Math.max(1, server.memory.max))}%` },
        }),
      ),
  );
}

/** @param {State} state @param {any} act */
export function filter(state, act) {
  const { found, query, isSearching, queryProblem } = state;
  const isQuick = (/** @type {string} */ term) => query.split(" ").includes(term);
  const toggle = (/** @type {string} */ term) =>
    act.search(
      isQuick(term)
        ? query
            .split(" ")
            .filter((word) => word !== term)
            .join(" ")
        : `${query} ${term}`.trim(),
    );
  return h(
    "div",
    { class: "filter", role: "search" },
    h(
      "label",
      { class: "filter-box" },
      icon("search"),
      h("span", { class: "visually-hidden" }, "Filter"),
      h("input", {
        id: "filter",
        type: "text",
        spellcheck: "false",
        autocomplete: "off",
        autocapitalize: "off",
        placeholder: 'POST  status:5xx  path:/hook  body:"x"',
        "aria-keyshortcuts": "/",
        is: { value: query },
        on: { input: (/** @type {any} */ event) => act.search(event.target.value) },
      }),
      h("kbd", { "aria-hidden": "true" }, "/"),
    ),
    h(
      "div",
      { class: "choice", role: "group", "aria-label": "Show only" },
      QUICK.map(([term, label]) =>
        h(
          "button",
          { type: "button", "aria-pressed": String(isQuick(term)), title: term, on: { click: () => toggle(term) } },
          label,
        ),
      ),
    ),
    queryProblem && h("p", { class: "found problem", role: "status" }, queryProblem),
    found &&
      !isSearching &&
      !queryProblem &&
      h(
        "span",
        { class: "found", role: "status" },
        `${found.exchanges.length.toLocaleString("en")}${found.older === null ? "" : "+"} of ${found.total.toLocaleString("en")}`,
      ),
  );
}

/** Why a handler was not replaced. @param {string} title @param {string} why */
function whyBroken(title, why) {
  const more = "The version before still serves.";
  if (!why.trim().includes("\n")) return h("span", null, `${why}. ${more} The terminal has the reasons.`);
  const output = { class: "output", tabindex: "0", role: "region", "aria-label": "Why it does not build" };
  return h("details", { open: true }, h("summary", null, `${title} does not build. ${more}`), h("pre", output, why));
}

/** What needs attention. @param {State} state @param {any} act */
export function banners(state, act) {
  const { server, phase } = state;
  const banner = (/** @type {string} */ key, /** @type {string} */ kind, /** @type {any[]} */ ...contents) =>
    h("div", { key, class: `banner ${kind}`, role: kind === "problem" ? "alert" : "status" }, contents);
  const all = [];
  if (phase === "over" || phase === "interrupted") {
    const keeps = "This page keeps what it has. ";
    const files = server?.captures
      ? "All exchanges are in the files."
      : server?.files
        ? `All exchanges are in ${server.files.dir}.`
        : "With --capture DIR there would be files of all exchanges.";
    all.push(
      banner(
        "over",
        "problem",
        icon("fault"),
        h(
          "span",
          null,
          phase === "over"
            ? `The ${server?.captures ? "viewer" : "server"} has ended. ${keeps}${files}`
            : `No connection to the ${server?.captures ? "viewer" : "server"} (${state.problem ?? "it does not answer"}); trying again. ${keeps}`,
        ),
      ),
    );
  }
  for (const { mount, title, broken } of server?.handlers ?? []) {
    if (broken) all.push(banner(`broken ${mount}`, "problem", icon("fault"), whyBroken(title, visible(broken))));
  }
  if (server?.captures?.problems.length)
    all.push(
      banner(
        "unread",
        "problem",
        icon("fault"),
        h(
          "div",
          null,
          server.captures.problems.map((problem) => h("p", null, visible(problem))),
        ),
      ),
    );
  if (server?.captures && server.counts.removed)
    all.push(
      banner(
        "left out",
        "info",
        h("span", null, `${count(server.counts.removed, "older exchange")} did not fit into memory; raise --ui-memory.`),
      ),
    );
  if (server?.files?.problem)
    all.push(
      banner(
        "files",
        "problem",
        icon("fault"),
        h("span", null, `Nothing is written to ${server.files.dir}: ${server.files.problem}`),
      ),
    );
  if (state.lost)
    all.push(
      banner(
        "lost",
        "info",
        h(
          "span",
          null,
          `${count(state.lost, "exchange")} not written to ${server?.files?.dir ?? "files"}: they are in memory only.`,
        ),
      ),
    );
  if (state.missed)
    all.push(
      banner(
        "missed",
        "info",
        h("span", null, `${count(state.missed, "exchange")} arrived too quickly to be listed here.`),
        button({ label: "Show the newest" }, act.newest),
      ),
    );
  if (server?.paused)
    all.push(
      banner(
        "paused",
        "info",
        icon("pause"),
        h("span", null, "Capturing is paused: requests are served, and not seen here."),
        button({ label: "Resume" }, act.pause),
      ),
    );
  if (state.comparing !== null)
    all.push(
      banner(
        "comparing",
        "info",
        icon("diff"),
        h("span", null, "Choose the exchange to compare with."),
        button({ label: "Cancel", key: "Esc" }, () => act.cancelComparing()),
      ),
    );
  return all;
}
