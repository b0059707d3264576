// Opens pages from a HAR file with Playwright, while no server runs, and prints what the page gets.
//
// Run by `tests/tests/real/exports.rs` in the directory of the pinned packages: `node har.mjs FILE.har URL..`.

import { launch } from "../page/browser.mjs";

const [har, ...urls] = process.argv.slice(2);
const browser = await launch();
try {
  const context = await browser.newContext();
  await context.routeFromHAR(har, { notFound: "abort" });
  const page = await context.newPage();
  await page.goto(urls[0]);
  for (const url of urls) {
    const line = await page.evaluate(async (url) => {
      const response = await fetch(url);
      const bytes = [...new Uint8Array(await response.arrayBuffer())];
      return `${response.status} ${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    }, url);
    console.log(line);
  }
} finally {
  await browser.close();
}
