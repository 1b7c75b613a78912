// The picture to start from: shown, and the box of it that is drawn anew.

const at = (id) => document.getElementById(id);
const SIDES = ["left", "top", "width", "height"];

export class Start {
  #size = [1, 1];
  #from = null;
  image = null; // a Blob

  constructor() {
    for (const side of SIDES) at(side).addEventListener("input", () => this.#chose());
    at("rows").addEventListener("input", () => this.#part("rows"));
    const frame = at("frame");
    frame.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      frame.setPointerCapture(event.pointerId);
      this.#from = this.#pixel(event);
      this.#span(this.#from);
    });
    frame.addEventListener("pointermove", (event) => this.#from && this.#span(this.#pixel(event)));
    for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, () => (this.#from = null));
  }

  show(image, source, model) {
    this.image = image;
    this.#size = model.size.split("x").map(Number);
    const [width, height] = this.#size;
    at("start").src = source;
    for (const [id, most] of [["left", width - 1], ["top", height - 1], ["width", width], ["height", height]]) at(id).max = most;
    at("rows").max = model.grid[0] - 1;
    at("rows").value = Math.max(1, Math.floor(model.grid[0] / 2));
    this.#set([Math.floor(width / 4), Math.floor(height / 4), Math.ceil(width / 2), Math.ceil(height / 2)]);
    at("edit").hidden = false;
  }

  get part() {
    const kind = document.querySelector('input[name="part"]:checked').value;
    if (kind === "rows") return { rows: at("rows").value };
    return { box: SIDES.map((side) => at(side).value || "0").join(",") };
  }

  #part(kind) {
    document.querySelector(`input[name="part"][value="${kind}"]`).checked = true;
  }

  #pixel(event) {
    const frame = at("start").getBoundingClientRect();
    const [width, height] = this.#size;
    const x = ((event.clientX - frame.left) / frame.width) * width;
    const y = ((event.clientY - frame.top) / frame.height) * height;
    return [Math.min(Math.max(0, Math.floor(x)), width - 1), Math.min(Math.max(0, Math.floor(y)), height - 1)];
  }

  #span([x, y]) {
    const [fromX, fromY] = this.#from;
    this.#set([Math.min(x, fromX), Math.min(y, fromY), Math.abs(x - fromX) + 1, Math.abs(y - fromY) + 1]);
  }

  #set(box) {
    SIDES.forEach((side, index) => (at(side).value = box[index]));
    this.#chose();
  }

  #chose() {
    this.#part("box");
    const [width, height] = this.#size;
    const sizes = [width, height, width, height];
    const box = at("box");
    SIDES.forEach((side, index) => (box.style[side] = `${(100 * Number(at(side).value)) / sizes[index]}%`));
    box.hidden = false;
  }
}
