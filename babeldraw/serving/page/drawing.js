// Requests to the server this page came from, and the events of its streams.

export class Refused extends Error {}

export class Server {
  constructor() {
    this.key = "";
  }

  async #fetch(path, options = {}) {
    const headers = { ...options.headers };
    if (this.key) headers.Authorization = `Bearer ${this.key}`;
    let answer;
    try {
      answer = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused("The server cannot be reached; is it running?");
    }
    if (!answer.ok) {
      const said = await answer.json().catch(() => null);
      throw new Refused(said?.error?.message ?? `The server answers with ${answer.status}.`);
    }
    return answer;
  }

  async models() {
    return (await this.get("/v1/models")).data;
  }

  async get(path) {
    return (await this.#fetch(path)).json();
  }

  async send(path, method, body) {
    return (await this.#fetch(path, { method, body })).json();
  }

  async post(path, asked) {
    const body = JSON.stringify(asked);
    return (await this.#fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body })).json();
  }

  // Draws, and calls onPart and onDone with each event; asked has a file where part of it stays.
  async draw(asked, { signal, onPart, onDone }) {
    const { image, ...fields } = asked;
    let answer;
    if (image) {
      const body = new FormData();
      for (const [name, value] of Object.entries(fields)) body.append(name, String(value));
      body.append("image", image, "picture.png");
      answer = await this.#fetch("/v1/images/edits", { method: "POST", body, signal });
    } else {
      const headers = { "Content-Type": "application/json" };
      const body = JSON.stringify(fields);
      answer = await this.#fetch("/v1/images/generations", { method: "POST", headers, body, signal });
    }
    if (!asked.stream) {
      const { data, ...common } = await answer.json();
      for (const one of data) onDone({ ...common, ...one });
      return;
    }
    for await (const event of events(answer.body)) {
      if (event.error) throw new Refused(event.error.message);
      if (event.type.endsWith(".partial_image")) onPart(event);
      else onDone(event);
    }
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}

export const toSource = (base64) => `data:image/png;base64,${base64}`;

export function toBlob(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}

export function toBase64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1] ?? "");
    reader.onerror = () => reject(new Refused("The file cannot be read; take another."));
    reader.readAsDataURL(blob);
  });
}
