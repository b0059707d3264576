// What a body is, and how it can be shown.

import { latin1, utf8 } from "./bytes.js";

/** @typedef {[string, string][]} Fields */

/** The first value of a field. @param {Fields} fields @param {string} name */
export const value = (fields, name) => fields.find(([known]) => known.toLowerCase() === name)?.[1] ?? null;

/** The media type, without parameters. @param {Fields} fields */
export const mediaType = (fields) => (value(fields, "content-type") ?? "").split(";")[0].trim().toLowerCase();

/** @param {Fields} fields @param {string} name */
export function parameter(fields, name) {
  const pattern = new RegExp(`;\\s*${name}\\s*=\\s*(?:"([^"]*)"|([^;\\s]*))`, "i");
  const found = pattern.exec(value(fields, "content-type") ?? "");
  return found?.[1] ?? found?.[2] ?? null;
}

/**
 * How the body is best shown.
 *
 * @param {Fields} fields
 * @param {Uint8Array} bytes
 * @returns {"json" | "form" | "multipart" | null} `null`: as text or bytes.
 */
export function kind(fields, bytes) {
  const type = mediaType(fields);
  if (type === "application/json" || type.endsWith("+json")) return "json";
  if (type === "application/x-www-form-urlencoded") return "form";
  if (type.startsWith("multipart/") && parameter(fields, "boundary")) return "multipart";
  // Services that send JSON with another type are common.
  const first = latin1(bytes.subarray(0, 64)).trimStart()[0];
  if ((first === "{" || first === "[") && !type.startsWith("text/html")) return "json";
  return null;
}

/** The text of a body in the charset that the fields name. @param {Fields} fields @param {Uint8Array} bytes */
export function text(fields, bytes) {
  const charset = parameter(fields, "charset");
  if (charset) {
    try {
      return new TextDecoder(charset, { ignoreBOM: true }).decode(bytes);
    } catch {
      // An unknown charset.
    }
  }
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** The names and values of a form, in order. @param {Uint8Array} bytes @returns {Fields} */
export const form = (bytes) => [...new URLSearchParams(latin1(bytes)).entries()];

/**
 * @typedef {object} Part
 * @property {Fields} fields
 * @property {Uint8Array} body
 * @property {number} at The offset of its first byte in the body.
 */

/**
 * The parts of a multipart body (RFC 2046 section 5.1).
 *
 * @param {Uint8Array} bytes
 * @param {string} boundary
 * @returns {{parts: Part[], isWhole: boolean}}
 */
export function multipart(bytes, boundary) {
  const all = latin1(bytes);
  const mark = `--${boundary}`;
  const parts = [];
  let at = all.startsWith(mark) ? 0 : all.indexOf(`\r\n${mark}`);
  if (at > 0) at += 2;
  while (at >= 0 && parts.length < 100) {
    at += mark.length;
    if (all.startsWith("--", at)) return { parts, isWhole: true };
    const start = all.indexOf("\r\n", at);
    if (start < 0) break;
    const next = all.indexOf(`\r\n${mark}`, start);
    const end = next < 0 ? all.length : next;
    const split = all.startsWith("\r\n\r\n", start) ? start : all.indexOf("\r\n\r\n", start);
    if (split < 0 || split > end) break;
    const head = all.slice(start + 2, Math.max(split, start + 2));
    const fields = head
      .split("\r\n")
      .filter(Boolean)
      .map((line) => {
        const colon = line.indexOf(":");
        return /** @type {[string, string]} */ ([line.slice(0, colon), line.slice(colon + 1).trim()]);
      });
    parts.push({ fields, body: bytes.subarray(split + 4, end), at: split + 4 });
    at = next < 0 ? -1 : next + 2;
  }
  return { parts, isWhole: false };
}

/** A value of a part's Content-Disposition. @param {Part} part @param {string} name */
export function disposition(part, name) {
  const found = new RegExp(`;\\s*${name}="((?:[^"\\\\]|\\\\.)*)"`, "i").exec(
    value(part.fields, "content-disposition") ?? "",
  );
  if (!found) return null;
  const bytes = Uint8Array.from(found[1], (char) => char.charCodeAt(0));
  return utf8(bytes) ?? found[1];
}
