// What the page does: what the user asks for, and what the state lacks. The only file that talks to the server.

import { Api, ApiError } from "./api.js";
import * as body from "./body.js";
import { decode, fromBase64, isText, imageType, toBase64, utf8 } from "./bytes.js";
import { bytesOf, draft } from "./edit.js";
import { FORMATS } from "./panes/export.js";
import { counterpart } from "./panes/diff.js";
import { HELD_MAX, ROW, TABS, indexOf, older as olderThan, rows, summaryOf } from "./state.js";
import { visible } from "./text.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Action} Action */

const PAGE = 200;
/** How often the newest are fetched if too many arrive to be listed one by one, in milliseconds. */
const REFRESH = 1000;
/** How often counts and memory are fetched while someone looks, in milliseconds. */
const STATE_INTERVAL = 2000;
const TOKEN = "token";

/** The names in a field of a response. @param {Response} response @param {string} field */
const listOf = (response, field) =>
  (response.headers.get(field) ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);

/**
 * @param {() => State} get
 * @param {(action: Action) => void} dispatch
 */
export function actions(get, dispatch) {
  let api = new Api("");
  /** What is being fetched, so that nothing is asked for twice. @type {Set<string>} */
  const pending = new Set();
  /** @type {AbortController | null} */
  let stream = null;
  let connections = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;
  /** @type {{path: string, url: string} | null} */
  let image = null;
  /** @type {Element | null} */
  let focused = null;
  const element = (/** @type {string} */ id) => document.getElementById(id);

  /** @param {string} text @param {"info" | "problem"} [kind] */
  function notice(text, kind = "info") {
    const at = Date.now();
    dispatch({ type: "notice", notice: { text, kind, at } });
    setTimeout(
      () => {
        if (get().notice?.at === at) dispatch({ type: "notice", notice: null });
      },
      kind === "problem" ? 9000 : 4000,
    );
  }

  /** Does something for the user, who sees why if it fails. @param {() => Promise<void>} what */
  async function attempt(what) {
    try {
      await what();
    } catch (error) {
      notice(error instanceof Error ? error.message : String(error), "problem");
    }
  }

  /** Fetches something that the state lacks, once at a time. @param {string} name @param {() => Promise<void>} what @param {(problem: string) => void} [fail] */
  async function supply(name, what, fail) {
    if (pending.has(name)) return;
    pending.add(name);
    try {
      await what();
    } catch (error) {
      fail?.(error instanceof Error ? error.message : String(error));
    } finally {
      pending.delete(name);
    }
  }

  /** @param {string} [query] @param {number} [before] */
  async function page(query = "", before) {
    const parts = new URLSearchParams({ q: query, limit: String(PAGE) });
    if (before !== undefined) parts.set("before", String(before));
    const { exchanges, searched, total, next } = await api.get(`exchanges?${parts}`);
    return { exchanges, searched, total, older: next };
  }

  /** Connects again and again, until another token is tried. */
  async function connect() {
    const mine = ++connections;
    stream?.abort();
    let delay = 300;
    let wasLive = false;
    while (mine === connections) {
      if (get().phase !== "over" && get().phase !== "interrupted") dispatch({ type: "phase", phase: "connecting" });
      try {
        const [server, newest, run, running] = await Promise.all([
          api.get("state"),
          page(),
          api.get("saved"),
          api.get("running"),
        ]);
        dispatch({ type: "server", server });
        dispatch({ type: "newest", missed: get().missed, ...newest });
        if (run) dispatch({ type: "saved", saved: run });
        dispatch({ type: "running", running });
        dispatch({ type: "phase", phase: "live" });
        wasLive = true;
        delay = 300;
        stream = new AbortController();
        await api.events(get().held[0]?.seq ?? 0, receive, stream.signal);
        if (mine === connections && get().phase === "live")
          dispatch({ type: "phase", phase: "interrupted", problem: "the connection ended" });
      } catch (error) {
        if (mine !== connections) return;
        if (error instanceof ApiError && error.status === 401 && !wasLive) {
          dispatch({
            type: "phase",
            phase: "signed out",
            problem: api.token ? "This token is not the server's. It prints its own at each start." : null,
          });
          return;
        }
        const problem = error instanceof ApiError ? error.message : "it does not answer";
        if (get().phase !== "over") dispatch({ type: "phase", phase: "interrupted", problem });
      }
      await new Promise((done) => setTimeout(done, delay));
      delay = Math.min(5000, delay * 2);
    }
  }

  /** @param {string} type @param {any} data */
  function receive(type, data) {
    switch (type) {
      case "exchanges":
        return dispatch({ type, exchanges: data });
      case "gap":
        return dispatch({ type, n: data.n });
      case "running":
        return dispatch({ type, running: data });
      case "handler":
        return dispatch({ type, handler: data });
      case "saved":
        return dispatch({ type, saved: data });
      case "kept":
        return dispatch({ type: "changed", summary: data });
      case "lost":
        return dispatch({ type, n: data.n });
      case "paused":
        return dispatch({ type, paused: data.paused });
      case "cleared":
        return empty();
      case "bye":
        return dispatch({ type: "phase", phase: "over" });
    }
  }

  /** Shows what is left after everything else was removed. */
  const empty = () =>
    supply("empty", async () => {
      dispatch({ type: "cleared" });
      dispatch({ type: "newest", missed: get().missed, ...(await page()) });
      if (get().query.trim()) find(get().query);
      await refresh();
    });

  const refresh = () => supply("state", async () => dispatch({ type: "server", server: await api.get("state") }));

  let lastNewest = 0;
  /** Fetches what the state lacks. Called after each change. */
  function provide() {
    const state = get();
    if (state.phase === "unknown" || state.phase === "signed out") return;
    const { selected, editor } = state;
    for (const seq of [selected, editor?.result ?? null]) {
      if (seq === null || state.details.get(seq) || state.failed.get(seq)) continue;
      supply(
        `detail ${seq}`,
        async () => dispatch({ type: "detail", seq, detail: await api.get(`exchanges/${seq}`) }),
        (problem) => dispatch({ type: "no detail", seq, problem }),
      );
    }
    const detail = selected === null ? undefined : state.details.get(selected);
    if (detail && !editor && (state.tab === "Request" || state.tab === "Response"))
      provideDecoded(detail, state.tab === "Request" ? "request" : "response");
    if (detail && !editor && state.tab === "Diff") {
      const other = counterpart(state, detail.summary);
      if (other !== null) provideComparison(Math.min(other, detail.summary.seq), Math.max(other, detail.summary.seq));
    }
    if (editor?.result) provideComparison(editor.seq, editor.result);
    const list = rows(state);
    const isAtEnd = list.length * ROW - state.top - state.height < 30 * ROW;
    if (isAtEnd && olderThan(state) !== null && list.length < HELD_MAX) older();
    const isFollowing = state.top < ROW && !state.found;
    if (state.missed > 0 && isFollowing && Date.now() - lastNewest > REFRESH) newest();
    if (state.isStale && Date.now() - lastNewest > REFRESH) {
      lastNewest = Date.now();
      find(state.query, true);
    }
  }

  function newest() {
    lastNewest = Date.now();
    supply("newest", async () => {
      const { missed } = get();
      dispatch({ type: "newest", missed, ...(await page()) });
    });
  }

  function older() {
    const { query, found } = get();
    supply("older", async () => {
      const before = olderThan(get());
      if (before === null) return;
      const more = await page(found ? query : "", before);
      // Unless the list has another end in the meantime.
      if (olderThan(get()) !== before) return;
      dispatch(found ? { type: "found", query, isMore: true, ...more } : { type: "older", ...more });
    });
  }

  /** @param {string} query @param {boolean} [isAgain] */
  const find = (query, isAgain = false) =>
    supply(
      `find ${query}`,
      async () => dispatch({ type: "found", query, isAgain, ...(await page(query)) }),
      (problem) => {
        dispatch({ type: "not found", query, problem });
      },
    );

  /** @param {import("./types.js").Detail} detail @param {"request" | "response"} name */
  function provideDecoded(detail, name) {
    const path = `${detail.summary.seq}/${name}/body`;
    const state = get();
    const coding = (body.value(detail[name].fields, "content-encoding") ?? "").trim().toLowerCase();
    if (!coding || coding === "identity" || state.decoded.get(path) || !detail[name].bodyLength) return;
    supply(`decode ${path}`, async () =>
      dispatch({
        type: "decoded",
        path,
        decoded: await decode(state.bytes.get(path) ?? fromBase64(detail[name].body), coding),
      }),
    );
  }

  /** @param {number} a @param {number} b */
  function provideComparison(a, b) {
    const { comparison } = get();
    if (comparison?.a === a && comparison?.b === b && (comparison.result || comparison.problem)) return;
    supply(
      `compare ${a} ${b}`,
      async () =>
        dispatch({
          type: "comparison",
          comparison: { a, b, result: await api.get(`compare?a=${a}&b=${b}`), problem: null },
        }),
      (problem) => dispatch({ type: "comparison", comparison: { a, b, result: null, problem } }),
    );
  }

  /** All bytes of `SEQ/side/what`. @param {string} path */
  async function whole(path) {
    return get().bytes.get(path) ?? (await api.bytes(`exchanges/${path}`));
  }

  /** Gives the user a file. @param {string} name @param {BlobPart} content */
  function save(name, content) {
    const url = URL.createObjectURL(new Blob([content], { type: "application/octet-stream" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  /** @param {string} text @param {string} what */
  const copy = (text, what) =>
    attempt(async () => {
      if (!navigator.clipboard) throw new Error("the browser allows copying only with https, or from this machine");
      await navigator.clipboard.writeText(text);
      notice(`Copied ${what}.`);
    });

  /** What a replay is asked for if it is to keep the pauses of the client. */
  const paced = () => (get().isPaced ? { pace: "recorded" } : {});

  const act = {
    provide,
    notice,
    copy,

    start() {
      // The token is in the fragment, which no server sees, and leaves the address at once.
      const key = new URLSearchParams(location.hash.slice(1)).get("k");
      if (key) {
        sessionStorage.setItem(TOKEN, key);
        history.replaceState(null, "", location.pathname);
      }
      api = new Api(sessionStorage.getItem(TOKEN) ?? "");
      if (!api.token) return dispatch({ type: "phase", phase: "signed out" });
      clearInterval(timer);
      timer = setInterval(() => {
        if (get().phase === "live" && document.visibilityState === "visible") refresh();
        provide();
      }, STATE_INTERVAL);
      connect();
    },
    signIn(/** @type {string} */ token) {
      sessionStorage.setItem(TOKEN, token.replace(/^.*#?k=/, ""));
      act.start();
    },

    // The list.
    sized(/** @type {HTMLElement} */ grid) {
      new ResizeObserver(() =>
        dispatch({ type: "scrolled", top: grid.scrollTop, height: grid.clientHeight - ROW }),
      ).observe(grid);
    },
    scrolled(/** @type {any} */ event) {
      const grid = event.currentTarget;
      dispatch({ type: "scrolled", top: grid.scrollTop, height: grid.clientHeight - ROW });
    },
    toTop: () => dispatch({ type: "to top" }),
    newest,
    search(/** @type {string} */ query) {
      dispatch({ type: "query", query });
      if (!query.trim()) return;
      setTimeout(() => {
        if (get().query === query) find(query);
      }, 120);
    },
    choose(/** @type {number} */ seq, /** @type {string | undefined} */ tab = undefined) {
      const { comparing } = get();
      if (comparing !== null && comparing !== seq)
        return act.compareAndShow(Math.min(comparing, seq), Math.max(comparing, seq));
      dispatch({ type: "select", seq, tab });
    },
    /** Goes through the list. */
    step(/** @type {number} */ by) {
      const list = rows(get());
      if (!list.length) return;
      const at = indexOf(list, get().selected);
      // What is selected may have left the list.
      const from = at < 0 ? (by > 0 ? -1 : list.length) : at;
      const next = Math.max(0, Math.min(list.length - 1, from + by));
      dispatch({ type: "select", seq: list[next].seq });
    },
    enter() {
      const { comparing, selected } = get();
      if (comparing !== null && selected !== null && comparing !== selected)
        return act.compareAndShow(Math.min(comparing, selected), Math.max(comparing, selected));
      if (selected === null) act.step(1);
      requestAnimationFrame(() => element("pane")?.focus());
    },
    leave() {
      if (matchMedia("(max-width: 860px)").matches) dispatch({ type: "select", seq: null });
      // At once, so that the next key is the list's; later only if it is hidden until the next frame.
      element("list")?.focus();
      if (document.activeElement?.id !== "list") requestAnimationFrame(() => element("list")?.focus());
    },
    deselect: () => dispatch({ type: "select", seq: null }),

    // The exchange.
    tab: (/** @type {string} */ tab) => dispatch({ type: "tab", tab }),
    tabKey(/** @type {KeyboardEvent} */ event) {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      const tab = TABS[(TABS.indexOf(get().tab) + by + TABS.length) % TABS.length];
      dispatch({ type: "tab", tab });
      requestAnimationFrame(() => element(`tab-${tab}`)?.focus());
    },
    view: (/** @type {string} */ name, /** @type {any} */ value) => dispatch({ type: "view", name, value }),
    load: (/** @type {string} */ path) =>
      attempt(async () => dispatch({ type: "bytes", path, bytes: await api.bytes(`exchanges/${path}`) })),
    download: (/** @type {string} */ path) =>
      attempt(async () => {
        const [seq, side, what] = path.split("/");
        const id = summaryOf(get(), Number(seq))?.id ?? seq;
        save(`${id}.${what === "wire" ? side : `${side}.body`}`, await whole(path));
      }),
    copyBody: (/** @type {string} */ path) =>
      attempt(async () => {
        const text = utf8(await whole(path));
        if (text === null) throw new Error("the body is no text in UTF-8: download it instead");
        await copy(text, "the body");
      }),
    /** The address of an image, which lives as long as it is the last one. */
    imageUrl(/** @type {string} */ path, /** @type {Uint8Array<ArrayBuffer>} */ bytes) {
      const name = `${path} ${bytes.length}`;
      if (image?.path !== name) {
        if (image) URL.revokeObjectURL(image.url);
        image = {
          path: name,
          url: URL.createObjectURL(new Blob([bytes], { type: imageType(bytes) ?? "application/octet-stream" })),
        };
      }
      return image.url;
    },
    plain(/** @type {string} */ binary) {
      const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
      return isText(bytes) ? visible(new TextDecoder().decode(bytes)) : `${bytes.length} bytes that are no text`;
    },

    replay: (/** @type {number} */ seq, exact = false) =>
      attempt(async () => {
        const made = await api.post(`exchanges/${seq}/replay`, { ...(exact ? { exact } : {}), ...paced() });
        dispatch({ type: "select", seq: made.seq, tab: "Diff" });
      }),
    pace: (/** @type {boolean} */ isPaced) => dispatch({ type: "pace", isPaced }),
    edit: (/** @type {number} */ seq) =>
      attempt(async () => {
        const { isAllowed, why } = get().server?.replay ?? { isAllowed: true };
        if (!isAllowed) throw new Error(why ?? "nothing can be replayed");
        if (get().editor) return dispatch({ type: "editor", editor: null });
        const detail = get().details.get(seq) ?? (await api.get(`exchanges/${seq}`));
        const [wire, content] = await Promise.all([whole(`${seq}/request/wire`), whole(`${seq}/request/body`)]);
        dispatch({ type: "select", seq });
        dispatch({
          type: "editor",
          editor: draft(
            seq,
            wire,
            detail.record.request.head,
            content,
            detail.request.trailers,
            detail.summary.protocol === "HTTP/2",
          ),
        });
        requestAnimationFrame(() => (element("edit-head") ?? element("edit-all"))?.focus());
      }),
    /** A change of what is edited, unless it is closed already. */
    draft: (/** @type {any} */ editor) => get().editor?.seq === editor.seq && dispatch({ type: "editor", editor }),
    closeEditor() {
      dispatch({ type: "editor", editor: null });
      act.leave();
    },
    async sendDraft() {
      const { editor } = get();
      if (!editor || editor.isSending) return;
      const bytes = bytesOf(editor);
      if (typeof bytes === "string") return dispatch({ type: "editor", editor: { ...editor, problem: bytes } });
      dispatch({ type: "editor", editor: { ...editor, isSending: true, problem: null } });
      const now = () => get().editor ?? editor;
      try {
        const made = await api.post(
          `exchanges/${editor.seq}/replay`,
          bytes === editor.wire ? paced() : { bytes: toBase64(bytes) },
        );
        dispatch({ type: "editor", editor: { ...now(), isSending: false, result: made.seq } });
      } catch (error) {
        dispatch({
          type: "editor",
          editor: { ...now(), isSending: false, problem: error instanceof Error ? error.message : String(error) },
        });
      }
    },
    keep: (/** @type {number} */ seq) =>
      attempt(async () => {
        const isKept = summaryOf(get(), seq)?.kept !== null;
        const summary = await api.post(`exchanges/${seq}/keep`, { note: isKept ? null : "" });
        dispatch({ type: "changed", summary });
        notice(isKept ? `[${summary.id}] is not kept any longer.` : `[${summary.id}] is kept.`);
      }),
    note: (/** @type {number} */ seq, /** @type {string} */ note) =>
      attempt(async () => dispatch({ type: "changed", summary: await api.post(`exchanges/${seq}/keep`, { note }) })),

    // Comparing.
    startComparing: (/** @type {number} */ seq) =>
      dispatch({ type: "comparing", seq: get().comparing === seq ? null : seq }),
    cancelComparing: () => dispatch({ type: "comparing", seq: null }),
    compareWith(/** @type {number} */ seq) {
      const { selected } = get();
      if (selected === null || selected === seq) return act.choose(seq);
      act.compareAndShow(Math.min(selected, seq), Math.max(selected, seq));
    },
    compare(/** @type {number} */ a, /** @type {number} */ b) {
      dispatch({ type: "comparison", comparison: { a, b, result: null, problem: null } });
    },
    compareAndShow(/** @type {number} */ a, /** @type {number} */ b) {
      act.compare(a, b);
      dispatch({ type: "select", seq: b, tab: "Diff" });
    },

    // Exports.
    openExport(/** @type {number} */ seq) {
      act.exportAs(seq, get().exporting?.format ?? FORMATS[0][0], false);
      act.dialog("export");
    },
    async exportAs(/** @type {number} */ seq, /** @type {string} */ format, /** @type {boolean} */ withSecrets) {
      const begun = {
        seq,
        format,
        withSecrets,
        preview: null,
        bytes: null,
        replaced: null,
        beside: [],
        name: `${seq}.${format}`,
        problem: null,
      };
      dispatch({ type: "exporting", exporting: begun });
      const isWanted = () =>
        get().exporting?.seq === seq &&
        get().exporting?.format === format &&
        get().exporting?.withSecrets === withSecrets;
      try {
        const response = await api.send(`exchanges/${seq}/export/${format}?secrets=${withSecrets ? 1 : 0}`);
        const bytes = new Uint8Array(await response.arrayBuffer());
        const replaced = listOf(response, "Wasmserve-Replaced");
        const name = /filename="([^"/\\]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? begun.name;
        const start = bytes.subarray(0, 32 << 10);
        const preview = isText(start)
          ? visible(new TextDecoder().decode(start)) + (bytes.length > start.length ? "\n…" : "")
          : start;
        if (isWanted())
          dispatch({
            type: "exporting",
            exporting: { ...begun, bytes, preview, replaced, beside: listOf(response, "Wasmserve-Beside"), name },
          });
      } catch (error) {
        if (isWanted())
          dispatch({
            type: "exporting",
            exporting: { ...begun, problem: error instanceof Error ? error.message : String(error) },
          });
      }
    },
    /** A file that belongs beside the export. */
    downloadBeside: (/** @type {string} */ name) =>
      attempt(async () => {
        const { exporting } = get();
        if (!exporting) return;
        const query = new URLSearchParams({ secrets: exporting.withSecrets ? "1" : "0", file: name });
        save(name, await api.bytes(`exchanges/${exporting.seq}/export/${exporting.format}?${query}`));
      }),
    copyExport() {
      const bytes = get().exporting?.bytes;
      if (bytes) copy(new TextDecoder().decode(bytes), "the export");
    },
    exportAll: () =>
      attempt(async () =>
        save("exchanges.har", await api.bytes(`export/har?${new URLSearchParams({ q: get().query })}`)),
      ),
    downloadExport() {
      const { bytes, name } = get().exporting ?? { bytes: null, name: "" };
      if (bytes) save(name, bytes);
    },

    // What runs, and the server.
    showStack: (/** @type {number} */ id) =>
      attempt(async () => dispatch({ type: "stack", id, stack: await api.post(`running/${id}/stack`) })),
    hideStack: (/** @type {number} */ id) => dispatch({ type: "no stack", id }),
    end: (/** @type {number} */ id) =>
      attempt(async () => {
        await api.post(`running/${id}/end`);
        notice(`[${id}] is being ended.`);
      }),
    hideSaved: () => dispatch({ type: "hide saved" }),
    pause: () =>
      attempt(async () => {
        await api.post("pause", { paused: !get().server?.paused });
        await refresh();
      }),
    clear: () =>
      attempt(async () => {
        await api.post("clear");
        act.dialog(null);
        await empty();
      }),
    setBin: (/** @type {any} */ bin) =>
      attempt(async () => {
        await api.post("bin", bin, "PUT");
        await refresh();
        act.dialog(null);
        notice("The next requests get this answer.");
      }),

    // The page.
    dialog(/** @type {State["dialog"]} */ dialog) {
      if (dialog && !get().dialog) focused = document.activeElement;
      dispatch({ type: "dialog", dialog });
      if (!dialog && focused instanceof HTMLElement) {
        const target = focused;
        requestAnimationFrame(() => target.isConnected && target.focus());
      }
    },
    theme() {
      const { theme } = get();
      act.setTheme(theme === "" ? "dark" : theme === "dark" ? "light" : "");
    },
    setTheme(/** @type {State["theme"]} */ theme) {
      localStorage.setItem("theme", theme);
      document.documentElement.dataset.theme = theme;
      dispatch({ type: "theme", theme });
    },
    split(/** @type {number} */ split) {
      dispatch({ type: "split", split });
      localStorage.setItem("split", String(get().split));
    },
  };
  return act;
}
