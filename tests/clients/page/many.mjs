// Ten thousand exchanges, and two thousand more a second: the page stays small, and can be used meanwhile.
//
// Prints what it measured; how long things take depends on the machine, so only sizes can fail.

import net from "node:net";

import { assert, withViewer } from "./browser.mjs";

const [viewer, served] = process.argv.slice(2);
const HELD = 10_000;
const RATE = 2_000;
const SECONDS = 5;
const NODES_MAX = 2_000;
const HEAP_MAX = 100e6;

const { hostname, port } = new URL(served);
const request = Buffer.from(`GET /hello HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`);

/** A connection on which requests are sent without waiting for responses. */
function connect() {
  const socket = net.connect(Number(port), hostname);
  let answered = 0;
  const waiting = [];
  let rest = "";
  socket.on("data", (data) => {
    const text = rest + data.toString("latin1");
    answered += text.split("HTTP/1.1 200 OK").length - 1;
    // What may be the beginning of the next status line.
    rest = text.slice(-14).includes("HTTP/1.1 200 OK") ? "" : text.slice(-14);
    for (const { count, resolve } of waiting) if (answered >= count) resolve();
  });
  return {
    send: (count) => socket.write(Buffer.concat(Array(count).fill(request))),
    answered: (count) => new Promise((resolve) => (answered >= count ? resolve() : waiting.push({ count, resolve }))),
    count: () => answered,
    close: () => socket.destroy(),
  };
}

const connection = connect();
for (let sent = 0; sent < HELD; sent += 200) {
  connection.send(200);
  await connection.answered(sent + 200);
}

const begun = performance.now();
await withViewer(viewer, async (page) => {
  await page.locator(".rows .row").nth(20).waitFor();
  const first = await page.evaluate(() => performance.now());
  const protocol = await page.context().newCDPSession(page);
  await protocol.send("HeapProfiler.enable");
  await page.evaluate(() => {
    globalThis.frames = [];
    let before = performance.now();
    const frame = (now) => {
      globalThis.frames.push(now - before);
      before = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });

  const nodes = () =>
    page.evaluate(() => {
      const walker = document.createTreeWalker(document, NodeFilter.SHOW_ALL);
      let count = 0;
      while (walker.nextNode()) count++;
      return count;
    });
  const heap = async () => {
    await protocol.send("HeapProfiler.collectGarbage");
    return (await protocol.send("Runtime.getHeapUsage")).usedSize;
  };
  let most = 0;
  const watch = async () => (most = Math.max(most, await nodes()));

  // It arrives faster than anyone reads: what is selected stays, and can be read.
  await page.keyboard.press("j");
  await page.waitForSelector("#pane .pane-inner");
  const selected = await page.locator(".heading .facts span").first().innerText();
  const started = connection.count();
  const flood = (async () => {
    for (let tick = 0; tick < SECONDS * 20; tick++) {
      connection.send(RATE / 20);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  for (const key of ["2", "3", "5", "1"]) {
    await page.keyboard.press(key);
    await page.waitForSelector("#pane .pane-inner");
    await watch();
  }
  await flood;
  await connection.answered(started + RATE * SECONDS);
  assert.equal(await page.locator(".heading .facts span").first().innerText(), selected);

  // It shows all that there was.
  const total = HELD + RATE * SECONDS;
  await page.waitForFunction(
    (total) => document.querySelector(".figures")?.textContent === `${total.toLocaleString("en")} seen`,
    total,
  );
  await watch();

  // Through the whole list: older ones are loaded.
  await page.locator("#list").focus();
  const rows = () => page.evaluate(() => document.querySelector(".rows").getBoundingClientRect().height / 26);
  while ((await rows()) < 6_000) {
    const before = await rows();
    await page.keyboard.press("End");
    await page.waitForFunction(
      (before) => document.querySelector(".rows").getBoundingClientRect().height / 26 > before + 100,
      before,
    );
    await watch();
  }
  const used = await heap();
  assert(most <= NODES_MAX, `${most} nodes`);
  assert(used <= HEAP_MAX, `${used} bytes of heap`);
  const frames = await page.evaluate(() => globalThis.frames.toSorted((a, b) => a - b));
  const share = (part) => Math.round(frames[Math.floor(frames.length * part)]);
  console.log(
    `list after ${Math.round(first)} ms (with the start of the browser ${Math.round(performance.now() - begun)} ms in all)`,
  );
  console.log(`${most} nodes, ${(used / 1e6).toFixed(1)} MB of heap, ${Math.round(await rows())} rows held`);
  console.log(
    `frames: ${share(0.5)} ms median, ${share(0.99)} ms 99th percentile, ${Math.round(frames.at(-1))} ms longest`,
  );
});
connection.close();
