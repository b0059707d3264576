// A real browser with the viewer's page open, and ways to send requests to what it shows.
//
// Run by `tests/tests/page.rs` in the directory of the pinned packages.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import net from "node:net";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

export const require = createRequire(`${process.cwd()}/`);
const { chromium } = require("playwright-core");

/** Where the system has its browser. */
function executablePath() {
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const paths = process.env.PATH.split(delimiter).flatMap((directory) => names.map((name) => join(directory, name)));
  const found = paths.find((path) => existsSync(path));
  assert(found, "run tests/clients/install: there is no chromium");
  return found;
}

/** Starts a browser. */
export const launch = (args = []) =>
  chromium.launch({ executablePath: executablePath(), args: ["--no-sandbox", ...args] });

/**
 * Opens the viewer, lets `use` do something with it, and checks that nothing went wrong in the page meanwhile: no error, no
 * violation of its policy, no dialog.
 *
 * @param {string} url With the token.
 * @param {(page: any, browser: any) => Promise<void>} use
 * @param {{args?: string[], theme?: "light" | "dark", width?: number, height?: number, allows?: RegExp}} [options] `allows`:
 *   what the console may say.
 */
export async function withViewer(url, use, { args, theme = "light", width = 1440, height = 900, allows } = {}) {
  const browser = await launch(args);
  try {
    const context = await browser.newContext({
      viewport: { width, height },
      colorScheme: theme,
      reducedMotion: "reduce",
    });
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    const problems = [];
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) problems.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => problems.push(`error: ${error.stack}`));
    page.on("dialog", (dialog) => {
      problems.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    await page.goto(url);
    await page.waitForSelector(".light.live");
    await use(page, browser);
    assert.deepEqual(
      problems.filter((problem) => !allows?.test(problem)),
      [],
    );
  } finally {
    await browser.close();
  }
}

/** Sends these bytes to a server, and returns what it answers until the connection ends. */
export const send = (url, bytes) =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const parts = [];
    const socket = net.connect(Number(port), hostname, () => socket.write(bytes));
    // A server may close before it has read everything.
    socket.on("error", (error) => ["EPIPE", "ECONNRESET"].includes(error.code) || reject(error));
    socket.on("data", (data) => parts.push(data)).on("close", () => resolve(Buffer.concat(parts)));
  });

/** Sends a request whose connection is closed afterwards. */
export const ask = (url, line, fields = [], body = "") => {
  const length = body.length ? [`Content-Length: ${Buffer.byteLength(body)}`] : [];
  const head = [`${line} HTTP/1.1`, `Host: ${new URL(url).host}`, "Connection: close", ...length, ...fields];
  return send(url, Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), Buffer.from(body)]));
};

/** Waits until the row of an exchange with this target is there, and returns its element. */
export const row = (page, target) =>
  page.locator(".rows .row", { has: page.locator(".target", { hasText: target }) }).first();

/** Selects the exchange with this target, and waits for its detail. */
export async function select(page, target) {
  await row(page, target).click();
  await page.waitForSelector(`.heading .line:has-text(${JSON.stringify(target)})`);
  await page.waitForSelector("#pane .pane-inner");
}

/** The text of the pane of a tab. */
export async function tab(page, name) {
  await page.click(`#tab-${name}`);
  await page.waitForSelector(`#pane[aria-labelledby="tab-${name}"] .pane-inner`);
  return page.locator("#pane").innerText();
}

/** Calls the API as the page does. */
export const api = (page, path, init = {}) =>
  page.evaluate(
    async ([path, init]) => {
      const headers = {
        Authorization: `Bearer ${sessionStorage.getItem("token")}`,
        "Content-Type": "application/json",
      };
      const response = await fetch(`/api/${path}`, { headers, ...init });
      const text = await response.text();
      return text ? JSON.parse(text) : null;
    },
    [path, init],
  );

export { assert };
