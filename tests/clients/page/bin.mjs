// The request bin: a person who debugs a webhook sees what arrives, and chooses what is answered.

import { readFileSync } from "node:fs";

import { ask, assert, row, select, send, tab, withViewer } from "./browser.mjs";

const [viewer, served] = process.argv.slice(2);

await withViewer(
  viewer,
  async (page) => {
    await page.locator(".empty-title", { hasText: "Waiting for the first request" }).waitFor();
    await page.locator(".address code", { hasText: `curl -d hello ${served}` }).waitFor();
    await page.getByRole("button", { name: "Copy the command" }).click();
    await page.locator(".notice.shown", { hasText: "Copied the command" }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `curl -d hello ${served}`);

    // A webhook arrives, and is seen.
    const answer = String(
      await ask(
        served,
        "POST /hook?delivery=1",
        ["Content-Type: application/json", "X-Signature: sha256=00"],
        '{"event":"push"}',
      ),
    );
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
    await select(page, "/hook?delivery=1");
    const request = await tab(page, "Request");
    for (const part of ["X-Signature", "sha256=00", '"event": "push"']) assert(request.includes(part), request);

    // The answer is chosen in the page.
    await page.getByRole("button", { name: "Answers 200" }).click();
    await page.locator("input[name=status]").fill("503");
    await page.locator("textarea[name=fields]").fill("Retry-After: 7\nX-Both: a: b");
    await page.locator("textarea[name=body]").fill("later");
    await page.getByRole("button", { name: "Answer this from now on" }).click();
    await page.locator("dialog").waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Answers 503" }).waitFor();
    assert.match(
      String(await ask(served, "GET /again")),
      /^HTTP\/1\.1 503 .*\r\nRetry-After: 7\r\nX-Both: a: b\r\n.*\r\n\r\nlater$/s,
    );

    // What cannot be sent is refused, and nothing of it is answered.
    await page.getByRole("button", { name: "Answers 503" }).click();
    await page.locator("textarea[name=fields]").fill("Bad Name: x");
    await page.getByRole("button", { name: "Answer this from now on" }).click();
    await page.locator(".notice.problem.shown").waitFor();
    await page.keyboard.press("Escape");
    assert.match(String(await ask(served, "GET /unchanged")), /^HTTP\/1\.1 503 /);

    // It can send back what arrived.
    await page.getByRole("button", { name: "Answers 503" }).click();
    await page.locator("input[name=status]").fill("200");
    await page.locator("textarea[name=fields]").fill("");
    await page.getByLabel("send back the body of the request instead").check();
    await page.getByRole("button", { name: "Answer this from now on" }).click();
    await page.locator("dialog").waitFor({ state: "detached" });
    assert.match(String(await ask(served, "POST /mirror", [], "to and fro")), /\r\n\r\n.*to and fro/s);

    // Bytes are saved as they came.
    const body = Buffer.from(Array.from({ length: 1024 }, (_, at) => at % 256));
    const sent = Buffer.concat([
      Buffer.from(
        `POST /bytes HTTP/1.1\r\nhost: ${new URL(served).host}\r\nConnection: close\r\nX-A:  b \r\nContent-Length: ${body.length}\r\n\r\n`,
      ),
      body,
    ]);
    await send(served, sent);
    await select(page, "/bytes");
    for (const [name, button, bytes] of [
      ["Request", "Download the body", body],
      ["Wire", "Request", sent],
    ]) {
      await tab(page, name);
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.locator("#pane").getByRole("button", { name: button }).click(),
      ]);
      assert.deepEqual(readFileSync(await download.path()), bytes);
    }

    // Paused, it serves and captures nothing; cleared, only what is kept is left.
    await row(page, "/mirror").waitFor();
    await select(page, "/hook?delivery=1");
    await page.locator("#list").focus();
    await page.keyboard.press("p");
    await page.locator(".row.selected .icon-pin").waitFor();
    await page.getByRole("button", { name: "Pause", exact: true }).click();
    await page.locator(".banner", { hasText: "paused" }).waitFor();
    await ask(served, "GET /unseen");
    await page.locator(".bar").getByRole("button", { name: "Resume" }).click();
    await page.locator(".banner").waitFor({ state: "detached" });
    await ask(served, "GET /seen");
    await row(page, "/seen").waitFor();
    assert.equal(await row(page, "/unseen").count(), 0);
    await page.getByRole("button", { name: "Clear", exact: true }).click();
    await page.getByRole("button", { name: "Remove them" }).click();
    await page.waitForFunction(() => document.querySelectorAll(".rows .row").length === 1);
    await row(page, "/hook").waitFor();
  },
  { allows: /400 \(Bad Request\)/ },
);
