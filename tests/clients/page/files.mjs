// Captures in files: everything can be looked at, and nothing is offered that needs a handler.

import { api, assert, row, select, tab, withViewer } from "./browser.mjs";

const [viewer] = process.argv.slice(2);

await withViewer(
  viewer,
  async (page) => {
    await row(page, "/one").waitFor();
    assert.match(await page.locator(".bar").innerText(), /captures/);
    assert.match(await page.locator(".connection").innerText(), /from files/);
    assert.equal(await page.title(), "captures · wasmserve");
    for (const name of ["Pause", "Clear", "Replay", "Edit", "Keep"])
      assert.equal(await page.getByRole("button", { name, exact: true }).count(), 0, name);

    await select(page, "/one");
    for (const name of ["Pause", "Clear", "Replay", "Edit", "Keep"])
      assert.equal(await page.getByRole("button", { name: new RegExp(`^${name}`) }).count(), 0, name);
    assert.match(await page.locator(".heading").innerText(), /No replay here: no handler: use `wasmserve replay/);
    for (const name of ["Request", "Response", "Wire", "Environ", "Timeline", "Log", "Stack", "Lint", "Diff"])
      assert((await tab(page, name)).length > 0, name);

    // What was damaged is said.
    assert.match(await page.locator(".banner.problem").innerText(), /it ends inside a record/);

    // The keys say why they do nothing.
    await page.locator("#list").focus();
    for (const [key, why] of [
      ["r", /no handler/],
      ["e", /no handler/],
      ["p", /files are only read/],
    ]) {
      await page.keyboard.press(key);
      await page.locator(".notice.shown", { hasText: why }).waitFor();
    }
    assert.equal((await api(page, "exchanges")).total, 1);

    await page.keyboard.press("x");
    await page.locator(".preview", { hasText: "curl" }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("?");
    await page.getByRole("heading", { name: "Keys" }).waitFor();
    const help = await page.locator("dialog").innerText();
    assert(!help.includes("replay: the same bytes") && help.includes("compare"), help);
  },
  // The browser itself reports each answer that is a refusal.
  { allows: /status of 409/ },
);
