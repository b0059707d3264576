// The viewer's API. The token is in the field Authorization of each request: never in a URL, never in a cookie.

/** An answer that is an error. */
export class ApiError extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** A connection to the API with a token. */
export class Api {
  /** @param {string} token */
  constructor(token) {
    this.token = token;
  }

  /**
   * @param {string} path Below `/api/`.
   * @param {RequestInit} [init]
   */
  async send(path, init = {}) {
    const headers = { Authorization: `Bearer ${this.token}`, ...init.headers };
    const response = await fetch(`/api/${path}`, { ...init, headers, cache: "no-store", credentials: "omit" });
    if (response.ok) return response;
    let message = `the viewer answered ${response.status}`;
    try {
      message = (await response.json()).error ?? message;
    } catch {
      // An answer without a reason.
    }
    throw new ApiError(response.status, message);
  }

  /** @param {string} path */
  async get(path) {
    return (await this.send(path)).json();
  }

  /** @param {string} path @param {any} [body] @param {string} [method] */
  async post(path, body = {}, method = "POST") {
    const init = { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const text = await (await this.send(path, init)).text();
    return text ? JSON.parse(text) : null;
  }

  /** @param {string} path @returns {Promise<Uint8Array<ArrayBuffer>>} */
  async bytes(path) {
    return new Uint8Array(await (await this.send(path)).arrayBuffer());
  }

  /**
   * Follows the server-sent events until the connection ends. `EventSource` cannot send a token.
   *
   * @param {number} after The last seq that is known.
   * @param {(type: string, data: any) => void} receive
   * @param {AbortSignal} signal
   */
  async events(after, receive, signal) {
    const response = await this.send(`events?after=${after}`, { signal });
    if (!response.body) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        let [type, data] = ["message", ""];
        for (const line of block.split("\n")) {
          if (line.startsWith("event:")) type = line.slice(6).trim();
          if (line.startsWith("data:")) data += line.slice(5);
        }
        if (data) receive(type, JSON.parse(data));
      }
    }
  }
}
