// The state of the page, and how each action changes it. Pure: nothing here reads the document or the network.

import * as query from "./query.js";

/** @typedef {import("./types.js").Summary} Summary */
/** @typedef {import("./types.js").Detail} Detail */
/** @typedef {{[name: string]: any, type: string}} Action */

/** The height of a row of the list in pixels; the stylesheet has it, too. */
export const ROW = 26;
/** How many summaries the page holds. The server has the others. */
export const HELD_MAX = 20_000;
/** How many details and whole bodies it holds. */
const DETAILS_MAX = 12;
/** How much text is shown until the reader asks for more. */
export const SHOWN = 96 << 10;

export const TABS = /** @type {const} */ ([
  "Request",
  "Response",
  "Wire",
  "Environ",
  "Timeline",
  "Log",
  "Stack",
  "Lint",
  "Diff",
]);

/**
 * @typedef {object} State
 * @property {"unknown" | "signed out" | "connecting" | "live" | "interrupted" | "over"} phase
 * @property {string | null} problem Why it is not live.
 * @property {import("./types.js").ServerState | null} server
 * @property {Summary[]} held The newest exchanges, newest first, without a gap between them.
 * @property {number | null} older The seq below which the server may have older ones.
 * @property {string} query
 * @property {{exchanges: Summary[], searched: number, total: number, older: number | null} | null} found What matches.
 * @property {boolean} isSearching
 * @property {string | null} queryProblem What is wrong with the query.
 * @property {number} missed Exchanges that arrived and are not in the list, because there were too many at once.
 * @property {boolean} isStale Whether a search has to be made again, as only the server can tell what matches.
 * @property {number} unseen New exchanges above what the reader looks at.
 * @property {number} top The list's scroll position.
 * @property {number} height The list's visible height.
 * @property {number} moves Counts the changes of `top` that the reader did not make.
 * @property {number | null} selected
 * @property {typeof TABS[number]} tab
 * @property {Map<number, Detail>} details
 * @property {Map<number, string>} failed Why there is no detail.
 * @property {Map<string, Uint8Array<ArrayBuffer>>} bytes Whole bodies, by `SEQ/side/body` or `wire`.
 * @property {Map<string, {bytes: Uint8Array<ArrayBuffer>, problem: string | null}>} decoded
 * @property {Map<string, any>} views How the reader wants to see parts of the details.
 * @property {import("./types.js").Running[]} running
 * @property {{[id: number]: {stack: string[], wait: string | null}}} stacks
 * @property {import("./types.js").SavedRun | null} saved The last run of kept requests.
 * @property {boolean} isSavedHidden
 * @property {{a: number, b: number, result: import("./types.js").Comparison | null, problem: string | null} | null} comparison
 * @property {boolean} isPaced Whether replays keep the pauses of the client.
 * @property {number | null} comparing The exchange that waits for one to be compared with.
 * @property {"help" | "export" | "bin" | "clear" | null} dialog
 * @property {import("./edit.js").Draft | null} editor
 * @property {Exporting | null} exporting
 * @property {{text: string, kind: "info" | "problem", at: number} | null} notice
 * @property {number} lost Exchanges that were not written to files.
 * @property {"" | "light" | "dark"} theme
 * @property {number} split The list's part of the width, in percent.
 */

/**
 * @typedef {object} Exporting An export that is looked at.
 * @property {number} seq
 * @property {string} format
 * @property {boolean} withSecrets
 * @property {Uint8Array<ArrayBuffer> | null} bytes
 * @property {string | Uint8Array<ArrayBuffer> | null} preview Text, or the first bytes if it is none.
 * @property {string[] | null} replaced What the export hides.
 * @property {string[]} beside Further files.
 * @property {string} name Of the file.
 * @property {string | null} problem
 */

/** @returns {State} */
export const initial = () => ({
  phase: "unknown",
  problem: null,
  server: null,
  held: [],
  older: null,
  query: "",
  found: null,
  isSearching: false,
  queryProblem: null,
  missed: 0,
  isStale: false,
  unseen: 0,
  top: 0,
  height: 800,
  moves: 0,
  selected: null,
  tab: "Request",
  details: new Map(),
  failed: new Map(),
  bytes: new Map(),
  decoded: new Map(),
  views: new Map(),
  running: [],
  stacks: {},
  saved: null,
  isSavedHidden: false,
  comparison: null,
  isPaced: false,
  comparing: null,
  dialog: null,
  editor: null,
  exporting: null,
  notice: null,
  lost: 0,
  theme: "",
  split: 46,
});

/** The exchanges of the list. @param {State} state */
export const rows = (state) => state.found?.exchanges ?? state.held;

/** The seq below which the server may have more for the list, or `null`. @param {State} state */
export const older = (state) => (state.found ? state.found.older : state.older);

