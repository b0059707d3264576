// The loop: a request is replayed, edited, kept, exported; the handler is edited; the page shows what changed.
//
// Edits the handler's file, which answers with the number of bytes that arrived.

import { readFileSync, writeFileSync } from "node:fs";

import { api, ask, assert, row, select, tab, withViewer } from "./browser.mjs";

const [viewer, served, file] = process.argv.slice(2);

await withViewer(viewer, async (page) => {
  await ask(served, "POST /hook", ["Content-Type: text/plain", "Authorization: Bearer hush"], "one");
  await select(page, "/hook");
  await page.locator("#list").focus();

  // Replayed: a new exchange, and the same response.
  await page.keyboard.press("r");
  await page.locator(".origin", { hasText: "A replay of" }).waitFor();
  await page.locator(".verdict.same").waitFor();
  await page.locator(".origin .link").click();
  await page.locator(".heading .facts", { hasText: "[1]" }).waitFor();

  // Edited: the response appears beside it, compared with the original's.
  await page.keyboard.press("e");
  await page.locator("#edit-head:focus").waitFor();
  await page.fill("#edit-body", "more than one");
  await page.keyboard.press("Control+Enter");
  await page.locator(".answer-line").waitFor();
  await page.locator(".editor-output .difference").first().waitFor();
  assert.match(await page.locator(".editor-output").innerText(), /13/);
  const { exchanges } = await api(page, "exchanges?q=is:edited");
  assert.equal(exchanges.length, 1);
  const edited = await api(page, `exchanges/${exchanges[0].seq}`);
  assert.deepEqual(
    edited.request.fields.find(([name]) => name === "Content-Length"),
    ["Content-Length", "13"],
  );
  await page.keyboard.press("Escape");
  await page.locator("#list:focus").waitFor();

  // Exported: without secrets, unless asked.
  await page.keyboard.press("x");
  await page.locator(".preview", { hasText: "curl" }).waitFor();
  assert(!(await page.locator(".preview").innerText()).includes("hush"));
  await page.locator("dialog .remark", { hasText: /authorization/i }).waitFor();
  await page.getByLabel(/with secrets/).check();
  await page.locator(".preview", { hasText: "hush" }).waitFor();
  for (const format of ["Raw", "HAR", "REST Client", "Hurl", "#[test]", "pcapng", "WARC"]) {
    await page.locator("dialog .choice button", { hasText: format }).click();
    await page.waitForFunction(() => document.querySelector("dialog .primary")?.disabled === false);
    assert.equal(await page.locator("dialog .problem").count(), 0, format);
  }
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "All exchanges, as HAR" }).click(),
  ]);
  const har = JSON.parse(readFileSync(await download.path(), "utf8"));
  assert.equal(har.log.entries.length, 3);
  await page.keyboard.press("Escape");

  // Kept: on save it is replayed, and the page shows what changed.
  await page.locator("#list").focus();
  await page.keyboard.press("p");
  await page.locator(".row.selected .icon-pin").waitFor();
  writeFileSync(file, readFileSync(file, "utf8").replace("bytes arrived", "bytes came"));
  const saved = page.locator(".saved.differs");
  await saved.waitFor({ timeout: 50_000 });
  assert.match(await saved.innerText(), /1 differs/);
  await saved.getByRole("button", { name: "See the difference" }).click();
  await page.locator(".diff-line.added", { hasText: "3 bytes came" }).waitFor();
  await page.locator(".diff-line.removed", { hasText: "3 bytes arrived" }).waitFor();

  // Two exchanges are compared by selecting one, and then the other.
  await row(page, "/hook").click();
  await page.locator("#list").focus();
  await page.keyboard.press("d");
  await page.locator(".row.comparing").waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.locator("#pane .verdict").waitFor();
  assert((await tab(page, "Diff")).includes("→"));
});
