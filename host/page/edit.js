// A request as text that can be edited, and back to bytes.

import { fromHexPairs, fromLatin1, fromText, hexPairs, isText, join, latin1, utf8 } from "./bytes.js";

/**
 * @typedef {object} Draft A request that is edited.
 * @property {number} seq The original.
 * @property {"text" | "hex"} mode Head and body as text, or all bytes as hexadecimal.
 * @property {string} head Lines without line ends.
 * @property {string} body Text, or hexadecimal.
 * @property {string} all All bytes as hexadecimal, in that mode.
 * @property {boolean} isBodyHex
 * @property {boolean} isLengthKept Whether Content-Length stays as it is in the head, and does not follow the body.
 * @property {"utf-8" | "latin-1"} charset Of the head.
 * @property {string} lineEnd Of the head.
 * @property {boolean} isMixed Whether the head had both kinds of line ends.
 * @property {boolean} isCrlf Whether the lines of the body end in CRLF.
 * @property {Uint8Array} wire The original's bytes.
 * @property {string} initial The first values, to know whether something was changed.
 * @property {string[]} trailers
 * @property {boolean} isHttp2 Whether it came over HTTP/2, where trailers follow by themselves.
 * @property {number | null} result The seq of the last exchange that was made of it.
 * @property {boolean} isSending
 * @property {string | null} problem
 */

/** @param {Draft} draft */
const values = ({ mode, head, body, all, isLengthKept }) => JSON.stringify([mode, head, body, all, isLengthKept]);

/**
 * @param {number} seq
 * @param {Uint8Array} wire All bytes of the request. Those of HTTP/2 are edited without the trailers.
 * @param {number} headLength
 * @param {Uint8Array} body Without framing.
 * @param {[string, string][]} trailers
 * @param {boolean} isHttp2
 * @returns {Draft}
 */
export function draft(seq, wire, headLength, body, trailers, isHttp2 = false) {
  if (isHttp2) wire = wire.subarray(0, headLength + body.length);
  const headBytes = wire.subarray(0, headLength);
  const utf8Head = utf8(headBytes);
  const head = utf8Head ?? latin1(headBytes);
  const crlf = head.match(/\r\n/g)?.length ?? 0;
  const lf = head.match(/\n/g)?.length ?? 0;
  const bodyText = isText(body) ? utf8(body) : null;
  const bodyCrlf = bodyText?.match(/\r\n/g)?.length ?? 0;
  const bodyEnds = bodyText?.match(/\r|\n/g)?.length ?? 0;
  // What an element for text would change is edited as hexadecimal.
  const isBodyHex = bodyText === null || (bodyCrlf > 0 ? bodyEnds !== 2 * bodyCrlf : bodyText.includes("\r"));
  /** @type {Draft} */
  const made = {
    seq,
    mode: /[^\t\r\n\x20-\x7e\x80-\uffff]/.test(head) || /\r(?!\n)/.test(head) ? "hex" : "text",
    head: head.replace(/\r\n/g, "\n").replace(/\n+$/, ""),
    body: isBodyHex ? hexPairs(body) : (bodyText ?? "").replace(/\r\n/g, "\n"),
    all: hexPairs(wire),
    isBodyHex,
    isLengthKept: false,
    charset: utf8Head === null ? "latin-1" : "utf-8",
    lineEnd: crlf === 0 && lf > 0 ? "\n" : "\r\n",
    isMixed: crlf > 0 && crlf < lf,
    isCrlf: bodyCrlf > 0,
    wire,
    initial: "",
    trailers: trailers.map(([name, value]) => `${name}: ${value}`),
    isHttp2,
    result: null,
    isSending: false,
    problem: null,
  };
  made.initial = values(made);
  return made;
}

/** Whether it is not what was captured any more. @param {Draft} draft */
export const isChanged = (draft) => values(draft) !== draft.initial;

/**
 * The bytes to send: those that were captured, unless something was changed.
 *
 * @param {Draft} draft
 * @returns {Uint8Array | string} Or what is wrong.
 */
export function bytesOf(draft) {
  if (!isChanged(draft)) return draft.wire;
  if (draft.mode === "hex") return fromHexPairs(draft.all);
  const body = draft.isBodyHex
    ? fromHexPairs(draft.body)
    : fromText(draft.isCrlf ? draft.body.replace(/\n/g, "\r\n") : draft.body);
  if (typeof body === "string") return `body: ${body}`;
  let lines = draft.head.replace(/\n+$/, "").split("\n");
  let framed = /** @type {Uint8Array} */ (body);
  if (!draft.isLengthKept) {
    const isChunked = !draft.isHttp2 && lines.some((line) => /^transfer-encoding\s*:.*chunked\s*$/i.test(line));
    if (isChunked) {
      const size = body.length ? [fromText(`${body.length.toString(16)}\r\n`), body, fromText("\r\n")] : [];
      framed = join(...size, fromText(`0\r\n${draft.trailers.map((line) => `${line}\r\n`).join("")}\r\n`));
    } else {
      lines = withLength(lines, body.length, !draft.isHttp2);
    }
  }
  const text = `${lines.join(draft.lineEnd)}${draft.lineEnd}${draft.lineEnd}`;
  const head = draft.charset === "utf-8" ? fromText(text) : fromLatin1(text);
  if (!head)
    return "the head was not UTF-8, so it is edited as Latin-1, which lacks a character that you have entered: edit all bytes as hexadecimal";
  return join(head, framed);
}

/** @param {string[]} lines @param {number} length @param {boolean} isNeeded Whether the body has no end without it. */
function withLength(lines, length, isNeeded) {
  const at = lines.findIndex((line) => /^content-length\s*:/i.test(line));
  if (at >= 0) return lines.with(at, lines[at].replace(/:.*/, `: ${length}`));
  return length && isNeeded ? [...lines, `Content-Length: ${length}`] : lines;
}
