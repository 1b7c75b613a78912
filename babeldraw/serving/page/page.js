// The page put together: what is asked, what is shown of it as it is drawn, and what follows.

import { Server, Refused, toBase64, toBlob, toSource } from "/page/drawing.js";
import * as history from "/page/history.js";
import { Start } from "/page/start.js";
import { Teaching } from "/page/teaching.js";

const LOOKS = 15;
const MOST_TERMS = 3;
const NUMBERS = ["n", "seed", "guidance_weight", "cutoff", "temperature"];

const at = (id) => document.getElementById(id);
const server = new Server();
const start = new Start();
const teaching = new Teaching(server, say, model, async (name) => {
  await list();
  if (!name) return takeModel();
  at("model").value = name;
  takeModel();
  at("prompt").value = model().examples[0];
  at("prompt").focus();
});
let models = [];
let terms = [];
let running = null;
const real = new Map(); // by model: what its known prompts look like in its data

function model() {
  return models.find((one) => one.id === at("model").value) ?? models[0];
}

function say(text, bad = false) {
  at("status").textContent = text;
  at("status").classList.toggle("bad", bad);
}

function settings() {
  const found = { prompt: at("prompt").value };
  for (const name of NUMBERS) found[name] = Number(at(name).value);
  if (model()) found.model = model().id;
  if (terms.length) found.terms = terms;
  return found;
}

function bringBack(found) {
  at("prompt").value = found.prompt;
  for (const name of NUMBERS) if (Number.isFinite(found[name])) at(name).value = found[name];
  if (models.some((one) => one.id === found.model)) at("model").value = found.model;
  const given = Array.isArray(found.terms) ? found.terms : [];
  terms = given.filter((one) => typeof one?.text === "string" && Number.isFinite(one?.weight)).slice(0, MOST_TERMS);
  showTerms();
  showModel();
}

async function draw(asked, image = null) {
  if (running) running.abort();
  const control = (running = new AbortController());
  const { n } = asked;
  const figures = Array.from({ length: n }, (_, number) => newFigure(asked, number));
  at("drawn").replaceChildren(...figures);
  at("stop").hidden = false;
  say(n === 1 ? "Drawing a picture" : `Drawing ${n} pictures`);
  const rerank = at("rerank").checked && !image;
  const request = { ...asked, ...(rerank ? { rerank } : { stream: true, partial_images: LOOKS }) };
  if (image) Object.assign(request, { image, ...start.part });
  const began = performance.now();
  let first = null;
  let done = 0;
  let warnings = [];
  try {
    await server.draw(request, {
      signal: control.signal,
      onPart: (part) => {
        first ??= performance.now() - began;
        figures[part.number].querySelector("img").src = toSource(part.b64_json);
      },
      onDone: (made) => {
        warnings = made.warnings ?? [];
        finish(figures[rerank ? done : made.number], asked, made, image === null);
        done += 1;
      },
    });
    const seconds = (performance.now() - began) / 1000;
    const parts = first === null ? "" : `, the first part after ${(first / 1000).toFixed(2)} s`;
    say([`Drawn in ${seconds.toFixed(1)} s${parts}.`, ...warnings].join(" "));
    if (image === null) {
      const link = history.toLink(asked);
      window.history.replaceState(null, "", link);
      history.add(asked, figures[0].querySelector("img").src);
      showHistory();
      await showReal(asked, figures[0]);
    }
  } catch (error) {
    if (error.name === "AbortError") {
      if (running === control) say("Stopped.");
    } else say(error instanceof Refused ? error.message : `The page has a fault: ${error.message}`, true);
    for (const figure of figures) if (figure.classList.contains("drawing")) figure.remove();
  } finally {
    if (running === control) {
      running = null;
      at("stop").hidden = true;
    }
  }
}

// Beside what was drawn of a prompt that the model knows, the picture that it knows it by.
async function showReal(asked, drawn) {
  real.set(asked.model, real.get(asked.model) ?? server.get(`/v1/models/${asked.model}/examples`));
  const { data } = await real.get(asked.model);
  const known = data.find((one) => one.prompt === asked.prompt);
  if (!known || asked.terms || !drawn.isConnected) return;
  const figure = newFigure(asked, 0);
  const image = figure.querySelector("img");
  image.alt = `The real picture of: ${asked.prompt}`;
  image.src = toSource(known.b64_json);
  figure.className = "real";
  figure.querySelector("figcaption").textContent = `The real picture, ${known.held_out ? "which the model never saw" : "which the model was trained on"}`;
  figure.querySelector(".actions").remove();
  at("drawn").append(figure);
}

function newFigure(asked, number) {
  const figure = at("picture").content.cloneNode(true).querySelector("figure");
  figure.className = "drawing";
  const image = figure.querySelector("img");
  image.alt = `Picture ${number + 1} of: ${asked.prompt}`;
  const [width, height] = model().size.split("x");
  image.style.aspectRatio = `${width} / ${height}`;
  image.src = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";
  return figure;
}

