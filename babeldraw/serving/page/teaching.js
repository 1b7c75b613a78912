// Personal models: pictures and a word that the server learns, and how far it is.

const at = (id) => document.getElementById(id);
const JOBS = "/v1/fine_tuning/jobs";
const EVERY = 2000; // milliseconds
const SMALL = 100000; // bytes: larger files are reduced before they are sent
const LONGEST = 512; // pixels of what is sent then

export class Teaching {
  #server;
  #say;
  #model;
  #changed;
  #done = new Set();
  #timer = 0;

  // changed(name) is told when a model is there, is gone (no name), or is to draw.
  constructor(server, say, model, changed) {
    this.#server = server;
    this.#say = say;
    this.#model = model;
    this.#changed = changed;
    at("pictures").addEventListener("change", () => this.#choose());
    at("learn").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#learn();
    });
  }

  async open(learns) {
    if (learns) await this.#look();
  }

  show(model) {
    at("teach-base").textContent = model.id;
    at("learn").hidden = at("teach-about").hidden = !model.learns;
  }

  async #look() {
    clearTimeout(this.#timer);
    let jobs;
    try {
      jobs = (await this.#server.get(JOBS)).data;
    } catch (error) {
      this.#say(error.message, true);
      return;
    }
    at("teach").hidden = false;
    const done = jobs.filter((job) => job.fine_tuned_model).map((job) => job.id);
    const news = done.filter((id) => !this.#done.has(id));
    const first = this.#done.size === 0 && !at("trainings").childElementCount;
    this.#done = new Set(done);
    at("trainings").replaceChildren(...jobs.filter((job) => job.status !== "cancelled").map((job) => this.#row(job)));
    if (news.length && !first) {
      this.#say(`${jobs.find((job) => job.id === news[0]).fine_tuned_model} has learned its pictures.`);
      await this.#changed(null);
    }
    if (jobs.some((job) => ["queued", "running"].includes(job.status))) this.#timer = setTimeout(() => this.#look(), EVERY);
  }

  #row(job) {
    const row = document.createElement("li");
    const said = document.createElement("span");
    row.append(said);
    const button = (text, act) => {
      const found = document.createElement("button");
      found.type = "button";
      found.textContent = text;
      found.setAttribute("aria-label", `${text}: ${job.word}`);
      found.addEventListener("click", act);
      row.append(found);
    };
    said.textContent = `${job.word}, ${job.pictures} pictures: ${job.status}`;
    if (job.status === "running") {
      if (job.steps) said.textContent += `, step ${job.step} of ${job.steps}`;
      const bar = document.createElement("progress");
      bar.setAttribute("aria-label", `Progress of ${job.word}`);
      if (job.steps) [bar.max, bar.value] = [job.steps, job.step];
      row.append(bar);
    }
    for (const warning of job.warnings) said.textContent += `. ${warning}`;
    if (job.fine_tuned_model) {
      button("Draw with it", () => this.#changed(job.fine_tuned_model));
      button("Delete", async () => {
        await this.#server.send(`/v1/models/${job.fine_tuned_model}`, "DELETE");
        await this.#look();
        await this.#changed(null);
      });
    } else if (job.error) said.textContent += `. ${job.error.message}`;
    else button("Cancel", async () => {
      await this.#server.send(`${JOBS}/${job.id}/cancel`, "POST");
      await this.#look();
    });
    return row;
  }

  #choose() {
    at("chosen").replaceChildren(
      ...[...at("pictures").files].map((file, number) => {
        const row = document.createElement("li");
        const image = document.createElement("img");
        image.alt = file.name;
        image.src = URL.createObjectURL(file);
        const caption = document.createElement("input");
        caption.maxLength = 300;
        caption.placeholder = "what it shows";
        caption.setAttribute("aria-label", `What picture ${number + 1} shows, if that is to be learned`);
        row.append(image, caption);
        return row;
      }),
    );
  }

  async #learn() {
    const body = new FormData();
    body.append("word", at("word").value);
    body.append("model", this.#model().id);
    try {
      this.#say("Sending the pictures");
      for (const file of at("pictures").files) body.append("image", await reduced(file), "picture");
      for (const caption of at("chosen").querySelectorAll("input")) body.append("caption", caption.value);
      const job = await this.#server.send(JOBS, "POST", body);
      this.#say(`${job.word} is being learned; draw meanwhile.`);
      at("learn").reset();
      this.#choose();
      await this.#look();
    } catch (error) {
      this.#say(error.message, true);
    }
  }
}

async function reduced(file) {
  if (file.size < SMALL) return file;
  const image = await createImageBitmap(file);
  const scale = Math.min(1, LONGEST / Math.max(image.width, image.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  // WebP keeps what is transparent; a browser without it gives a PNG.
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? file), "image/webp", 0.95));
}
