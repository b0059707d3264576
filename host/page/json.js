// Lays out JSON without changing it: numbers, strings, doubled names and their order stay as they were sent.

/**
 * @typedef {object} Token
 * @property {"punctuation" | "string" | "number" | "word" | "name"} kind
 * @property {string} text
 * @property {number} at
 */

const TOKEN =
  /[ \t\r\n]*(?:([{}[\],:])|("(?:[^"\\\0-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])|(true|false|null)(?!\w))/y;

/**
 * @typedef {object} Layout
 * @property {string} text Up to an error.
 * @property {{kind: Token["kind"], from: number, to: number}[]} spans What parts of the text are, for colours.
 * @property {{at: number, line: number, column: number, what: string} | null} error Where it is not JSON, in what was sent.
 */

/**
 * @param {string} json
 * @returns {Layout}
 */
export function layOut(json) {
  /** @type {Layout} */
  const layout = { text: "", spans: [], error: null };
  /** What is open, innermost last. @type {{end: string, count: number}[]} */
  const open = [];
  /** What may come next. @type {"value" | "value or ]" | "name" | "name or }" | ":" | ", or end" | "nothing"} */
  let expected = "value";
  let at = 0;
  const line = () => `\n${"  ".repeat(open.length)}`;
  /** @param {Token["kind"]} kind @param {string} text */
  const put = (kind, text) => {
    layout.spans.push({ kind, from: layout.text.length, to: layout.text.length + text.length });
    layout.text += text;
  };
  /** Begins a value, which in an array has a line of its own. */
  const begin = () => {
    const inner = open.at(-1);
    if (inner?.end !== "]") return;
    inner.count++;
    layout.text += line();
  };
  const after = () => (open.length ? ", or end" : "nothing");
  for (;;) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(json);
    if (!found) break;
    const [, punctuation, string, number, word] = found;
    const start = TOKEN.lastIndex - (punctuation ?? string ?? number ?? word).length;
    const inner = open.at(-1);
    const isValue = expected === "value" || expected === "value or ]";
    if (isValue && (punctuation === "{" || punctuation === "[")) {
      begin();
      put("punctuation", punctuation);
      open.push({ end: punctuation === "{" ? "}" : "]", count: 0 });
      expected = punctuation === "{" ? "name or }" : "value or ]";
      if (open.length > 500) {
        layout.error = { ...place(json, start), what: "more than 500 levels" };
        return layout;
      }
    } else if (
      inner &&
      punctuation === inner.end &&
      (expected === ", or end" || expected === `${inner.end === "]" ? "value" : "name"} or ${inner.end}`)
    ) {
      open.pop();
      if (inner.count) layout.text += line();
      put("punctuation", punctuation);
      expected = after();
    } else if (inner && expected === ", or end" && punctuation === ",") {
      put("punctuation", ",");
      expected = inner.end === "]" ? "value" : "name";
    } else if (expected === ":" && punctuation === ":") {
      put("punctuation", ":");
      layout.text += " ";
      expected = "value";
      at = TOKEN.lastIndex;
      continue;
    } else if ((expected === "name" || expected === "name or }") && string !== undefined) {
      if (inner) inner.count++;
      layout.text += line();
      put("name", string);
      expected = ":";
    } else if (isValue && punctuation === undefined) {
      begin();
      put(string !== undefined ? "string" : number !== undefined ? "number" : "word", string ?? number ?? word);
      expected = after();
    } else {
      break;
    }
    at = TOKEN.lastIndex;
  }
  const rest = json.slice(at);
  const blank = rest.length - rest.trimStart().length;
  if (expected !== "nothing" || rest.trim()) {
    const what = {
      value: "a value",
      "value or ]": "a value or ]",
      name: "a name in quotes",
      "name or }": "a name in quotes or }",
      ":": "a colon",
      ", or end": `a comma or ${open.at(-1)?.end}`,
      nothing: "nothing more",
    }[expected];
    layout.error = { ...place(json, at + blank), what: `expected ${what}` };
  }
  return layout;
}

/** @param {string} text @param {number} at */
function place(text, at) {
  const before = text.slice(0, at).split("\n");
  return { at, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}