function finish(figure, asked, made, canVary) {
  figure.className = "";
  const source = toSource(made.b64_json);
  figure.querySelector("img").src = source;
  const similarity = made.similarity === undefined ? "" : `, similarity ${made.similarity}`;
  figure.querySelector("figcaption").textContent = `${asked.prompt} (seed ${made.seed}, number ${made.number}, score ${made.score}${similarity})`;
  const download = figure.querySelector(".download");
  const name = asked.prompt.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "picture";
  download.href = source;
  download.download = `${name}-${made.seed}-${made.number}.png`;
  const variants = figure.querySelector(".variants");
  variants.hidden = !canVary;
  variants.addEventListener("click", () => {
    bringBack({ ...asked, seed: asked.seed + 1, n: Math.max(asked.n, 4) });
    draw(settings());
  });
  figure.querySelector(".go-on").addEventListener("click", () => {
    start.show(toBlob(made.b64_json), source, model());
    at("start-title").scrollIntoView();
    at("left").focus();
  });
}

async function take(file) {
  try {
    say("Reading the picture");
    const { tokens } = await server.post("/v1/tokenize", { model: model().id, images: [await toBase64(file)] });
    const { data } = await server.post("/v1/detokenize", { model: model().id, tokens });
    start.show(file, toSource(data[0].b64_json), model());
    say("This is what the model's tokens hold of the picture.");
  } catch (error) {
    say(error.message, true);
  }
}

function showTerms() {
  at("terms").replaceChildren(
    ...terms.map((term, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `${term.weight < 0 ? "not" : "and"} ${term.text} (${term.weight}) ×`;
      button.setAttribute("aria-label", `Leave out: ${term.weight < 0 ? "not" : "and"} ${term.text}`);
      button.addEventListener("click", () => {
        terms = terms.filter((_, other) => other !== index);
        showTerms();
        at("term").focus();
      });
      return item(button);
    }),
  );
  at("add-term").hidden = terms.length >= MOST_TERMS;
}

function addTerm(weight) {
  const text = at("term").value.trim();
  if (text && terms.length < MOST_TERMS) terms = [...terms, { text, weight }];
  at("term").value = "";
  showTerms();
  at("term").focus();
}

function item(child) {
  const found = document.createElement("li");
  found.append(child);
  return found;
}

// What the model's prompts end with, ", noto style", can be chosen.
function stylesOf(examples) {
  return [...new Set(examples.map((one) => one.match(/, ([^,]+ style)$/)?.[1]).filter(Boolean))].sort();
}

function showModel() {
  const shown = model();
  if (!shown) return;
  const [height, width] = shown.grid;
  at("about").textContent = `${shown.id}: ${shown.size} pixels, ${height} x ${width} tokens, drawn in ${shown.drawing_steps} steps`;
  at("model-row").hidden = models.length < 2;
  at("rerank-row").hidden = !shown.reranks;
  if (!shown.reranks) at("rerank").checked = false;
  teaching.show(shown);
  const knows = shown.examples ?? [];
  at("examples").replaceChildren(
    ...knows.map((text) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.addEventListener("click", () => {
        at("prompt").value = text;
        at("prompt").focus();
      });
      return item(button);
    }),
  );
  at("examples-row").hidden = knows.length === 0;
  const styles = stylesOf(knows);
  at("style-row").hidden = styles.length === 0;
  at("style").replaceChildren(...["as written", ...styles].map((style) => new Option(style)));
  if (!at("prompt").value && knows.length) at("prompt").value = knows[0];
}

function showHistory() {
  at("history").replaceChildren(
    ...history.all().map((one) => {
      const link = document.createElement("a");
      link.href = one.link;
      if (one.source) {
        const image = document.createElement("img");
        image.alt = "";
        image.src = one.source;
        link.append(image);
      }
      link.append(`${one.prompt}, seed ${one.seed}`);
      return item(link);
    }),
  );
}

async function list() {
  const before = at("model").value;
  models = await server.models();
  at("model").replaceChildren(...models.map((one) => new Option(one.id)));
  if (models.some((one) => one.id === before)) at("model").value = before;
}

async function open() {
  try {
    await list();
  } catch (error) {
    say(error.message, true);
    at("key-row").open = true;
    return;
  }
  say("");
  teaching.open(models.some((one) => one.learns));
  const found = fromHere();
  if (found) bringBack(found);
  else takeModel();
}

// With the settings that go with it.
function takeModel() {
  for (const [name, value] of Object.entries(model()?.drawing ?? {})) at(name).value = value;
  showModel();
}

const fromHere = () => (location.hash.length > 1 ? history.fromLink(location.hash) : null);

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  draw(settings());
});
at("edit").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!at("ask").reportValidity()) return;
  const { terms: others, ...asked } = settings();
  if (others) say("Further texts are left out here.");
  draw(asked, start.image);
});
at("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    at("ask").requestSubmit();
  }
});
at("term").addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    addTerm(1);
  }
});
at("and").addEventListener("click", () => addTerm(1));
at("not").addEventListener("click", () => addTerm(-1));
at("stop").addEventListener("click", () => running?.abort());
at("model").addEventListener("change", takeModel);
at("style").addEventListener("change", () => {
  const plain = at("prompt").value.replace(/, [^,]+ style$/, "");
  at("prompt").value = at("style").selectedIndex === 0 ? plain : `${plain}, ${at("style").value}`;
});
at("key").addEventListener("change", () => {
  server.key = at("key").value.trim();
  open();
});
at("file").addEventListener("change", () => at("file").files[0] && take(at("file").files[0]));
at("forget").addEventListener("click", () => {
  history.forget();
  showHistory();
});
window.addEventListener("hashchange", () => {
  const found = fromHere();
  if (!found) return;
  bringBack(found);
  draw(settings());
});

showHistory();
showTerms();
open();
