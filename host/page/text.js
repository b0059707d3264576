// Turns values into text: durations, sizes, times, and bytes of strangers.

const UNITS = ["B", "KiB", "MiB", "GiB"];

/** @param {number} bytes */
export function size(bytes) {
  let unit = 0;
  while (bytes >= 1024 && unit < UNITS.length - 1) [bytes, unit] = [bytes / 1024, unit + 1];
  return `${unit && bytes < 100 ? trim(bytes.toFixed(1)) : Math.round(bytes)} ${UNITS[unit]}`;
}

/** @param {number | null | undefined} micros */
export function duration(micros) {
  if (micros === null || micros === undefined) return "";
  if (micros < 1000) return `${Math.round(micros)} µs`;
  if (micros < 99_950) return `${trim((micros / 1000).toFixed(micros < 9995 ? 2 : 1))} ms`;
  if (micros < 999_500) return `${Math.round(micros / 1000)} ms`;
  if (micros < 60e6) return `${trim((micros / 1e6).toFixed(2))} s`;
  return `${Math.floor(micros / 60e6)} min ${Math.round((micros % 60e6) / 1e6)} s`;
}

/** @param {string} number */
const trim = (number) => number.replace(/\.?0+$/, "");

const two = (/** @type {number} */ number) => String(number).padStart(2, "0");

/** The time of day, with milliseconds. @param {number} micros Since 1970. */
export function time(micros) {
  const date = new Date(micros / 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** @param {number} micros Since 1970. */
export const moment = (micros) => `${new Date(micros / 1000).toDateString()} ${time(micros)}`;

/** @param {number} number @param {string} one @param {string} [more] */
export const count = (number, one, more = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : more}`;

/** "1st", "2nd". @param {number} number */
export function ordinal(number) {
  const ending = number % 100 > 10 && number % 100 < 14 ? "th" : (["th", "st", "nd", "rd"][number % 10] ?? "th");
  return `${number}${ending}`;
}

/** The reason phrases of RFC 9110 section 15, and of the statuses that others have added. */
const REASONS = /** @type {{[status: number]: string}} */ ({
  100: "Continue",
  101: "Switching Protocols",
  102: "Processing",
  103: "Early Hints",
  200: "OK",
  201: "Created",
  202: "Accepted",
  203: "Non-Authoritative",
  204: "No Content",
  205: "Reset Content",
  206: "Partial Content",
  207: "Multi-Status",
  300: "Multiple Choices",
  301: "Moved",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  407: "Proxy Auth Required",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  411: "Length Required",
  412: "Precondition Failed",
  413: "Content Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  416: "Range Not Satisfiable",
  417: "Expectation Failed",
  418: "I'm a teapot",
  421: "Misdirected Request",
  422: "Unprocessable",
  425: "Too Early",
  426: "Upgrade Required",
  428: "Precondition Required",
  429: "Too Many Requests",
  431: "Fields Too Large",
  451: "Unavailable",
  499: "client left",
  500: "Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Unavailable",
  504: "Timeout",
  505: "Version Not Supported",
  507: "Insufficient Storage",
  511: "Network Auth Required",
});

/** @param {number} status */
export const reason = (status) => REASONS[status] ?? "";

/** The last part of a path: what a handler is called where there is little room. @param {string} path */
export const fileName = (path) => path.split("/").filter(Boolean).at(-1) ?? path;

/** The class of a status for colours, which are never the only sign of it. @param {number} status */
export const statusClass = (status) => (status ? `s${Math.floor(status / 100)}` : "s0");

/**
 * Characters that are not shown as they are, as `wasmserve_gateway::escape` has them: controls but tab and line feed, and
 * those that are invisible or change the direction of text.
 */
const HIDDEN =
  /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Text in which hidden characters are visible. @param {string} text */
export const visible = (text) =>
  text.replace(HIDDEN, (char) => {
    const code = char.charCodeAt(0);
    return code < 0x80 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
