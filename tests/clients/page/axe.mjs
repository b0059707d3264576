// What axe finds wrong with the page, in one theme and everywhere in it.

import { readFileSync } from "node:fs";

import { ask, assert, require, select, withViewer } from "./browser.mjs";

const [viewer, served, theme] = process.argv.slice(2);
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** The tabs that are looked at, of each exchange. */
const LOOKED_AT = { "/one": "123456789", "/two": "267", "/missing": "28" };

await ask(served, "POST /tells_its_request/one", ["Content-Type: application/x-www-form-urlencoded"], "a=1&b=2");
await ask(served, "GET /panics/two");
await ask(served, "GET /missing");

await withViewer(
  viewer,
  async (page) => {
    await page.evaluate(axe);
    const check = async (where) => {
      const found = await page.evaluate(async (tags) => {
        const { violations } = await globalThis.axe.run(document, { runOnly: tags });
        return violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes[0].html}`);
      }, TAGS);
      assert.deepEqual(found, [], `${theme}, ${where}`);
    };
    await page.locator(".rows .row").nth(2).waitFor();
    await check("nothing selected");
    for (const [target, tabs] of Object.entries(LOOKED_AT)) {
      await select(page, target);
      for (const tab of tabs) {
        await page.keyboard.press(tab);
        await page.waitForSelector("#pane .pane-inner");
        await check(`${target}, tab ${tab}`);
      }
    }
    await page.keyboard.press("e");
    await page.waitForSelector("#edit-head");
    await check("editing");
    await page.keyboard.press("Escape");
    await page.keyboard.press("x");
    await page.waitForSelector(".preview");
    await check("exporting");
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    await page.waitForSelector("dialog[open] .help");
    await check("help");
    await page.keyboard.press("Escape");
    await page.fill("#filter", "nothing-like-it");
    await page.waitForSelector(".nothing");
    await check("nothing found");
    await page.setViewportSize({ width: 400, height: 700 });
    await check("a narrow window");
  },
  { theme },
);
