// An exact replay: the handler gets the time and the randomness that it got before.

import { ask, row, select, withViewer } from "./browser.mjs";

const [viewer, served] = process.argv.slice(2);

await withViewer(viewer, async (page) => {
  await ask(served, "GET /");
  await row(page, "/").waitFor();
  await select(page, "/");
  await page.getByRole("button", { name: "Replay exactly" }).waitFor();
  await page.locator("#list").focus();

  await page.keyboard.press("r");
  await page.locator(".verdict.differs").waitFor();
  await page.locator(".origin .link").click();
  await page.locator(".origin").waitFor({ state: "detached" });
  await page.locator("#list").focus();
  await page.keyboard.press("Shift+R");
  await page.locator(".verdict.same").waitFor();
});
