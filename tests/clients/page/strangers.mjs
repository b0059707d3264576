// Other pages in the same browser, which try to read the viewer: a handler's own page on the next port, and a name that
// suddenly means this machine (DNS rebinding).

import { api, ask, assert, withViewer } from "./browser.mjs";

const [viewer, served] = process.argv.slice(2);
const { origin, port, hash } = new URL(viewer);
const token = hash.slice("#k=".length);

/** A page that tries everything it can, and keeps what it got. */
const attack = (origin) => `<!doctype html><title>attack</title><script>
  const origin = ${JSON.stringify(origin)};
  const got = {};
  const settle = (name, promise) => promise.then((what) => (got[name] = String(what)), (error) => (got[name] = "error " + error.name));
  const timed = (event, element) => new Promise((resolve, reject) => { element.addEventListener("load", () => resolve("loaded")); element.addEventListener("error", () => reject(new TypeError())); document.documentElement.append(element); });
  const make = (name, more) => Object.assign(document.createElement(name), more);
  globalThis.done = Promise.all([
    settle("fetch", fetch(origin + "/api/state").then((r) => r.text())),
    settle("fetch with a guess", fetch(origin + "/api/state", { headers: { Authorization: "Bearer guess" } }).then((r) => r.text())),
    settle("fetch with credentials", fetch(origin + "/api/exchanges", { credentials: "include" }).then((r) => r.text())),
    settle("opaque fetch", fetch(origin + "/api/state", { mode: "no-cors" }).then((r) => r.type + r.status)),
    settle("post", fetch(origin + "/api/clear", { method: "POST", mode: "no-cors", body: "{}" }).then((r) => r.type + r.status)),
    settle("page", fetch(origin + "/").then((r) => r.text())),
    settle("events", new Promise((resolve, reject) => { const source = new EventSource(origin + "/api/events"); source.onmessage = resolve; source.onerror = () => { source.close(); reject(new TypeError()); }; })),
    settle("image", timed("load", make("img", { src: origin + "/icon.svg" }))),
    settle("script", timed("load", make("script", { src: origin + "/state.js", type: "module" }))),
    settle("style", timed("load", make("link", { href: origin + "/style.css", rel: "stylesheet" }))),
    settle("frame", (async () => { const frame = make("iframe", { src: origin + "/" }); await timed("load", frame); return frame.contentDocument?.body?.innerText ?? "opaque"; })()),
    settle("form", (async () => { const name = "target"; const frame = make("iframe", { name }); document.documentElement.append(frame); const form = make("form", { action: origin + "/api/clear", method: "post", target: name, enctype: "text/plain" }); document.documentElement.append(form); form.submit(); await new Promise((r) => setTimeout(r, 500)); return "sent"; })()),
    settle("popup", (async () => { const other = open(origin + "/"); await new Promise((r) => setTimeout(r, 800)); return other === null ? "none" : other.closed ? "severed" : other.document.body.innerText; })()),
    settle("storage", Promise.resolve(sessionStorage.getItem("token") ?? "none")),
    settle("cookies", Promise.resolve(document.cookie || "none")),
  ]).then(() => got);
</script>`;

await ask(served, "GET /before");

await withViewer(
  viewer,
  async (page, browser) => {
    await page.locator(".rows .row").first().waitFor();
    const set = {
      status: 200,
      fields: [
        ["Content-Type", "text/html"],
        ["Set-Cookie", "planted=1; Path=/"],
      ],
      body: attack(origin),
    };
    const answer = await api(page, "bin", { method: "PUT", body: JSON.stringify(set) });
    assert.equal(answer.status, 200, JSON.stringify(answer));

    // The handler's page, in the browser context that knows the viewer, opened as a link would.
    const stranger = await page.context().newPage();
    await stranger.goto(served);
    const got = await stranger.evaluate(() => globalThis.done);
    const secret = JSON.stringify(got);
    assert(!secret.includes(token) && !secret.includes("seen") && !secret.includes("/before"), secret);
    for (const name of [
      "fetch",
      "fetch with a guess",
      "fetch with credentials",
      "page",
      "events",
      "image",
      "script",
      "style",
    ])
      assert.match(got[name], /^error/, `${name}: ${got[name]}`);
    for (const name of ["storage", "cookies"])
      assert(["none", "planted=1"].includes(got[name]), `${name}: ${got[name]}`);
    assert(["opaque", "error SecurityError"].includes(got.frame) || got.frame === "", `frame: ${got.frame}`);
    await stranger.close();

    // Nothing was cleared, and the handler was never told the token nor given a cookie of ours.
    const { exchanges } = await api(page, "exchanges");
    assert(exchanges.some(({ target }) => target === "/before"));
    for (const { seq } of exchanges) {
      const detail = JSON.stringify(await api(page, `exchanges/${seq}`));
      assert(!detail.includes(token), `the token is in exchange ${seq}`);
      assert(!detail.includes(btoa(token).slice(0, -2)), `the token is in the bytes of exchange ${seq}`);
    }
    const cookies = await page.context().cookies();
    assert.deepEqual(
      cookies.map(({ name }) => name),
      ["planted"],
    );

    // A page of the viewer has no name for scripts of others, and cannot be framed: a cookie that was planted changes nothing.
    await page.reload();
    await page.waitForSelector(".light.live");

    // A name that now means this machine.
    const rebound = await page.context().newPage();
    const response = await rebound.goto(`http://evil.test:${port}/`);
    assert.equal(response.status(), 421);
    const read = await rebound.evaluate(async (token) => {
      const response = await fetch("/api/state", { headers: { Authorization: `Bearer ${token}` } });
      return [response.status, await response.text()];
    }, token);
    assert.equal(read[0], 421, "even with the token");
    assert(!read[1].includes("seen"), read[1]);
    await rebound.close();
  },
  { args: ["--host-resolver-rules=MAP evil.test 127.0.0.1"] },
);
