// Colours parts of text without elements of their own, by the CSS Custom Highlight API. Where a browser lacks it, the
// text is as readable without.

/** The kinds of parts that have a colour in the stylesheet. */
const KINDS = ["name", "string", "number", "word", "escape", "end"];
/** What is coloured at most, in one text. */
const SPANS_MAX = 6000;

/** @type {Map<Element, {spans: any, data: string}>} */
let painted = new Map();

/** Colours the texts in the document whose `painted` property says what their parts are. */
export function paint() {
  if (!("highlights" in CSS)) return;
  const now = new Map();
  for (const element of document.querySelectorAll("pre.text")) {
    const spans = /** @type {any} */ (element).painted;
    const text = element.firstChild;
    if (spans?.length && text instanceof Text) now.set(element, { spans, data: text.data });
  }
  const isSame =
    now.size === painted.size &&
    [...now].every(([element, { spans, data }]) => {
      const before = painted.get(element);
      return before?.spans === spans && before?.data === data;
    });
  if (isSame) return;
  painted = now;
  const highlights = new Map(KINDS.map((kind) => [kind, new Highlight()]));
  for (const [element, { spans, data }] of now) {
    const text = element.firstChild;
    for (const { kind, from, to } of spans.slice(0, SPANS_MAX)) {
      if (to > data.length) break;
      const range = new StaticRange({ startContainer: text, startOffset: from, endContainer: text, endOffset: to });
      highlights.get(kind)?.add(range);
    }
  }
  for (const [kind, highlight] of highlights) CSS.highlights.set(kind, highlight);
}
