// The server ends: the page keeps what it has, and says so. Without the token there is nothing to see.
//
// Ends the server by the process id that it is given.

import { ask, assert, launch, row, select, tab, withViewer } from "./browser.mjs";

const [viewer, served, id] = process.argv.slice(2);

const browser = await launch();
const page = await browser.newPage();
await page.goto(new URL("/", viewer).href);
await page.locator("form", { hasText: "Token" }).waitFor();
await page.getByLabel("Token").fill("not-the-token-not-the-token");
await page.getByRole("button", { name: "Look" }).click();
await page.locator(".problem", { hasText: "not the server's" }).waitFor();
await page.getByLabel("Token").fill(new URL(viewer).hash.slice("#k=".length));
await page.getByRole("button", { name: "Look" }).click();
await page.locator(".light.live").waitFor();
await browser.close();

await withViewer(
  viewer,
  async (page) => {
    // The token leaves the address, and is not where other pages could find it.
    assert.equal(await page.evaluate(() => location.href), new URL("/", viewer).href);
    assert.equal(await page.evaluate(() => document.cookie + localStorage.getItem("token")), "null");
    await ask(served, "GET /hello");
    await ask(served, "GET /tells_its_request/kept");
    await row(page, "/hello").waitFor();
    await select(page, "/kept");
    process.kill(Number(id), "SIGTERM");
    await page.locator(".banner.problem", { hasText: "--capture" }).waitFor();
    await page.locator(".connection", { hasText: "server ended" }).waitFor();
    assert((await tab(page, "Environ")).includes("PATH_INFO"));
    assert.equal(await page.locator(".rows .row").count(), 2);
  },
  { allows: /ERR_CONNECTION|ERR_INCOMPLETE/ },
);
