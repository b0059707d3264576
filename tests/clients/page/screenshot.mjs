// Makes the pictures of docs/see.md: a server with a handler that has a mistake, traffic, and a browser. See docs/see/make.
//
// Arguments: the program `wasmserve`, the directory of the pictures, and a directory for the handler.

import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { ask, row, select, withViewer } from "./browser.mjs";

const [program, pictures, directory] = process.argv.slice(2);

const HANDLER = `use wasmserve_guest::prelude::*;

handler!(app);

fn app(environ: Environ) -> Result<(u16, String)> {
    match &*environ.path() {
        "/github" => github(&environ),
        "/report" => Ok((200, report())),
        "/health" => Ok((200, "fine\\n".into())),
        path => Ok((404, format!("there is no {path}\\n"))),
    }
}

fn github(environ: &Environ) -> Result<(u16, String)> {
    let body = environ.input().read_all(1 << 20)?;
    let event = environ.header("X-GitHub-Event").unwrap_or("nothing");
    environ.errors().log(format!("{event}, {} bytes", body.len()));
    let body = String::from_utf8_lossy(&body);
    Ok((200, format!("{{\\"event\\": \\"{event}\\", \\"label\\": \\"{}\\"}}\\n", label(&body))))
}

#[inline(never)]
fn label(body: &str) -> &str {
    let name = body.split("\\"labels\\":[{\\"name\\":\\"").nth(1).unwrap();
    name.split('"').next().unwrap_or_default()
}

#[inline(never)]
fn report() -> String {
    let mut sum = 0_u64;
    loop {
        sum = std::hint::black_box(sum + 1);
    }
}
`;

const hook = (labels) =>
  JSON.stringify({
    action: "opened",
    number: 42,
    pull_request: {
      id: 1874205511,
      title: "Keep the order of fields",
      draft: false,
      labels,
      user: { login: "octocat", id: 583231 },
    },
    repository: { full_name: "octo/hello", private: false, stargazers_count: 300 },
    sender: { login: "octocat" },
  });
const FIELDS = [
  "Accept: */*",
  "Content-Type: application/json",
  "User-Agent: GitHub-Hookshot/044aadd",
  "X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958",
  "X-GitHub-Event: pull_request",
  "X-Hub-Signature-256: sha256=d57c68ca6f92289e6987922ff26938930f6e66a2d161ef06abdf1859230aa23c",
];

const file = join(directory, "hook.rs");
writeFileSync(file, HANDLER);
const server = spawn(program, ["hook.rs", "--ui=127.0.0.1:8001", "--addr", "127.0.0.1:8000", "--cpu-time", "60s"], {
  cwd: directory,
  stdio: ["ignore", "inherit", "pipe"],
});
const urls = {};
for await (const line of createInterface({ input: server.stderr })) {
  urls.viewer ??= /viewer on (\S+)/.exec(line)?.[1];
  urls.served ??= /listening on (\S+)/.exec(line)?.[1];
  if (urls.viewer && urls.served) break;
}
const { viewer, served } = urls;
server.stderr.resume();

const shoot = (page, name) =>
  page.screenshot({ path: join(pictures, `${name}.png`), animations: "disabled", caret: "hide" });
const size = { width: 1200, height: 672 };

try {
  for (const line of ["GET /health", "GET /", "HEAD /health", "GET /favicon.ico"])
    await ask(served, line, ["User-Agent: curl/8.5.0"]);
  await ask(served, "POST /github", FIELDS, hook([{ name: "bug" }, { name: "http" }]));
  for (let at = 0; at < 6; at++)
    await ask(served, ["GET /health", "GET /health", "OPTIONS /"][at % 3], ["User-Agent: kube-probe/1.31"]);
  await ask(served, "POST /github", FIELDS, hook([]));
  for (let at = 0; at < 4; at++) await ask(served, "GET /health", ["User-Agent: kube-probe/1.31"]);

  // What is seen first: the list, and in it what failed; second: why.
  await withViewer(
    viewer,
    async (page) => {
      await page.locator(".row.failed").first().click();
      await page.locator("#tab-Request").click();
      await page.locator("#pane .section").first().waitFor();
      await page.locator("#list").focus();
      await page.keyboard.press("p");
      await page.locator(".row.selected .icon-pin").waitFor();
      await page.locator(".notice:not(.shown)").waitFor({ state: "attached" });
      await shoot(page, "list");
    },
    { ...size, theme: "light" },
  );

  // The handler is mended, and the kept request shows what that changes.
  await withViewer(
    viewer,
    async (page) => {
      await row(page, "/github").waitFor();
      writeFileSync(file, HANDLER.replace(".nth(1).unwrap()", '.nth(1).unwrap_or("none")'));
      const saved = page.locator(".saved.differs");
      await saved.waitFor({ timeout: 60_000 });
      await saved.getByRole("button", { name: "See the difference" }).click();
      await page.locator("#pane .verdict").waitFor();
      await shoot(page, "diff");
    },
    { ...size, theme: "dark" },
  );

  // A handler that never ends: where it is.
  await withViewer(
    viewer,
    async (page) => {
      ask(served, "GET /report?year=2026");
      const running = page.locator(".running li", { hasText: "/report" });
      await running.waitFor();
      await running.getByRole("button", { name: "Show the stack" }).click();
      await running.locator(".frame").first().waitFor();
      await select(page, "/github");
      await page.locator("#tab-Timeline").click();
      await page.locator("#pane .lanes").waitFor();
      await shoot(page, "running");
      await running.getByRole("button", { name: "End it" }).click();
      await running.waitFor({ state: "detached" });
    },
    { ...size, theme: "light" },
  );
} finally {
  server.kill();
}