/** Where an exchange is in a list that begins with the newest, or -1. @param {Summary[]} list @param {number | null} seq */
export function indexOf(list, seq) {
  if (seq === null) return -1;
  let [low, high] = [0, list.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (list[middle].seq === seq) return middle;
    if (list[middle].seq > seq) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** The summary of an exchange, as far as it is known. @param {State} state @param {number | null} seq */
export function summaryOf(state, seq) {
  if (seq === null) return null;
  for (const list of [state.held, state.found?.exchanges ?? []]) {
    const at = indexOf(list, seq);
    if (at >= 0) return list[at];
  }
  return state.details.get(seq)?.summary ?? null;
}

/** Newest first, each once. @param {Summary[]} list @param {Summary[]} more */
function merge(list, more) {
  if (!more.length) return list;
  const sorted = more.toSorted((a, b) => b.seq - a.seq);
  const isAbove = !list.length || sorted[sorted.length - 1].seq > list[0].seq;
  const isBelow = list.length > 0 && sorted[0].seq < list[list.length - 1].seq;
  if (isAbove) return [...sorted, ...list].slice(0, HELD_MAX);
  if (isBelow) return [...list, ...sorted].slice(0, HELD_MAX);
  const bySeq = new Map([...list, ...sorted].map((exchange) => [exchange.seq, exchange]));
  return [...bySeq.values()].sort((a, b) => b.seq - a.seq).slice(0, HELD_MAX);
}

/**
 * A cache with one more entry, without its oldest if there are too many.
 *
 * @template K, V
 * @param {Map<K, V>} cache
 * @param {K} key
 * @param {V} value
 */
function remember(cache, key, value, max = DETAILS_MAX) {
  const others = [...cache].filter(([known]) => known !== key);
  return new Map([...others.slice(1 - max), [key, value]]);
}

/** Keeps what the reader looks at in its place when rows are put above it. @param {State} state @param {number} added */
function shifted(state, added) {
  if (!added || state.top < ROW) return {};
  return { top: state.top + added * ROW, moves: state.moves + 1, unseen: state.unseen + added };
}

/** Scrolls so that a row is visible. @param {State} state @param {number} at */
function revealed(state, at) {
  const [from, to] = [at * ROW, (at + 1) * ROW];
  let top = state.top;
  if (from < top) top = from;
  else if (to > top + state.height) top = to - state.height;
  return top === state.top ? {} : { top, moves: state.moves + 1 };
}

/** @param {State} state @param {Summary[]} batch @returns {State} */
function arrived(state, batch) {
  const held = merge(state.held, batch);
  const isTrimmed = held.length === HELD_MAX;
  const next = { ...state, held, older: isTrimmed ? held[held.length - 1].seq : state.older };
  if (!state.found) return { ...next, ...shifted(state, batch.length) };
  const terms = query.parse(state.query);
  if (!query.isLocal(terms)) return { ...next, isStale: true };
  const matching = batch.filter((exchange) => query.matches(exchange, terms));
  if (!matching.length) return next;
  const found = { ...state.found, exchanges: merge(state.found.exchanges, matching) };
  return { ...next, found, ...shifted(state, matching.length) };
}

/** @param {Summary[]} list @param {Summary} changed */
function replaced(list, changed) {
  const at = indexOf(list, changed.seq);
  return at < 0 ? list : list.with(at, changed);
}

/** @param {State} state @param {Action} action @returns {State} */
export function reduce(state, action) {
  switch (action.type) {
    case "phase":
      return { ...state, phase: action.phase, problem: action.problem ?? null };
    case "server":
      return { ...state, server: action.server, lost: action.server.files?.lost ?? 0 };
    case "newest": {
      // The newest page. What is held stays if nothing is missing between the two.
      const newest = /** @type {Summary[]} */ (action.exchanges);
      const [top, bottom] = [newest[0], newest[newest.length - 1]];
      const known = bottom && state.held[indexOf(state.held, bottom.seq)];
      const isOther =
        bottom !== undefined && (known ? known.began !== bottom.began : top.seq < (state.held.at(-1)?.seq ?? 0));
      if (isOther)
        state = {
          ...state,
          held: [],
          details: new Map(),
          failed: new Map(),
          selected: null,
          comparison: null,
          bytes: new Map(),
          decoded: new Map(),
        };
      const missed = Math.max(0, state.missed - (action.missed ?? state.missed));
      if (known && !isOther && action.missed === 0) return { ...state, held: merge(state.held, newest), missed };
      // What has arrived since the page was asked for.
      const later = top ? state.held.filter(({ seq }) => seq > top.seq) : [];
      return {
        ...state,
        held: [...later, ...newest],
        older: action.older,
        missed,
        unseen: 0,
        top: 0,
        moves: state.moves + 1,
      };
    }
    case "older":
      return { ...state, held: merge(state.held, action.exchanges), older: action.older };
    case "exchanges":
      return arrived(state, action.exchanges);
    case "gap":
      return { ...state, missed: state.missed + action.n };
    case "paused":
      return state.server ? { ...state, server: { ...state.server, paused: action.paused } } : state;
    case "changed": {
      const { summary } = action;
      const detail = state.details.get(summary.seq);
      return {
        ...state,
        held: replaced(state.held, summary),
        found: state.found && { ...state.found, exchanges: replaced(state.found.exchanges, summary) },
        details: detail ? new Map(state.details).set(summary.seq, { ...detail, summary }) : state.details,
      };
    }
    case "cleared":
      return { ...initial(), ...pick(state), held: [], phase: state.phase };
    case "query":
      return {
        ...state,
        query: action.query,
        isSearching: action.query.trim() !== "",
        queryProblem: null,
        ...(action.query.trim() ? {} : { found: null, isStale: false, top: 0, moves: state.moves + 1, unseen: 0 }),
      };
    case "found": {
      if (action.query !== state.query) return state;
      const exchanges = action.isMore ? merge(state.found?.exchanges ?? [], action.exchanges) : action.exchanges;
      const searched = action.searched + (action.isMore ? (state.found?.searched ?? 0) : 0);
      const found = { exchanges, searched, total: action.total, older: action.older };
      const start = action.isMore || action.isAgain ? {} : { top: 0, moves: state.moves + 1, unseen: 0 };
      return { ...state, found, isSearching: false, isStale: false, ...start };
    }
    case "not found":
      return action.query === state.query ? { ...state, isSearching: false, queryProblem: action.problem } : state;
    case "scrolled":
      return { ...state, top: action.top, height: action.height, unseen: action.top < ROW ? 0 : state.unseen };
    case "to top":
      return { ...state, top: 0, moves: state.moves + 1, unseen: 0 };
    case "select": {
      const at = indexOf(rows(state), action.seq);
      const next = { ...state, selected: action.seq, editor: null, tab: action.tab ?? state.tab };
      return at < 0 ? next : { ...next, ...revealed(state, at) };
    }
    case "detail":
      return { ...state, details: remember(state.details, action.seq, action.detail) };
    case "no detail":
      return { ...state, failed: remember(state.failed, action.seq, action.problem) };
    case "tab":
      return { ...state, tab: action.tab };
    case "bytes":
      return { ...state, bytes: remember(state.bytes, action.path, action.bytes, 4) };
    case "decoded":
      return { ...state, decoded: remember(state.decoded, action.path, action.decoded, 6) };
    case "view":
      return { ...state, views: remember(state.views, action.name, action.value, 60) };
    case "running": {
      const ids = new Set(action.running.map((/** @type {{id: number}} */ { id }) => id));
      const stacks = Object.fromEntries(Object.entries(state.stacks).filter(([id]) => ids.has(Number(id))));
      return { ...state, running: action.running, stacks };
    }
    case "stack":
      return { ...state, stacks: { ...state.stacks, [action.id]: action.stack } };
    case "no stack": {
      const { [action.id]: _, ...stacks } = state.stacks;
      return { ...state, stacks };
    }
    case "handler": {
      if (!state.server) return state;
      const { mount, title, build, broken } = action.handler;
      const handlers = state.server.handlers.map((known) =>
        known.mount === mount ? { mount, title, build, broken } : known,
      );
      return { ...state, server: { ...state.server, handlers } };
    }
    case "saved":
      return { ...state, saved: action.saved, isSavedHidden: false };
    case "hide saved":
      return { ...state, isSavedHidden: true };
    case "lost":
      return { ...state, lost: state.lost + action.n };
    case "comparing":
      return { ...state, comparing: action.seq };
    case "pace":
      return { ...state, isPaced: action.isPaced };
    case "comparison":
      return { ...state, comparison: action.comparison, comparing: null };
    case "dialog":
      return { ...state, dialog: action.dialog };
    case "editor":
      return { ...state, editor: action.editor };
    case "exporting":
      return { ...state, exporting: action.exporting };
    case "notice":
      return { ...state, notice: action.notice };
    case "theme":
      return { ...state, theme: action.theme };
    case "split":
      return { ...state, split: Math.min(75, Math.max(25, action.split)) };
    default:
      throw new Error(`no such action: ${action.type}`);
  }
}

/** What outlives that the store is emptied. @param {State} state */
function pick({
  server,
  running,
  theme,
  split,
  tab,
  height,
  moves,
  stacks,
  lost,
  query: text,
  details,
  selected,
  notice,
  isPaced,
}) {
  const found = text.trim() ? { exchanges: [], searched: 0, total: 0, older: null } : null;
  return {
    server,
    running,
    theme,
    split,
    tab,
    height,
    moves: moves + 1,
    stacks,
    lost,
    query: text,
    found,
    details,
    selected,
    notice,
    isPaced,
  };
}
