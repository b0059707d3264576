// Asks for the token: shown without one, and when it is wrong.

import { h } from "../dom.js";

/** @param {import("../state.js").State} state @param {any} act */
export const signIn = (state, act) =>
  h(
    "main",
    { class: "sign-in" },
    h(
      "form",
      {
        on: {
          submit: (/** @type {any} */ event) => {
            event.preventDefault();
            act.signIn(String(new FormData(event.currentTarget).get("token")).trim());
          },
        },
      },
      h("h1", null, "wasmserve"),
      h(
        "p",
        null,
        "Open the address that the server printed: it ends in ",
        h("code", null, "#k=…"),
        ". Or enter what follows ",
        h("code", null, "k="),
        ".",
      ),
      state.problem && h("p", { class: "problem", role: "alert" }, state.problem),
      h(
        "label",
        null,
        h("span", null, "Token"),
        h("input", { name: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false" }),
      ),
      h("button", { type: "submit", class: "button primary" }, h("span", null, "Look")),
    ),
  );
