// Bytes: base64, decoding, hexadecimal, and what the first ones say about the rest.

import { visible } from "./text.js";

/** @param {string} base64 @returns {Uint8Array<ArrayBuffer>} */
export function fromBase64(base64) {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** @param {Uint8Array} bytes */
export function toBase64(bytes) {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 0x8000) binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(binary);
}

/** @param {Uint8Array[]} parts @returns {Uint8Array<ArrayBuffer>} */
export function join(...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export const fromText = (/** @type {string} */ text) => new TextEncoder().encode(text);

/** The text in UTF-8, or `null` if it is something else. @param {Uint8Array} bytes */
export function utf8(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** Each byte as the character of its number. @param {Uint8Array} bytes */
export function latin1(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return text;
}

/** The bytes of text as `latin1` gives it, or `null` if a character is none of them. @param {string} text */
export function fromLatin1(text) {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 0xff) return null;
    bytes[at] = code;
  }
  return bytes;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/**
 * Bytes as lines of 16: the offset, the bytes, and the characters.
 *
 * @param {Uint8Array} bytes
 * @param {number} [from] The offset of the first byte.
 */
export function hexLines(bytes, from = 0) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16);
    let hex = "";
    let chars = "";
    for (let column = 0; column < 16; column++) {
      if (column === 8) hex += " ";
      hex += column < row.length ? `${HEX[row[column]]} ` : "   ";
      if (column < row.length)
        chars += row[column] >= 0x20 && row[column] < 0x7f ? String.fromCharCode(row[column]) : "·";
    }
    lines.push(`${(from + at).toString(16).padStart(6, "0")}  ${hex} ${chars}`);
  }
  return lines.join("\n");
}

/** Bytes as pairs of digits, 16 in a line, to be edited. @param {Uint8Array} bytes */
export function hexPairs(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16)
    lines.push(Array.from(bytes.subarray(at, at + 16), (byte) => HEX[byte]).join(" "));
  return lines.join("\n");
}

/** @param {string} text @returns {Uint8Array<ArrayBuffer> | string} The bytes, or what is wrong. */
export function fromHexPairs(text) {
  const digits = text.replace(/\s+/g, "");
  const wrong = digits.search(/[^0-9a-f]/i);
  if (wrong >= 0) return `"${visible(digits[wrong])}" is no hexadecimal digit`;
  if (digits.length % 2) return "the last byte has only one digit";
  return Uint8Array.from({ length: digits.length / 2 }, (_, at) => parseInt(digits.slice(2 * at, 2 * at + 2), 16));
}

/**
 * Bytes of the wire as text in which each is visible: line ends are shown, and break the line.
 *
 * @param {Uint8Array} bytes
 * @returns {{text: string, spans: {kind: string, from: number, to: number}[]}} With the places of the line ends.
 */
export function wireText(bytes) {
  let text = "";
  const spans = [];
  const decoded = utf8(bytes) ?? latin1(bytes);
  const isText = utf8(bytes) !== null;
  for (const char of decoded) {
    if (char === "\n") {
      text += "\\n\n";
      const from = text.endsWith("\\r\\n\n") ? 5 : 3;
      spans.push({ kind: "end", from: text.length - from, to: text.length - 1 });
    } else if (char === "\r") text += "\\r";
    else if (char === "\t") text += "\\t";
    else if (!isText && char >= "\x80") text += `\\x${HEX[char.charCodeAt(0)]}`;
    else text += visible(char);
  }
  return { text, spans };
}

/** Images that are shown: by their first bytes, and never one that can contain a script. */
const IMAGES = /** @type {[string, number[], number?][]} */ ([
  ["image/png", [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]],
  ["image/jpeg", [0xff, 0xd8, 0xff]],
  ["image/gif", [0x47, 0x49, 0x46, 0x38]],
  ["image/webp", [0x57, 0x45, 0x42, 0x50], 8],
  ["image/avif", [0x66, 0x74, 0x79, 0x70, 0x61, 0x76, 0x69, 0x66], 4],
]);

/** The media type of an image that can be shown, or `null`. @param {Uint8Array} bytes */
export const imageType = (bytes) =>
  IMAGES.find(([, magic, at = 0]) => magic.every((byte, index) => bytes[at + index] === byte))?.[0] ?? null;

/** Whether bytes are likely to be text. @param {Uint8Array} bytes */
export function isText(bytes) {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, 4096), { stream: true });
  const odd = text.match(/[\0-\x08\x0e-\x1a\x1c-\x1f\ufffd]/g)?.length ?? 0;
  return odd <= text.length / 50;
}

/** What is decompressed at most. */
const INFLATED_MAX = 4 << 20;

/**
 * Decodes a content coding.
 *
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {string} coding
 * @returns {Promise<{bytes: Uint8Array<ArrayBuffer>, problem: string | null}>} What could be decoded, and why that is not all.
 */
export async function decode(bytes, coding) {
  const format = /** @type {any} */ ({
    gzip: "gzip",
    "x-gzip": "gzip",
    deflate: "deflate",
    br: "brotli",
    zstd: "zstd",
  })[coding];
  const parts = [];
  let length = 0;
  let problem = null;
  try {
    const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format)).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      length += value.length;
      if (length > INFLATED_MAX) {
        problem = "only the first 4 MiB are decoded";
        await reader.cancel();
        break;
      }
    }
  } catch (error) {
    problem =
      error instanceof TypeError && !length
        ? `it is not ${coding}, or this browser cannot decode it`
        : `the ${coding} data is incomplete or damaged`;
  }
  return { bytes: join(...parts), problem };
}
