// A request or a response: its line, its fields in order, its body, its trailers.

import * as body from "../body.js";
import { fromBase64, hexLines, imageType, isText, latin1 } from "../bytes.js";
import { h } from "../dom.js";
import { layOut } from "../json.js";
import { button, choice, empty, escaped, pairs, section, textBox } from "../parts.js";
import { count, size } from "../text.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../types.js").Detail} Detail */
/** @typedef {import("../types.js").Side} Side */

/** How much of a body is shown as hexadecimal. */
const HEX_MAX = 32 << 10;

/** @param {State} state @param {Detail} detail @param {"request" | "response"} name @param {any} act */
export function message(state, detail, name, act) {
  const side = detail[name];
  const ending = endingOf(detail, name);
  if (!side.line && !side.fields.length && !side.wireLength) {
    return empty(name === "request" ? "Nothing arrived" : "No response was sent", h("p", null, ending));
  }
  const offsets = offsetsOf(side);
  return [
    side.interim.length > 0 &&
      section(
        "Before it",
        count(side.interim.length, "interim response"),
        side.interim.map((head) => h("pre", { class: "text", tabindex: "0" }, head)),
      ),
    h(
      "p",
      { key: "line", class: "start-line" },
      side.line || h("span", { class: "faint" }, "This is no HTTP message that can be read: see Wire."),
    ),
    section(
      "Fields",
      `${count(side.fields.length, "field")}, as they were sent`,
      pairs("Fields", side.fields, (at) => (offsets[at] === undefined ? undefined : `at byte ${offsets[at]}`)),
    ),
    bodyOf(state, detail, name, act),
    side.trailers.length > 0 &&
      section("Trailers", count(side.trailers.length, "field"), pairs("Trailers", side.trailers)),
    ending && h("p", { key: "ending", class: "remark" }, ending),
  ];
}

/** @param {Detail} detail @param {"request" | "response"} name */
function endingOf(detail, name) {
  const side = detail.record[name];
  const peer = name === "request" ? "the client" : "we";
  if (side.end === "broken") return "The connection broke before it was complete.";
  if (side.end === "closed" && name === "request")
    return "The client closed the connection before it had the response.";
  if (side.end === "closed")
    return `The connection was closed before it was complete: ${peer} could not end it otherwise.`;
  if (side.end === "open" && side.total > 0) return `Not all of it was ${name === "request" ? "read" : "sent"}.`;
  return "";
}

/** Where each field begins. @param {Side} side */
function offsetsOf(side) {
  const head = latin1(fromBase64(side.wire).subarray(0, side.head));
  const offsets = [];
  // Behind the last head before it, if there are interim responses.
  let at = head.trimEnd().lastIndexOf("\n\r\n") + 1;
  at = head.indexOf("\n", at === 0 ? 0 : at + 2) + 1;
  for (const line of head.slice(at).split("\n")) {
    if (line.includes(":") && !/^[ \t]/.test(line)) offsets.push(at);
    at += line.length + 1;
  }
  return offsets.length === side.fields.length ? offsets : [];
}

/** @param {State} state @param {Detail} detail @param {"request" | "response"} name @param {any} act */
function bodyOf(state, detail, name, act) {
  const side = detail[name];
  const path = `${detail.summary.seq}/${name}/body`;
  const framing = side.isChunked ? ", sent in chunks" : "";
  if (!side.bodyLength) return section("Body", "none");
  const known = state.bytes.get(path);
  const given = known ?? fromBase64(side.body);
  const isPart = given.length < side.bodyLength;
  const coding = (body.value(side.fields, "content-encoding") ?? "").trim().toLowerCase();
  const isCoded = coding !== "" && coding !== "identity";
  const decoded = isCoded ? state.decoded.get(path) : undefined;
  const wantsCoded = state.views.get(`coded ${path}`) ?? false;
  const bytes = decoded && !wantsCoded ? decoded.bytes : given;
  const best = isCoded && wantsCoded ? null : body.kind(side.fields, bytes);
  const image = imageType(bytes);
  /** @type {[string, string][]} */
  const choices = [];
  if (best) choices.push([best, { json: "JSON", form: "Form", multipart: "Parts" }[best]]);
  if (image) choices.push(["image", "Image"]);
  choices.push(["text", "Text"], ["hex", "Hex"]);
  const wanted = state.views.get(`body ${name}`);
  const isOffered = choices.some(([value]) => value === wanted);
  const view = isOffered ? wanted : (best ?? (image || !isText(bytes) ? "hex" : "text"));
  const aside = [
    choice("Show the body as", choices, view, (value) => act.view(`body ${name}`, value)),
    isCoded &&
      h(
        "label",
        { class: "check" },
        h("input", {
          type: "checkbox",
          is: { checked: !wantsCoded },
          on: { change: () => act.view(`coded ${path}`, !wantsCoded) },
        }),
        `decode ${coding}`,
      ),
    button({ label: "Copy the body", icon: "copy", isBare: true }, () => act.copyBody(path)),
    button({ label: "Download the body", icon: "down", isBare: true }, () => act.download(path)),
  ];
  return section(
    "Body",
    aside,
    h(
      "p",
      { class: "remark" },
      `${count(side.bodyLength, "byte")}${framing}${body.mediaType(side.fields) ? `, ${body.mediaType(side.fields)}` : ""}${decoded && !wantsCoded ? `; ${count(decoded.bytes.length, "byte")} decoded` : ""}${decoded?.problem && !wantsCoded ? `: ${decoded.problem}` : ""}`,
    ),
    isPart &&
      h(
        "p",
        { class: "remark" },
        `The first ${size(given.length)} are shown. `,
        button({ label: `Load all ${size(side.bodyLength)}` }, () => act.load(path)),
      ),
    show(state, act, view, side, bytes, path, isPart),
  );
}

