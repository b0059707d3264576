// Every tab and every key, without a mouse.

import { api, ask, assert, row, send, withViewer } from "./browser.mjs";

const [viewer, served] = process.argv.slice(2);

await withViewer(
  viewer,
  async (page) => {
    const press = (key) => page.keyboard.press(key);
    const selects = (target) => page.locator(".row.selected .target", { hasText: target }).waitFor();
    const pane = (name) => page.locator(`#pane[aria-labelledby="tab-${name}"] .pane-inner`).innerText();
    const has = async (text, ...parts) =>
      parts.forEach((part) => assert(text.includes(part), `${JSON.stringify(part)} is not in ${text}`));
    const sends = async (target, sent) => {
      await sent;
      await row(page, target).waitFor();
    };
    await sends(
      "/one",
      ask(
        served,
        "POST /tells_its_request/one?x=1",
        ["Content-Type: application/json", "X-First: a", "X-First: b"],
        '{"a":[1,2]}',
      ),
    );
    await sends("/two", ask(served, "GET /panics/two"));
    await sends("/three", send(served, "GET /three HTTP/1.1\nHost: a\r\nHost: b\r\n\r\n"));

    // The list.
    await press("ArrowDown");
    await selects("/three");
    await press("j");
    await press("j");
    await selects("/tells_its_request/one?x=1");
    await press("k");
    await selects("/panics/two");
    await press("Home");
    await selects("/three");
    await press("End");
    await selects("/tells_its_request/one?x=1");
    assert.equal(
      await page.locator("#list").getAttribute("aria-activedescendant"),
      await page.locator(".row.selected").getAttribute("id"),
    );

    // The tabs.
    await press("1");
    has(
      await pane("Request"),
      "POST /tells_its_request/one?x=1 HTTP/1.1",
      "X-First",
      '"a": [',
      "11 bytes, application/json",
    );
    await press("2");
    has(await pane("Response"), "HTTP/1.1 200 OK", "Content-Type", "PATH_INFO");
    await press("3");
    has(await pane("Wire"), "from the client", "X-First: a\\r\\n", "to the client", "HTTP/1.1 200 OK\\r\\n");
    await press("4");
    has(
      await pane("Environ"),
      "PATH_INFO",
      "/one",
      "SCRIPT_NAME",
      "/tells_its_request",
      "QUERY_STRING",
      "HTTP_X_FIRST",
    );
    await press("5");
    has(await pane("Timeline"), "Head arrives", "Handler answers", "the handler starts");
    await press("6");
    has(await pane("Log"), "handled");
    await press("7");
    has(await pane("Stack"), "No fault");
    await press("8");
    has(await pane("Lint"), "Nothing unusual");
    await press("9");
    has(await pane("Diff"), "Compare this response with another");

    // What failed.
    await press("k");
    await press("7");
    has(await pane("Stack"), "no coffee in /two", "at ");
    await press("k");
    await press("8");
    has(await pane("Lint"), "LF instead of CRLF", "RFC 9112");
    await press("4");
    has(await pane("Environ"), "No handler got this request");

    // Into the exchange and back, tab by tab.
    await press("Enter");
    await page.locator("#pane:focus").waitFor();
    await page.locator("#tab-Environ").focus();
    await press("ArrowRight");
    await page.locator("#tab-Timeline:focus").waitFor();
    await press("Escape");
    await page.locator("#list:focus").waitFor();

    // The filter.
    await press("/");
    await page.locator("#filter:focus").waitFor();
    await page.keyboard.type("fault:*  -is:kept  path:/two");
    await page.locator('.found:has-text("1 of 3")').waitFor();
    await press("Enter");
    await selects("/panics/two");
    await press("/");
    await press("Escape");
    await page.waitForFunction(() => document.getElementById("filter").value === "");
    await page.keyboard.type("is:unheard-of");
    await page.locator(".found.problem").waitFor();
    await press("Escape");
    await press("Escape");
    await page.locator("#list:focus").waitFor();
    await page.locator(".rows .row").nth(2).waitFor();

    // Keep, and a note.
    await press("p");
    await page.locator(".row.selected .icon-pin").waitFor();
    await page.locator(".note input").fill("look at this");
    await press("Tab");
    await page.waitForFunction(() => document.querySelector(".note input")?.defaultValue === "look at this");
    assert.equal((await api(page, "exchanges?q=is:kept")).exchanges[0].kept, "look at this");
    await page.locator("#list").focus();
    await press("p");
    await page.locator(".row.selected .icon-pin").waitFor({ state: "detached" });

    // Compare with the exchange that is selected next.
    await press("d");
    await page.locator(".banner", { hasText: "Choose the exchange to compare with" }).waitFor();
    await press("Escape");
    await page.locator(".banner").waitFor({ state: "detached" });

    // Help.
    await press("?");
    await page.locator("dialog[open]", { hasText: "Keys" }).waitFor();
    await press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    await page.locator("#list:focus").waitFor();
    await press("Escape");
    await page.locator(".detail.none").waitFor();
  },
  { allows: /400 \(Bad Request\)/ },
);
