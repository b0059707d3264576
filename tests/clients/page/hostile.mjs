// Captures whose senders attack whoever looks at them.

import { ask, assert, select, send, tab, withViewer } from "./browser.mjs";

const [viewer, served] = process.argv.slice(2);

const SCRIPT = "<script>alert(1)</script>";
const IMAGE = "<img src=x onerror=alert(1)>";
const SVG = "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(2)</script></svg>";
const TEMPLATE = "{{constructor.constructor('alert(1)')()}}${alert(1)}";
const BIDI = "\u202egnp.exe\u2066\u200b";

const TABS = ["Request", "Response", "Wire", "Environ", "Timeline", "Log", "Stack", "Lint", "Diff"];
const VIEWS = ["JSON", "Form", "Parts", "Image", "Text", "Hex"];

await ask(served, `GET /tells_its_request/script?x='"&lt;{{7*7}}`.replace(/[{}"]/g, encodeURIComponent), [
  `X-Evil: ${IMAGE}`,
  `Cookie: ${SCRIPT}`,
  `User-Agent: ${BIDI}${TEMPLATE}`,
]);
for (const type of [
  "text/html",
  "image/svg+xml",
  "image/png",
  "application/json",
  "application/x-www-form-urlencoded",
  'multipart/form-data; boundary="</pre>"',
]) {
  const name = type.replace(/\W/g, "-");
  await ask(
    served,
    `POST /tells_its_request/${name}`,
    [`Content-Type: ${type}`],
    `--</pre>\r\nContent-Disposition: form-data; name="${SCRIPT}"\r\n\r\n${SVG}${IMAGE}${TEMPLATE}${BIDI}`,
  );
}
await ask(served, `GET /tells_its_request/${SCRIPT}`);
// A line of 10 MB, which is longer than what is kept of a body.
await ask(served, "POST /tells_its_request/long", ["Content-Type: text/plain"], `${SCRIPT}${"x".repeat(10e6)}`);
await ask(served, "POST /tells_its_request/json", ["Content-Type: application/json"], `${"[".repeat(100_000)}`);
// What is no HTTP, and what no terminal should see.
await send(served, `${SCRIPT}\u001b]0;owned\u0007${IMAGE}\r\n\r\n`);
await ask(served, "GET /tells_its_request/last");

await withViewer(viewer, async (page) => {
  await page.evaluate(() => {
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
      globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI}`),
    );
  });
  await page.locator(".rows .row", { hasText: "/last" }).waitFor();
  const rows = await page.locator(".rows .row").count();
  assert(rows >= 10, `${rows} rows`);
  await page.locator("#list").focus();
  await page.keyboard.press("Home");
  for (let at = 0; at < rows; at++) {
    for (const [index, name] of TABS.entries()) {
      await page.keyboard.press(String(index + 1));
      await page.waitForSelector(`#pane[aria-labelledby="tab-${name}"] .pane-inner`);
      for (const view of name === "Request" || name === "Response" ? VIEWS : []) {
        const button = page.locator("#pane .choice button", { hasText: new RegExp(`^${view}$`) });
        if (await button.count()) await button.click();
      }
    }
    await page.keyboard.press("j");
  }

  // Nothing of it has become an element or an attribute.
  const made = await page.evaluate(() => ({
    scripts: [...document.scripts].map(({ src }) => new URL(src).pathname),
    foreign: document.querySelectorAll("iframe, object, embed, base, img[onerror], [onload], a, form, meta[http-equiv]")
      .length,
    violations: globalThis.violations,
  }));
  assert.deepEqual(made, { scripts: ["/app.js"], foreign: 0, violations: [] });

  // It is shown as it was sent, and what is invisible is visible.
  await select(page, "/tells_its_request/script");
  const request = await tab(page, "Request");
  for (const text of [SCRIPT, IMAGE, "{{constructor.constructor('alert(1)')()}}", "\\u{202e}gnp.exe\\u{2066}\\u{200b}"])
    assert(request.includes(text), request);
  await page.locator("#list").focus();

  // An image is one by its first bytes, and never SVG.
  await select(page, "/tells_its_request/image-svg");
  await tab(page, "Request");
  assert.equal(await page.locator("#pane .choice button", { hasText: "Image" }).count(), 0);

  // Of a long line, the document has a part.
  await select(page, "/tells_its_request/long");
  assert((await tab(page, "Request")).length < 300_000);
  assert(await page.locator(".cut").isVisible());
});
