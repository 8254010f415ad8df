// What buttons do: create, cancel, delete with undo, use a clip again, upload.
import { batch } from "@preact/signals";
import { call, content, fileContent, uuid } from "./api.js";
import { put, refresh, tell } from "./live.js";
import { announced, change, compared, draft, EMPTY, hidden, model, newCard, problem, selected, toast, videos, view } from "./state.js";
import { t } from "./i18n.js";
import { directed } from "./scene.js";
import { missing, requestOf, VERBS } from "./verbs.js";

export async function create() {
  const wrong = missing(draft.value, model.value);
  if (wrong) {
    problem.value = wrong;
    return false;
  }
  problem.value = "";
  const { verb, ...body } = requestOf(draft.value, model.value);
  const count = Number(draft.value.number) || 1;
  const made = [];
  try {
    for (let i = 0; i < count; i++) { // a job for each variation: each can be cancelled, kept or deleted alone
      const one = { ...body, ...(body.seed !== undefined && { seed: body.seed + i }) };
      const video = await call(`/v1/sorairo/${verb}`, { method: "POST", json: one, headers: { "Idempotency-Key": uuid() } });
      made.push(video);
      put(video);
    }
  } catch (error) {
    problem.value = error.message;
  }
  if (made.length) {
    batch(() => {
      selected.value = made[0].id;
      compared.value = [];
      view.value = "result";
      announced.value = t("Started.");
    });
    tell();
  }
  return made.length === count;
}

// A finished video at twice its size: no form, no words, so one press does it.
export async function enlarge(id) {
  try {
    const made = await call("/v1/sorairo/upscale", { method: "POST", json: { sources: [id] }, headers: { "Idempotency-Key": uuid() } });
    put(made);
    batch(() => {
      selected.value = made.id;
      compared.value = [];
      view.value = "result";
      announced.value = t("Started.");
    });
    tell();
  } catch (error) {
    toast(error.message);
  }
}

export async function cancel(video) {
  try {
    put(await call(`/v1/videos/${video.id}/cancel`, { method: "POST" }));
    announced.value = t("Cancelled.");
    tell();
  } catch (error) {
    toast(error.message);
  }
}

const doomed = new Map(); // id -> function that deletes it at last
addEventListener("pagehide", () => doomed.forEach((finish) => finish(true)));

export function remove(video) {
  const show = (visible) => {
    const ids = new Set(hidden.value);
    if (visible) ids.delete(video.id); else ids.add(video.id);
    hidden.value = ids;
  };
  const finish = async (leaving = false) => {
    if (!doomed.delete(video.id)) return;
    clearTimeout(timer);
    try {
      await call(`/v1/videos/${video.id}`, { method: "DELETE", keepalive: leaving });
      videos.value = videos.value.filter((one) => one.id !== video.id);
      tell();
    } catch (error) {
      if (error.status !== 404) {
        show(true);
        toast(error.message);
      }
    }
  };
  const timer = setTimeout(finish, 7000);
  doomed.set(video.id, finish);
  show(false);
  compared.value = compared.value.filter((id) => id !== video.id);
  const undo = () => {
    if (!doomed.delete(video.id)) return;
    clearTimeout(timer);
    show(true);
    close();
    announced.value = t("It is back.");
  };
  undone.push(undo);
  const close = toast(t("Deleted."), { label: t("Undo"), run: undo }, 7);
}
const undone = [];
export const undoLast = () => undone.pop()?.();

// A video of the gallery as an input.
export const sourceOf = (video) => {
  const [width, height] = (video.sorairo?.actual_size ?? video.size ?? "0x0").split("x").map(Number);
  const fps = video.sorairo?.fps ?? model.value?.sorairo.fps ?? 8;
  const frames = video.sorairo?.frames ?? Math.round(Number(video.seconds) * fps);
  return {
    id: video.id, kind: frames > 1 ? "video" : "image", name: video.prompt || t("Untitled"), width, height, frames, fps,
    seconds: frames / fps, thumbnail: content(video, "thumbnail"), url: content(video),
  };
};

export async function upload(file) {
  const form = new FormData();
  form.append("purpose", "vision");
  form.append("file", file, file.name);
  const made = await call("/v1/files", { method: "POST", form });
  const facts = made.sorairo ?? {};
  return { id: made.id, name: made.filename, kind: facts.kind ?? (file.type.startsWith("image/") ? "image" : "video"), width: facts.width, height: facts.height,
    frames: facts.frames ?? 1, fps: facts.fps ?? 8, seconds: facts.seconds ?? 0, thumbnail: `${fileContent(made.id)}?variant=thumbnail`, url: fileContent(made.id) };
}

