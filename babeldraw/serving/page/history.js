// What was drawn before: settings that a link brings back, in this browser alone.

const PLACE = "babeldraw.history";
const MOST = 50;

export const toLink = (settings) => `#${encodeURIComponent(JSON.stringify(settings))}`;

export function fromLink(hash) {
  try {
    const found = JSON.parse(decodeURIComponent(hash.slice(1)));
    return found !== null && typeof found === "object" && typeof found.prompt === "string" ? found : null;
  } catch {
    return null;
  }
}

export function all() {
  try {
    const found = JSON.parse(localStorage.getItem(PLACE) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

// A picture's source is kept where it is small.
export function add(settings, source) {
  const link = toLink(settings);
  const others = all().filter((one) => one.link !== link);
  keep([{ link, prompt: settings.prompt, seed: settings.seed, source: source.length < 30000 ? source : "" }, ...others].slice(0, MOST));
}

export function forget() {
  keep([]);
}

function keep(entries) {
  try {
    localStorage.setItem(PLACE, JSON.stringify(entries));
  } catch {
    // A browser that keeps nothing draws as well.
  }
}