/** @param {State} state @param {any} act @param {string} view @param {Side} side @param {Uint8Array<ArrayBuffer>} bytes @param {string} path @param {boolean} isPart */
function show(state, act, view, side, bytes, path, isPart) {
  switch (view) {
    case "json": {
      const text = body.text(side.fields, bytes);
      const { text: shown, spans, error } = layOut(text);
      const at =
        error && !isPart
          ? `Line ${error.line}, column ${error.column} (byte ${new TextEncoder().encode(text.slice(0, error.at)).length}): ${error.what}`
          : null;
      const around = error ? escaped(text.slice(Math.max(0, error.at - 40), error.at)).text : "";
      return [
        at &&
          h(
            "div",
            { class: "json-error", role: "note" },
            h("b", null, "This is not JSON. "),
            at,
            h(
              "pre",
              { class: "output" },
              around,
              h("mark", null, escaped(text.slice(error?.at, (error?.at ?? 0) + 1)).text || "end"),
              escaped(text.slice((error?.at ?? 0) + 1, (error?.at ?? 0) + 40)).text,
            ),
          ),
        textBox(
          state,
          act,
          `${path} json`,
          "Body as JSON",
          escapedWith(shown, spans).text,
          escapedWith(shown, spans).spans,
        ),
      ];
    }
    case "form":
      return pairs(
        "Form",
        body.form(bytes).map(([key, value]) => [escaped(key).text, escaped(value).text]),
      );
    case "multipart": {
      const { parts, isWhole } = body.multipart(bytes, body.parameter(side.fields, "boundary") ?? "");
      return [
        !isWhole && !isPart && h("p", { class: "remark" }, "The last boundary is missing."),
        parts.map((part, at) => {
          const isPlain = isText(part.body);
          const title = [body.disposition(part, "name"), body.disposition(part, "filename")]
            .filter((text) => text !== null)
            .map((text) => escaped(text).text)
            .join(" · ");
          return h(
            "div",
            { class: "part" },
            h(
              "p",
              { class: "part-head" },
              h("b", null, title || `part ${at + 1}`),
              h("span", null, `${count(part.body.length, "byte")} at ${part.at}`),
            ),
            pairs(
              `Fields of part ${at + 1}`,
              part.fields.map(([key, value]) => [escaped(key).text, escaped(value).text]),
            ),
            isPlain
              ? boxOf(state, act, `${path} part ${at}`, `Part ${at + 1}`, body.text(part.fields, part.body))
              : hexOf(state, act, `${path} part ${at}`, part.body),
          );
        }),
      ];
    }
    case "image":
      return h("img", { class: "image", alt: "The body as an image", is: { src: act.imageUrl(path, bytes) } });
    case "hex":
      return hexOf(state, act, path, bytes);
    default:
      return boxOf(state, act, path, "Body as text", body.text(side.fields, bytes));
  }
}

/** @param {State} state @param {any} act @param {string} name @param {string} label @param {string} text */
function boxOf(state, act, name, label, text) {
  const { text: shown, spans } = escaped(text);
  return textBox(state, act, `${name} text`, label, shown, spans);
}

/** @param {State} state @param {any} act @param {string} name @param {Uint8Array} bytes */
function hexOf(state, act, name, bytes) {
  const limit = state.views.get(`more ${name} bytes`) ?? HEX_MAX;
  return h(
    "div",
    { key: `${name} hex`, class: "box" },
    h(
      "pre",
      { class: "text hex", tabindex: "0", role: "region", "aria-label": "Body as hexadecimal" },
      hexLines(bytes.subarray(0, limit)),
    ),
    bytes.length > limit &&
      h(
        "div",
        { class: "box-foot" },
        h("span", null, `${size(limit)} of ${size(bytes.length)} shown`),
        button({ label: "Show more" }, () => act.view(`more ${name} bytes`, limit * 4)),
      ),
  );
}

/** Keeps spans in their places unless something had to be made visible. @param {string} text @param {{kind: string, from: number, to: number}[]} spans */
function escapedWith(text, spans) {
  const all = escaped(text);
  return all.text.length === text.length ? { text, spans } : all;
}