const fits = (slot, source) => slot.kind === "any" || slot.kind === source.kind;

export function place(source, slot = null) {
  const now = draft.value;
  const slots = VERBS[now.verb].slots;
  if (now.verb === "storyboard" && source.kind === "image") return placeOnCard(source);
  let at = slot ?? slots.findIndex((one, i) => !now.sources[i] && fits(one, source));
  if (slot === null && at < 0) at = slots.findIndex((one) => fits(one, source));
  if (at < 0 || !slots[at]) return useIn(source.kind === "image" ? "animate" : "extend", source);
  if (!fits(slots[at], source)) {
    problem.value = slots[at].kind === "image" ? t("This takes a picture. To use a clip, choose Extend, Remix or Edit.") : t("This takes a clip. To use a picture, choose Animate.");
    return null;
  }
  const sources = slots.map((_, i) => (i === at ? source : now.sources[i] ?? null));
  change({ sources, ...fresh(source) });
  problem.value = "";
  return at;
}
const fresh = (source) => ({ region: null, keep: source.kind === "video" ? [round(source.seconds * 0.25), round(source.seconds * 0.75)] : null });
const round = (seconds) => Math.round(seconds * 8) / 8;

function placeOnCard(source) {
  const cards = [...draft.value.cards];
  const free = cards.findIndex((card, i) => i > 0 && !card.picture);
  const at = free < 0 ? cards.findIndex((card) => !card.picture) : free;
  if (at >= 0) cards[at] = { ...cards[at], picture: source };
  change({ cards });
  return at;
}

export function choose(verb) {
  const old = draft.value;
  if (old.verb === verb) return;
  const sources = VERBS[verb].slots.map((slot, i) => {
    const one = old.sources[i];
    return one && (slot.kind === "any" || slot.kind === one.kind) ? one : null;
  });
  const cards = verb === "storyboard" && !old.cards[0].words ? [{ ...old.cards[0], words: old.prompt }, ...old.cards.slice(1)] : old.cards;
  const source = sources.find(Boolean);
  change({ verb, sources, cards, ...(source && !old.keep ? fresh(source) : {}) });
  problem.value = "";
  view.value = "result";
}

export function useIn(verb, source, prompt = "") {
  change({ verb, sources: VERBS[verb].slots.map((_, i) => (i ? null : source)), prompt, size: "", frames: null, add: null, ...fresh(source) });
  problem.value = "";
  view.value = "result";
  document.getElementById("composer")?.scrollIntoView({ block: "start", behavior: "smooth" });
  setTimeout(() => document.getElementById("prompt")?.focus({ preventScroll: true }), 50);
  announced.value = t("Ready to {verb}.", { verb: t(VERBS[verb].label) });
}

// The words and settings of a video, back in the form.
export function reuse(video) {
  const request = video.sorairo?.request ?? { verb: "generate", prompt: video.prompt };
  if (request.verb === "upscale") return enlarge(request.sources[0]);
  const byId = (id) => {
    const own = videos.value.find((one) => one.id === id);
    return own ? sourceOf(own) : { id, kind: "video", name: id, frames: 17, fps: 8, seconds: 2, thumbnail: `${fileContent(id)}?variant=thumbnail`, url: fileContent(id) };
  };
  const sources = (request.sources ?? []).map(byId);
  const args = request.args ?? {};
  const adding = request.verb === "extend" || request.verb === "connect" || (request.verb === "loop" && sources.length);
  change({
    ...EMPTY, verb: request.verb ?? "generate", prompt: request.prompt ?? "", sources: request.verb === "storyboard" ? [] : sources, model: request.model ?? "",
    size: request.size ?? "", [adding ? "add" : "frames"]: request.frames ?? null, seed: String(video.sorairo?.seed ?? request.seed ?? ""),
    steps: request.steps ?? "", guidance: request.guidance ?? "", negative: request.negative ?? "", style: request.style ?? "", upscale: Boolean(request.upscale),
    before: Boolean(args.before), free: Boolean(args.free), keep: args.keep ?? null, region: args.region ?? null, curve: args.curve ?? "smooth", scene: args.scene ? directed(args.scene) : null,
    strength: { ...EMPTY.strength, ...(args.strength && { [request.verb]: args.strength }) },
    cards: args.cards ? args.cards.map((card) => newCard(card.at, card.words ?? "", card.picture != null ? { ...sources[card.picture], kind: "image" } : null)) : [newCard(0)],
  });
  problem.value = "";
  announced.value = t("The settings of this video are in the form.");
}

export function compare(id) {
  const now = compared.value;
  compared.value = now.includes(id) ? now.filter((one) => one !== id) : [...now.slice(-1), id];
}

export { refresh };
