"""What the page of pairs does in the browser: shows one, takes answers, keeps and gives them."""

SCRIPT = """
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const QUESTIONS = ["realism", "text"];
const CHOICES = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie" };
const key = "babeldraw-rate-" + data.pairing;
const at = (id) => document.getElementById(id);
const total = data.pairs.length;
const chance = crypto.getRandomValues(new Uint16Array(1))[0].toString(16);
let state = { rater: "", nobody: "anonymous-" + chance, answers: data.pairs.map(() => ({})) };
let place = 0;

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(key));
    if (kept && kept.answers && kept.answers.length === total) state = kept;
  } catch (error) { /* Nothing is kept where the browser keeps nothing. */ }
  const open = state.answers.findIndex((answer) => !isWhole(answer));
  place = open < 0 ? total : open;
  at("rater").value = state.rater;
}
function keep() {
  try { localStorage.setItem(key, JSON.stringify(state)); } catch (error) { /* As above. */ }
}
function isWhole(answer) { return QUESTIONS.every((question) => answer[question]); }
function asked() {
  return place < total ? QUESTIONS.find((question) => !state.answers[place][question]) : undefined;
}
function raterName() { return state.rater || state.nobody; }
function file() {
  const answered = state.answers.map((answer, pair) => ({ pair, ...answer }))
    .filter((answer) => QUESTIONS.some((question) => answer[question]));
  const head = { kind: data.kind, pairing: data.pairing, rater: raterName() };
  return JSON.stringify({ ...head, pairs: total, answers: answered }, null, 1);
}
function show() {
  const done = state.answers.filter(isWhole).length;
  at("progress").value = done;
  at("count").textContent = done + " of " + total + " pairs answered";
  at("pair").hidden = place >= total;
  at("end").hidden = place < total;
  if (place < total) {
    const pair = data.pairs[place];
    at("number").textContent = "Pair " + (place + 1) + " of " + total;
    at("prompt").textContent = pair.prompt;
    for (const side of ["left", "right"]) {
      const image = at(side);
      image.src = pair[side];
      image.width = pair.width;
      image.className = pair.crisp ? "crisp" : "";
    }
    for (const question of QUESTIONS) {
      const field = at(question);
      field.dataset.asked = question === asked();
      for (const button of field.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", state.answers[place][question] === button.value);
      }
    }
  }
  at("back").disabled = place === 0 && !isBegun();
  at("answers").textContent = file();
}
function answer(question, choice) {
  if (place >= total) return;
  state.answers[place][question] = choice;
  keep();
  if (isWhole(state.answers[place])) place += 1;
  show();
}
function isBegun() {
  return place < total && QUESTIONS.some((question) => state.answers[place][question]);
}
function back() {
  if (place === 0 && !isBegun()) return;
  if (!isBegun()) place -= 1;
  state.answers[place] = {};
  keep();
  show();
}
document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in CHOICES && asked()) {
    event.preventDefault();
    answer(asked(), CHOICES[event.key]);
  } else if (event.key === "Backspace") {
    event.preventDefault();
    back();
  }
});
for (const question of QUESTIONS) {
  for (const button of at(question).querySelectorAll("button")) {
    button.addEventListener("click", () => answer(question, button.value));
  }
}
at("back").addEventListener("click", back);
at("rater").addEventListener("input", (event) => {
  state.rater = event.target.value.trim();
  keep();
  show();
});
for (const button of document.querySelectorAll(".download")) {
  button.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([file()], { type: "application/json" }));
    const rater = raterName().replace(/[^A-Za-z0-9_-]+/g, "-");
    link.download = "answers-" + rater + "-" + data.pairing.slice(0, 8) + ".json";
    link.click();
  });
}
load();
show();
"""
