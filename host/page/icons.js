// The icons, drawn on a grid of 16 by 16.

import { h } from "./dom.js";

const PATHS = {
  bin: "M2.5 9.5 4.6 3h6.8l2.1 6.5v3.5h-11zM2.5 9.5h3.2l1 1.8h2.6l1-1.8h3.2",
  check: "m3 8.5 3.2 3.2L13 4.8",
  chevron: "m6 3.5 4.5 4.5L6 12.5",
  clear: "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5",
  close: "m4 4 8 8m0-8-8 8",
  copy: "M5.5 5.5v-3h8v8h-3m-8-5h8v8h-8z",
  cut: "M4.2 10.2a1.8 1.8 0 1 0 .1 0M11.8 10.2a1.8 1.8 0 1 0 .1 0M5.2 10.6 11 2M10.8 10.6 5 2",
  diff: "M5.5 2v8m-4-4h8m2 7.5H2",
  down: "M8 2v9m-3.5-3.5L8 11l3.5-3.5M3 13.8h10",
  edit: "m3 13 .6-2.8L11 2.8l2.2 2.2-7.4 7.4zM9.6 4.2l2.2 2.2",
  export: "M6.5 3H3v10h10V9.5M9 2.8h4.2V7M13 3 7.5 8.5",
  fault: "M8 2 14.5 13.5h-13zM8 6.3v3.6m0 1.6v.6",
  help: "M8 1.8a6.2 6.2 0 1 0 .1 0M6 6.3c0-2.6 4-2.5 4 0C10 8 8 7.8 8 9.6m0 1.5v.6",
  pause: "M5.5 3v10m5-10v10",
  pin: "M8 10.5V15M4 10.5h8L10.3 7.7V2.5h1M5 2.5h6M5.7 2.5v5.2L4 10.5",
  play: "M5 3v10l7.5-5z",
  replay: "M12.8 8.6A5 5 0 1 1 11.3 4.4M11.8 1.6v3.2H8.6",
  search: "M7 2.5a4.5 4.5 0 1 0 .1 0m3.2 7.8L14 14",
  stop: "M4 4h8v8H4z",
  theme: "M8 1.8a6.2 6.2 0 1 0 .1 0M8 2v12a6 6 0 0 0 0-12z",
};

/**
 * An icon. With a label it is an image with a name; without, it only decorates the text beside it.
 *
 * @param {keyof typeof PATHS} name
 * @param {string} [label]
 */
export const icon = (name, label) =>
  h(
    "svg",
    {
      class: `icon icon-${name}`,
      viewBox: "0 0 16 16",
      ...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" }),
    },
    h("path", { d: PATHS[name] }),
  );
