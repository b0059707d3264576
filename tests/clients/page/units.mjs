// The parts of the page that need no document, tested in the browser that runs them.

import { assert, withViewer } from "./browser.mjs";

const [viewer] = process.argv.slice(2);

await withViewer(viewer, async (page) => {
  const results = await page.evaluate(async () => {
    const { h, lazy, render } = await import("/dom.js");
    const [{ layOut }, query, bytes, body, edit, state, text] = await Promise.all(
      ["json", "query", "bytes", "body", "edit", "state", "text"].map((name) => import(`/${name}.js`)),
    );
    const of = (string) => new TextEncoder().encode(string);
    const string = (bytes) => (typeof bytes === "string" ? `! ${bytes}` : new TextDecoder("latin1").decode(bytes));
    const summary = (seq, more = {}) => ({
      seq,
      id: seq,
      began: seq,
      origin: "client",
      method: "POST",
      target: "/Hook?x",
      status: 200,
      fault: null,
      took: 1500,
      cpu: 900,
      memory: null,
      remote: "127.0.0.1:9",
      isCut: false,
      kept: null,
      ...more,
    });
    const matches = (text, more) => query.matches(summary(1, more), query.parse(text));

    // A state machine for exchanges: what is held after these actions.
    const run = (...actions) => actions.reduce(state.reduce, state.initial());
    const seqs = (list) => list.map(({ seq }) => seq);
    const list = (...all) => all.map((seq) => summary(seq));

    const wire = (head, content) => [of(head + content), of(head).length, of(content)];
    const chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    const sized = "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 2\r\n\r\n";
    const draft = (head, content, change) => ({ ...edit.draft(1, ...wire(head, content), []), ...change });
    const http2 = "POST / HTTP/2\r\nhost: a\r\ncontent-length: 2\r\n\r\n";
    const trailing = (head, change) => {
      const made = edit.draft(1, of(`${head}{}x: 1\r\n`), of(head).length, of("{}"), [["x", "1"]], true);
      return string(edit.bytesOf({ ...made, ...change }));
    };

    // The document after a view has changed: what is the same stays, in its place or another.
    const root = document.createElement("div");
    let computed = 0;
    const counted = (/** @type {string} */ text) => (computed++, h("i", null, text));
    const show = (keys, text, word) =>
      render(
        root,
        h(
          "ul",
          { "data-n": keys.length },
          keys.map((key) => h("li", { key, class: key }, key)),
        ),
        text,
        lazy("i", counted, word),
      );
    show(["a", "b", "c"], "<b>", "x");
    const [a, , c] = root.querySelectorAll("li");
    show(["c", "d", "a"], "&amp;<img src=x onerror=alert(1)>", "x");
    const dom = {
      html: root.innerHTML,
      isKept: [...root.querySelectorAll("li")].map((element) => element === a || element === c),
      computed,
    };

    return {
      dom,
      json: [
        '{"a":1.0,"a":[],"b":[1,{"c":null}],"big":12345678901234567890}',
        "[1,]",
        '{"a" 1}',
        "[1] 2",
        '"\\u00e',
        "",
        "nul",
      ].map((json) => {
        const { text, error } = layOut(json);
        return [text, error && `${error.line}:${error.column} ${error.what}`];
      }),
      deep: layOut("[".repeat(100_000)).error.what,
      query: [
        matches("hook"),
        matches("post 200"),
        matches("GET"),
        matches("status:2xx"),
        matches("status:404"),
        matches("status:>=400", { status: 500 }),
        matches("-hook"),
        matches("is:fault", { fault: "trap" }),
        matches("fault:trap"),
        matches("fault:*", { fault: "trap" }),
        matches("is:replay", { origin: { replay: { of: 1, id: 1, edited: false } } }),
        matches("took:>1ms"),
        matches("took:<1ms"),
        matches("cpu:>1s"),
        matches('"hook?x"'),
        matches("is:kept", { kept: "" }),
      ],
      local: [query.isLocal(query.parse("POST status:5xx")), query.isLocal(query.parse('body:"a b"'))],
      terms: query.parse('body:"a \\"b\\" c" -x http://y'),
      base64: bytes.toBase64(bytes.fromBase64("AP+AZg==")),
      hex: [
        bytes.hexLines(of("GET / HTTP/1.1\r\n!")),
        string(bytes.fromHexPairs("47 45\n54")),
        bytes.fromHexPairs("4g"),
        bytes.fromHexPairs("4"),
      ],
      wire: [bytes.wireText(of("A\r\nB\n\t\x01")).text, bytes.wireText(Uint8Array.from([65, 0xff])).text],
      images: [[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], [...of("<svg xmlns='x'>")], [...of("GIF89a")]].map(
        (all) => bytes.imageType(Uint8Array.from(all)),
      ),
      visible: text.visible("a\u202eb\u0000\u0007\u200b\n\t<é>\ud800"),
      form: body.form(of("a=1+2&b=%C3%A9&a=")),
      multipart: body.multipart(
        of(
          '--X\r\nContent-Disposition: form-data; name="f"; filename="a.b"\r\n\r\none\r\ntwo\r\n--X\r\n\r\n\r\n--X--\r\n',
        ),
        "X",
      ),
      partial: body.multipart(of("--X\r\nA: b\r\n\r\nnot ended"), "X").isWhole,
      edits: [
        string(edit.bytesOf(draft(sized, "{}", {}))),
        string(edit.bytesOf(draft(sized, "{}", { body: '{"a":1}' }))),
        string(edit.bytesOf(draft(sized, "{}", { body: "", isLengthKept: true }))),
        string(edit.bytesOf(draft(chunked, "2\r\n{}\r\n0\r\n\r\n", { body: "hello" }))),
        string(edit.bytesOf(draft(sized, "a\r\nb", { head: "GET /é HTTP/1.1\nHost: b" }))),
        string(edit.bytesOf(draft(sized, "{}", { mode: "hex", all: "47" }))),
        string(edit.bytesOf(draft("GET / HTTP/1.1\nHost: a\n\n", "", { head: "GET /b HTTP/1.1\nHost: a" }))),
        string(edit.bytesOf(draft(sized, "{}", { mode: "hex", all: "4" }))),
        trailing(http2, {}),
        trailing(http2, { body: "hello" }),
        trailing("POST / HTTP/2\r\n\r\n", { body: "hello" }),
      ],
      modes: [
        draft(sized, "a\rb", {}).isBodyHex,
        draft(sized, "a\r\nb", {}).isBodyHex,
        draft(sized, "\u0000\u0001", {}).isBodyHex,
        draft("GET / HTTP/1.1\r\nA: \u0001\r\n\r\n", "", {}).mode,
      ],
      held: [
        seqs(
          run(
            { type: "newest", exchanges: list(3, 2, 1), older: null, missed: 0 },
            { type: "exchanges", exchanges: list(4, 5) },
          ).held,
        ),
        seqs(
          run(
            { type: "newest", exchanges: list(9, 8), older: 8 },
            { type: "older", exchanges: list(7, 6), older: null, missed: 0 },
          ).held,
        ),
        // After a gap, the list begins again: it has no holes.
        seqs(
          run(
            { type: "newest", exchanges: list(2, 1), older: null, missed: 0 },
            { type: "gap", n: 7 },
            { type: "exchanges", exchanges: list(10) },
            { type: "newest", exchanges: list(9, 8), older: 8, missed: 7 },
          ).held,
        ),
        // Another server, which counts anew.
        seqs(
          run(
            { type: "newest", exchanges: list(30, 29), older: null, missed: 0 },
            { type: "newest", exchanges: list(2, 1), older: null, missed: 0 },
          ).held,
        ),
      ],
      place: (() => {
        const scrolled = run(
          { type: "newest", exchanges: list(3, 2, 1), older: null, missed: 0 },
          { type: "scrolled", top: 260, height: 520 },
          { type: "exchanges", exchanges: list(4, 5) },
        );
        return [scrolled.top, scrolled.unseen, state.reduce(scrolled, { type: "to top" }).top];
      })(),
      bound: run(
        { type: "newest", exchanges: [], older: null, missed: 0 },
        { type: "exchanges", exchanges: Array.from({ length: 30_000 }, (_, seq) => summary(seq + 1)) },
      ).held.length,
    };
  });

  assert.deepEqual(results, {
    dom: {
      html: '<ul data-n="3"><li class="c">c</li><li class="d">d</li><li class="a">a</li></ul>&amp;amp;&lt;img src=x onerror=alert(1)&gt;<i>x</i>',
      isKept: [true, false, true],
      computed: 1,
    },
    json: [
      [
        '{\n  "a": 1.0,\n  "a": [],\n  "b": [\n    1,\n    {\n      "c": null\n    }\n  ],\n  "big": 12345678901234567890\n}',
        null,
      ],
      ["[\n  1,", "1:4 expected a value"],
      ['{\n  "a"', "1:6 expected a colon"],
      ["[\n  1\n]", "1:5 expected nothing more"],
      ["", "1:1 expected a value"],
      ["", "1:1 expected a value"],
      ["", "1:1 expected a value"],
    ],
    deep: "more than 500 levels",
    query: [true, true, false, true, false, true, false, true, false, true, true, true, false, false, true, true],
    local: [true, false],
    terms: [
      { name: "body", value: 'a "b" c', isNegated: false },
      { name: "", value: "x", isNegated: true },
      { name: "", value: "http://y", isNegated: false },
    ],
    base64: "AP+AZg==",
    hex: [
      "000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  GET / HTTP/1.1··\n000010  21                                                !",
      "GET",
      '"g" is no hexadecimal digit',
      "the last byte has only one digit",
    ],
    wire: ["A\\r\\n\nB\\n\n\\t\\x01", "A\\xff"],
    images: ["image/png", null, "image/gif"],
    visible: "a\\u{202e}b\\x00\\x07\\u{200b}\n\t<é>\\u{d800}",
    form: [
      ["a", "1 2"],
      ["b", "é"],
      ["a", ""],
    ],
    multipart: {
      isWhole: true,
      parts: [
        {
          fields: [["Content-Disposition", 'form-data; name="f"; filename="a.b"']],
          body: results.multipart.parts[0].body,
          at: 65,
        },
        { fields: [], body: results.multipart.parts[1].body, at: 82 },
      ],
    },
    partial: false,
    edits: [
      "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 2\r\n\r\n{}",
      'POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 7\r\n\r\n{"a":1}',
      "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 2\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      "GET /Ã© HTTP/1.1\r\nHost: b\r\nContent-Length: 4\r\n\r\na\r\nb",
      "G",
      "GET /b HTTP/1.1\nHost: a\n\n",
      "! the last byte has only one digit",
      "POST / HTTP/2\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}",
      "POST / HTTP/2\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
      "POST / HTTP/2\r\n\r\nhello",
    ],
    modes: [true, false, true, "hex"],
    held: [
      [5, 4, 3, 2, 1],
      [9, 8, 7, 6],
      [10, 9, 8],
      [2, 1],
    ],
    place: [312, 2, 0],
    bound: 20_000,
  });
});
