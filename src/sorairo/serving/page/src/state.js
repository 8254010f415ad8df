// What the page knows: the models, the videos, the request being written, and how the page looks.
import { computed, effect, signal } from "@preact/signals";

const stored = (key, otherwise) => {
  try {
    return JSON.parse(localStorage.getItem(`sorairo.${key}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
};
const keep = (key, value) => effect(() => {
  try {
    localStorage.setItem(`sorairo.${key}`, JSON.stringify(value.value));
  } catch { /* private windows may refuse; the page works without */ }
});

const dark = matchMedia("(prefers-color-scheme: dark)");
export const theme = signal(stored("theme", "auto")); // auto, light or dark
export const systemDark = signal(dark.matches);
dark.addEventListener("change", (event) => { systemDark.value = event.matches; });
export const isDark = computed(() => (theme.value === "auto" ? systemDark.value : theme.value === "dark"));
export const language = signal(stored("language", navigator.language.startsWith("zh") ? "zh" : "en"));
export const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

let cardKey = 0;
export const newCard = (at, words = "", picture = null) => ({ key: `card${Date.now()}-${cardKey++}`, at, words, picture });

export const EMPTY = {
  verb: "generate", prompt: "", sources: [], model: "", size: "", frames: null, add: null, seed: "", number: 1, steps: "", guidance: "",
  negative: "", style: "", upscale: false, before: false, free: false, keep: null, strength: { edit: 0.6, remix: 0.9 }, region: null,
  curve: "smooth", scene: null, cards: [newCard(0)],
};
// A draft survives a reload: what a person typed is theirs.
export const draft = signal({ ...EMPTY, ...stored("draft", {}) });
export const change = (patch) => { draft.value = { ...draft.value, ...patch }; };

export const models = signal([]);
export const model = computed(() => models.value.find((one) => one.id === draft.value.model)
  ?? models.value.find((one) => one.sorairo.default) ?? models.value[0] ?? null);
export const videos = signal([]); // newest first
export const loaded = signal(false);
export const hidden = signal(new Set()); // deleted, but the deletion can still be undone
export const selected = signal(null); // id
export const current = computed(() => videos.value.find((video) => video.id === selected.value && !hidden.value.has(video.id)) ?? null);
export const compared = signal([]); // ids; two of them are shown side by side
export const policy = signal(null); // what the server refuses; for a red team with its rules
export const view = signal("result"); // result, region or scene
export const dialog = signal(null); // { name, ... }
export const toasts = signal([]);
export const online = signal(true);
export const problem = signal(""); // why the request was refused, one sentence
export const announced = signal(""); // read out by screen readers

keep("theme", theme);
keep("language", language);
keep("draft", draft);

let toastKey = 0;
export function toast(text, action = null, seconds = 6) {
  const one = { key: ++toastKey, text, action };
  toasts.value = [...toasts.value, one];
  const timer = setTimeout(() => drop(one.key), seconds * 1000);
  return () => { clearTimeout(timer); drop(one.key); };
}
export const drop = (key) => { toasts.value = toasts.value.filter((one) => one.key !== key); };

export const ACTIVE = new Set(["queued", "in_progress"]);
export const isActive = (video) => ACTIVE.has(video.status);
