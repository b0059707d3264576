// Both directions in time, byte for byte: each read and each write.

import { fromBase64, hexLines, wireText } from "../bytes.js";
import { h } from "../dom.js";
import { button, choice, empty } from "../parts.js";
import { count, duration, size } from "../text.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../types.js").Detail} Detail */

/** Pieces that are shown until the reader asks for more. */
const PIECES = 60;
/** What is shown of one piece. */
const PIECE_MAX = 24 << 10;

/**
 * @typedef {object} Piece
 * @property {"in" | "out"} direction
 * @property {number} at
 * @property {number} length
 * @property {number} from The offset in its direction.
 * @property {Uint8Array} bytes What is there of it.
 */

/** @param {State} state @param {Detail} detail @returns {Piece[]} */
function piecesOf(state, detail) {
  /** @type {Piece[]} */
  const pieces = [];
  for (const [name, direction] of /** @type {const} */ ([
    ["request", "in"],
    ["response", "out"],
  ])) {
    const side = detail.record[name];
    const all = state.bytes.get(`${detail.summary.seq}/${name}/wire`) ?? fromBase64(detail[name].wire);
    let from = 0;
    for (const [at, length] of side.turns) {
      pieces.push({ direction, at, length, from, bytes: all.subarray(from, from + length) });
      from += length;
    }
    // What came after the turns that are recorded one by one.
    if (side.total > from && all.length > from) {
      const at = pieces.findLast((piece) => piece.direction === direction)?.at ?? 0;
      pieces.push({ direction, at, length: side.total - from, from, bytes: all.subarray(from) });
    }
  }
  // A request before the response that it caused, if both were at the same moment.
  return pieces.sort(
    (a, b) => a.at - b.at || (a.direction === b.direction ? a.from - b.from : a.direction === "in" ? -1 : 1),
  );
}

/** @param {State} state @param {Detail} detail @param {any} act */
export function wire(state, detail, act) {
  const { seq, protocol } = detail.summary;
  const pieces = piecesOf(state, detail);
  if (!pieces.length) return empty("No bytes");
  const view = state.views.get("wire") ?? "text";
  const limit = state.views.get(`pieces ${seq}`) ?? PIECES;
  const missing = /** @type {const} */ (["request", "response"]).filter(
    (name) => !state.bytes.get(`${seq}/${name}/wire`) && detail[name].wireLength > 64 << 10,
  );
  return [
    h(
      "div",
      { key: "tools", class: "tools" },
      choice(
        "Show bytes as",
        [
          ["text", "Text"],
          ["hex", "Hex"],
        ],
        view,
        (value) => act.view("wire", value),
      ),
      missing.map((name) =>
        button({ label: `Load all of the ${name}`, title: size(detail[name].wireLength) }, () =>
          act.load(`${seq}/${name}/wire`),
        ),
      ),
      h("span", { class: "spring" }),
      button({ label: "Request", icon: "down", title: "Download the request's bytes" }, () =>
        act.download(`${seq}/request/wire`),
      ),
      button({ label: "Response", icon: "down", title: "Download the response's bytes" }, () =>
        act.download(`${seq}/response/wire`),
      ),
    ),
    protocol === "HTTP/2" &&
      h(
        "p",
        { key: "http2", class: "remark" },
        "HTTP/2: heads and trailers are shown as HTTP/1 would have them, and data without frames.",
      ),
    h(
      "ol",
      { key: "pieces", class: "pieces" },
      pieces.slice(0, limit).map((piece) => {
        const shown = piece.bytes.subarray(0, PIECE_MAX);
        const rest = piece.length - shown.length;
        const label = piece.direction === "in" ? "from the client" : "to the client";
        return h(
          "li",
          { class: `piece ${piece.direction}` },
          h(
            "p",
            { class: "piece-head" },
            h("b", null, piece.direction === "in" ? "←" : "→", " ", label),
            h("span", null, `+${duration(piece.at)}`),
            h("span", null, count(piece.length, "byte")),
            h("span", null, `at ${piece.from}`),
          ),
          shown.length > 0 && bytesOf(shown, piece.from, view),
          rest > 0 &&
            h(
              "p",
              { class: "remark" },
              `${count(rest, "byte")} ${piece.bytes.length > shown.length ? "more in the download" : "not loaded or not kept"}`,
            ),
        );
      }),
    ),
    pieces.length > limit &&
      button({ label: `Show more of ${count(pieces.length, "piece")}` }, () => act.view(`pieces ${seq}`, limit * 4)),
  ];
}

/** @param {Uint8Array} bytes @param {number} from @param {string} view */
function bytesOf(bytes, from, view) {
  const { text, spans } = view === "hex" ? { text: hexLines(bytes, from), spans: null } : wireText(bytes);
  return h(
    "pre",
    {
      class: `text ${view === "hex" ? "hex" : ""}`,
      tabindex: view === "hex" ? "0" : undefined,
      is: { painted: spans },
    },
    text,
  );
}
