// What runs now: it is listed while it runs, shows its stack, and can be ended.

import { ask, assert, row, withViewer } from "./browser.mjs";

const [viewer, served] = process.argv.slice(2);

await withViewer(viewer, async (page) => {
  const sleeper = ask(served, "GET /sleeps/forever");
  const spinner = ask(served, "GET /spins/forever");
  const strip = (target) => page.locator(".running li", { hasText: target });
  await strip("/sleeps/forever").waitFor();
  await strip("/spins/forever").waitFor();
  assert.match(await strip("/sleeps/forever").locator(".wait").innerText(), /^waits: /);

  await strip("/sleeps/forever").getByRole("button", { name: "Show the stack" }).click();
  await strip("/sleeps/forever").locator(".frame", { hasText: "app" }).waitFor();
  await strip("/sleeps/forever").getByRole("button", { name: "Hide the stack" }).click();
  await strip("/sleeps/forever").locator(".frame").first().waitFor({ state: "detached" });

  for (const [target, answer] of [
    ["/spins/forever", spinner],
    ["/sleeps/forever", sleeper],
  ]) {
    await strip(target).getByRole("button", { name: "End it" }).click();
    await strip(target).waitFor({ state: "detached" });
    assert.match(String(await answer), /^HTTP\/1\.1 500 .*Wasmserve-Fault: ended\r\n/s);
    await row(page, target).click();
    await page.locator(".heading .status", { hasText: "ended" }).waitFor();
  }

  // The next request is served as always.
  await ask(served, "GET /hello");
  await row(page, "/hello").locator(".status", { hasText: "200" }).waitFor();
});
