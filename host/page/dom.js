// Builds and updates the page's elements.
//
// A view is a pure function that returns nodes made by `h`; `render` changes the document to match them. Text becomes
// text nodes and nothing else, so that no captured byte can become markup: nothing here, or anywhere in the page, parses
// HTML, and the page's policy for Trusted Types has none that could.

/**
 * @typedef {object} Node
 * @property {string} tag
 * @property {string | number | undefined} key Identifies the node among its siblings.
 * @property {Props} props
 * @property {Child[]} children
 * @property {Element} [element] The element that shows it.
 */
/**
 * @typedef {object} Lazy A view that is only computed if its arguments have changed.
 * @property {(...args: any[]) => Node} view
 * @property {any[]} args
 * @property {string | number | undefined} key
 * @property {Node} [node]
 */
/**
 * @typedef {{text: string, key: undefined, element?: Text}} TextNode
 * @typedef {Node | Lazy | TextNode} Child
 * @typedef {Node | Lazy | string | number | null | undefined | false | Content[]} Content
 * @typedef {{[name: string]: any}} Props Attributes, and these: `key`; `on`, listeners by event; `style`, properties by
 *   name; `is`, properties of the element such as `value`; `made`, which is called once with the element.
 */

const SVG = "http://www.w3.org/2000/svg";
const OF_SVG = new Set(["svg", "path", "circle", "rect", "line"]);
/** Listeners of elements: the object is the listener, so that changing a function changes nothing in the document. */
const LISTENERS = new WeakMap();

/**
 * A node for an element.
 *
 * @param {string} tag
 * @param {Props | null} props
 * @param {...Content} contents
 * @returns {Node}
 */
export function h(tag, props, ...contents) {
  const children = [];
  for (const content of /** @type {Exclude<Content, Content[]>[]} */ (/** @type {any[]} */ (contents).flat(9))) {
    if (content === null || content === undefined || content === false || content === "") continue;
    children.push(typeof content === "object" ? content : { text: String(content), key: undefined });
  }
  return { tag, key: props?.key, props: props ?? {}, children };
}

/**
 * A view that is computed again only if an argument is not the same as before.
 *
 * @param {string | number} key
 * @param {(...args: any[]) => Node} view
 * @param {...any} args
 * @returns {Lazy}
 */
export const lazy = (key, view, ...args) => ({ key, view, args });

/** @type {WeakMap<Element, Child[]>} */
const RENDERED = new WeakMap();

/**
 * Makes `parent` show exactly these nodes.
 *
 * @param {Element} parent
 * @param {...Content} contents
 */
export function render(parent, ...contents) {
  const children = h("div", null, contents).children;
  updateChildren(parent, RENDERED.get(parent) ?? [], children);
  RENDERED.set(parent, children);
}

/** @param {Child} child @returns {Node | TextNode} */
const shown = (child) => ("view" in child ? (child.node ??= child.view(...child.args)) : child);

/** @param {Child} child @returns {Element | Text} */
function make(child) {
  const node = shown(child);
  if ("text" in node) return (node.element = document.createTextNode(node.text));
  const element = OF_SVG.has(node.tag) ? document.createElementNS(SVG, node.tag) : document.createElement(node.tag);
  node.element = element;
  // Children first: a `select` has its value only once it has its options.
  updateChildren(element, [], node.children);
  updateProps(element, {}, node.props);
  node.props.made?.(element);
  return element;
}

/** Whether one can become the other without being made anew. @param {Child} a @param {Child} b */
function isAlike(a, b) {
  if (a.key !== b.key) return false;
  if ("view" in a || "view" in b) return "view" in a && "view" in b && a.view === b.view;
  if ("text" in a || "text" in b) return "text" in a && "text" in b;
  return a.tag === b.tag;
}

/** @param {Child} old @param {Child} next */
function update(old, next) {
  if ("view" in old && "view" in next) {
    const isSame = old.args.length === next.args.length && old.args.every((arg, at) => Object.is(arg, next.args[at]));
    if (isSame) {
      next.node = old.node;
      return;
    }
  }
  const [before, after] = [shown(old), shown(next)];
  if ("text" in before || "text" in after) {
    const [text, changed] = [/** @type {TextNode} */ (before), /** @type {TextNode} */ (after)];
    changed.element = text.element;
    if (text.text !== changed.text && text.element) text.element.data = changed.text;
    return;
  }
  const element = /** @type {Element} */ (before.element);
  if (before.tag !== after.tag) {
    element.replaceWith(make(after));
    return;
  }
  after.element = element;
  updateChildren(element, before.children, after.children);
  updateProps(element, before.props, after.props);
}

/** @param {Child} child @returns {Element | Text} */
const elementOf = (child) => /** @type {Element | Text} */ (shown(child).element);

/** @param {Element} parent @param {Child[]} before @param {Child[]} after */
function updateChildren(parent, before, after) {
  /** @type {Map<string | number, Child>} */
  const keyed = new Map();
  const unkeyed = [];
  for (const child of before) child.key === undefined ? unkeyed.push(child) : keyed.set(child.key, child);
  const gone = new Set(before);
  const elements = [];
  let nextUnkeyed = 0;
  for (const child of after) {
    const old = child.key === undefined ? unkeyed[nextUnkeyed++] : keyed.get(child.key);
    if (old && gone.has(old) && isAlike(old, child)) {
      gone.delete(old);
      update(old, child);
      elements.push(elementOf(child));
    } else {
      elements.push(make(child));
    }
  }
  for (const child of gone) elementOf(child).remove();
  let at = parent.firstChild;
  for (const element of elements) {
    if (element === at) at = at.nextSibling;
    else parent.insertBefore(element, at);
  }
}

/** @param {Element} element @param {Props} before @param {Props} after */
function updateProps(element, before, after) {
  for (const name in before) if (!(name in after)) set(element, name, before[name], undefined);
  for (const name in after) set(element, name, before[name], after[name]);
}

/** @param {Element} element @param {string} name @param {any} before @param {any} after */
function set(element, name, before, after) {
  if (name === "key" || name === "made") return;
  if (name === "on") {
    let listener = LISTENERS.get(element);
    if (!listener) {
      listener = { of: {}, handleEvent: (/** @type {Event} */ event) => listener.of[event.type]?.(event) };
      LISTENERS.set(element, listener);
    }
    for (const type in after) if (!(type in listener.of)) element.addEventListener(type, listener);
    listener.of = { ...Object.fromEntries(Object.keys(listener.of).map((type) => [type, undefined])), ...after };
  } else if (name === "style") {
    // The policy forbids the attribute, and allows this.
    const style = /** @type {HTMLElement} */ (element).style;
    for (const property in before) if (!(property in (after ?? {}))) style.removeProperty(property);
    for (const property in after)
      if (before?.[property] !== after[property]) style.setProperty(property, after[property]);
  } else if (name === "is") {
    // Compared with what the element has, which the user may have changed.
    const properties = /** @type {any} */ (element);
    for (const property in after) if (properties[property] !== after[property]) properties[property] = after[property];
  } else if (before !== after) {
    if (after === undefined || after === null || after === false) element.removeAttribute(name);
    else element.setAttribute(name, after === true ? "" : String(after));
  }
}
