// A replay with the pauses of the client: the control, by keyboard alone, and what it asks for.

import net from "node:net";

import { api, assert, row, select, withViewer } from "./browser.mjs";

const [viewer, served] = process.argv.slice(2);

/** Sends a body only when the server asks for it, so that it comes after the head. */
const sendInParts = () =>
  new Promise((resolve, reject) => {
    const { hostname, port, host } = new URL(served);
    const fields = ["Content-Length: 5", "Expect: 100-continue", "Connection: close"];
    const socket = net.connect(Number(port), hostname, () =>
      socket.write(`POST /parts HTTP/1.1\r\nHost: ${host}\r\n${fields.join("\r\n")}\r\n\r\n`),
    );
    socket.once("data", () => socket.write("hello"));
    socket.on("error", reject).on("close", resolve);
  });

await withViewer(viewer, async (page) => {
  const asked = [];
  page.on("request", (request) => {
    if (request.url().endsWith("/replay")) asked.push(JSON.parse(request.postData()));
  });
  const replayed = () => page.locator(".origin", { hasText: "A replay of" }).waitFor();

  await sendInParts();
  await row(page, "/parts").waitFor();
  await select(page, "/parts");
  const pace = page.getByLabel("at its pace");
  await pace.waitFor();
  await pace.focus();
  await page.keyboard.press("Space");
  assert(await pace.isChecked());
  await page.keyboard.press("r");
  await replayed();
  await page.locator(".verdict.same").waitFor();

  // It stays, until it is turned off.
  await page.locator(".origin .link").click();
  await page.locator(".origin").waitFor({ state: "detached" });
  assert(await pace.isChecked());
  await pace.uncheck();
  await page.getByRole("button", { name: /^Replay/ }).first().click();
  await replayed();
  assert.deepEqual(asked, [{ pace: "recorded" }, {}]);

  // A request that came at once has no pace.
  const { exchanges } = await api(page, "exchanges?q=is:replay");
  assert.equal(exchanges.length, 2);
  const one = await page.evaluate(async () => {
    const { initial, reduce } = await import("/state.js");
    const paced = reduce(initial(), { type: "pace", isPaced: true });
    return [initial().isPaced, paced.isPaced, reduce(paced, { type: "cleared" }).isPaced];
  });
  assert.deepEqual(one, [false, true, true]);
});
