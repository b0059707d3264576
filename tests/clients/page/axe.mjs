// What axe finds wrong with the page, in both themes and everywhere in it.

import { readFileSync } from "node:fs";

import { ask, assert, require, withViewer } from "./browser.mjs";

const [viewer, served] = process.argv.slice(2);
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

await ask(served, "POST /tells_its_request/one", ["Content-Type: application/x-www-form-urlencoded"], "a=1&b=2");
await ask(served, "GET /panics/two");
await ask(served, "GET /missing");

for (const theme of ["light", "dark"]) {
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
      for (const row of [0, 1, 2]) {
        await page.keyboard.press("j");
        for (let tab = 1; tab <= 9; tab++) {
          await page.keyboard.press(String(tab));
          await page.waitForSelector("#pane .pane-inner");
          await check(`exchange ${row}, tab ${tab}`);
        }
      }
      await page.keyboard.press("?");
      await page.waitForSelector("dialog[open]");
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
}
