// The filter above the list, as the server has it (`viewer/summary.rs`): for exchanges that arrive while it is set.

/** @typedef {import("./types.js").Summary} Summary */

/**
 * @typedef {object} Term
 * @property {string} name Empty for a plain word.
 * @property {string} value
 * @property {boolean} isNegated
 */

/** What a summary is enough for. The others look into messages, or are rare. */
const LOCAL = ["", "method", "status", "fault", "is", "took", "cpu", "remote"];

/** @param {string} query @returns {Term[]} */
export function parse(query) {
  const terms = [];
  for (const [, sign, key, quoted, plain] of query.matchAll(
    /([-!]?)(?:([a-z]+):(?!\/\/))?(?:"((?:[^"\\]|\\.)*)"?|([^\s"]+))/g,
  )) {
    terms.push({ name: key ?? "", value: quoted?.replace(/\\(["\\])/g, "$1") ?? plain, isNegated: sign !== "" });
  }
  return terms;
}

/** Whether the page itself can tell which exchanges match. @param {Term[]} terms */
export const isLocal = (terms) => terms.every(({ name }) => LOCAL.includes(name));

/** @param {Summary} exchange @param {Term[]} terms */
export const matches = (exchange, terms) => terms.every((term) => isMatch(exchange, term) !== term.isNegated);

const UNITS = /** @type {{[unit: string]: number}} */ ({ us: 1, µs: 1, ms: 1000, s: 1e6, m: 60e6 });

/** @param {Summary} exchange @param {Term} term */
function isMatch(exchange, { name, value }) {
  const has = (/** @type {string} */ text) => text.toLowerCase().includes(value.toLowerCase());
  const { status, origin } = exchange;
  switch (name) {
    case "method":
      return exchange.method.toLowerCase() === value.toLowerCase();
    case "remote":
      return has(exchange.remote);
    case "fault":
      return exchange.fault !== null && (value === "*" || exchange.fault === value);
    case "is":
      if (value === "kept") return exchange.kept !== null;
      if (value === "replay") return origin !== "client";
      if (value === "edited") return origin !== "client" && origin.replay.edited;
      return value === "cut" ? exchange.isCut : exchange.fault !== null;
    case "status": {
      if (/^\dxx$/i.test(value)) return Math.floor(status / 100) === Number(value[0]);
      const [, order = "", number = ""] = /^([<>]?=?)(\d+)$/.exec(value) ?? [];
      return compare(status, order, Number(number));
    }
    case "took":
    case "cpu": {
      const [, order = "", number = "", unit = ""] = /^([<>]?)(\d+)(us|µs|ms|s|m)$/.exec(value) ?? [];
      const measured = exchange[name];
      return measured !== null && compare(measured, order, Number(number) * UNITS[unit]);
    }
    default:
      return has(exchange.method) || has(exchange.target) || String(status).includes(value);
  }
}

/** @param {number} value @param {string} order @param {number} bound */
function compare(value, order, bound) {
  return (
    { ">": value > bound, ">=": value >= bound, "<": value < bound, "<=": value <= bound }[order] ?? value === bound
  );
}
