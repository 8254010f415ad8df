// The verbs: what each takes, what is still missing, and the Request that it becomes (see sorairo/jobs/request.py).
import { t } from "./i18n.js";
import { sceneOf } from "./scene.js";

export const VERBS = {
  generate: { label: "Create", help: "Words become a video.", slots: [], example: "A large red ball rolls across the floor to the right." },
  animate: { label: "Animate", help: "A picture becomes the first frame, and moves.", slots: [{ kind: "image", label: "First frame" }] },
  extend: { label: "Extend", help: "A clip goes on, or gets a beginning. Its own frames stay as they are.", slots: [{ kind: "video", label: "Clip" }], optional: true },
  storyboard: { label: "Storyboard", help: "Cards say what happens from which second on.", slots: [] },
  remix: { label: "Remix", help: "Change one thing about a clip. The rest stays.", slots: [{ kind: "video", label: "Clip" }], example: "The ball is green." },
  edit: { label: "Edit", help: "New words for a clip, or for a region of it.", slots: [{ kind: "any", label: "Clip or picture" }] },
  loop: { label: "Loop", help: "After the last frame comes the first, without a cut.", slots: [{ kind: "video", label: "Clip (optional)", optional: true }] },
  connect: { label: "Connect", help: "Lead from one clip or picture to another.", slots: [{ kind: "any", label: "From" }, { kind: "any", label: "To" }], optional: true },
  recut: { label: "Re-cut", help: "Keep a part of a clip and make what is around it again.", slots: [{ kind: "video", label: "Clip" }], optional: true },
  blend: { label: "Blend", help: "One clip turns into another.", slots: [{ kind: "video", label: "From" }, { kind: "video", label: "To" }], optional: true },
};
export const ORDER = Object.keys(VERBS);
const ADDING = new Set(["extend", "connect"]);

export const fpsOf = (model) => model?.sorairo.fps ?? 8;
export const adds = (draft) => ADDING.has(draft.verb) || (draft.verb === "loop" && Boolean(draft.sources[0]));
export const fixedLength = (draft) => ["recut", "edit", "remix", "blend"].includes(draft.verb);
export const framesOf = (draft, model) => draft.frames ?? model?.sorairo.frames?.default ?? 17;
export const addOf = (draft, model) => draft.add ?? (model?.sorairo.frames?.default ?? 17) - 1;
export const endOf = (draft, model) => Math.max(1, framesOf(draft, model) - 1) / fpsOf(model);
export const stepOf = (model) => model?.sorairo.frames?.step ?? 4;

// A whole clip has 1 + k steps of frames, an addition k steps.
export const toClip = (seconds, model) => Math.max(1, 1 + stepOf(model) * Math.round((seconds * fpsOf(model) - 1) / stepOf(model)));
export const toAdd = (seconds, model) => Math.max(stepOf(model), stepOf(model) * Math.round((seconds * fpsOf(model)) / stepOf(model)));
export const mostSeconds = (model) => model?.sorairo.max_seconds ?? 20;

// The model's size that is nearest in shape to a source, where the person chose none.
export function sizeOf(draft, model) {
  if (draft.size) return draft.size;
  const sizes = model?.sorairo.sizes ?? [];
  const source = draft.sources.find(Boolean) ?? draft.cards.find((card) => card.picture)?.picture;
  if (!source?.width || draft.verb === "generate") return model?.sorairo.default_size ?? sizes[0] ?? "";
  const wanted = Math.log(source.width / source.height);
  const distance = (size) => {
    const [w, h] = size.split("x").map(Number);
    return 10 * Math.abs(Math.log(w / h) - wanted) + Math.abs(Math.log((w * h) / (source.width * source.height))) / 10;
  };
  return [...sizes].sort((a, b) => distance(a) - distance(b))[0] ?? "";
}

// Whether the video follows a scene that a person directed.
export const directs = (draft, model) => draft.verb === "generate" && Boolean(draft.scene && model?.sorairo.scene);

// One sentence about what is still missing, or "".
export function missing(draft, model) {
  const verb = VERBS[draft.verb];
  if (!model) return t("No model is there yet. Wait until the server has started.");
  const empty = verb.slots.findIndex((slot, i) => !slot.optional && !draft.sources[i]);
  if (empty >= 0) return t(verb.slots[empty].kind === "image" ? "Add a picture first: drop one here or choose a file."
    : verb.slots.length > 1 ? "Add two clips or pictures first: drop them here or take them from the gallery."
    : "Add a clip first: drop one here or take one from the gallery.");
  if (draft.verb === "storyboard") {
    if (!draft.cards[0]?.words.trim()) return t("Say on the first card what the video begins with.");
    return "";
  }
  if (directs(draft, model) && !draft.scene.objects.length) return t("Add an object to the scene, or leave it to the words.");
  if (!draft.prompt.trim() && !verb.optional && !(draft.verb === "loop" && draft.sources[0])) return t("Say what happens, in words.");
  return "";
}

export function requestOf(draft, model) {
  const verb = draft.verb;
  const request = { verb, model: model?.id ?? "default" };
  const set = (name, value) => { if (value !== "" && value !== null && value !== undefined && value !== false) request[name] = value; };
  if (verb !== "storyboard") set("prompt", draft.prompt.trim());
  const pictures = draft.cards.filter((card) => card.picture).map((card) => card.picture.id);
  const sources = verb === "storyboard" ? pictures : VERBS[verb].slots.map((_, i) => draft.sources[i]?.id).filter(Boolean);
  if (sources.length) request.sources = sources;
  const args = {
    extend: { before: draft.before }, loop: { free: draft.free }, recut: { keep: draft.keep },
    edit: { strength: draft.strength.edit, ...(draft.region && { region: draft.region }) }, remix: { strength: draft.strength.remix },
    blend: { curve: draft.curve },
    storyboard: { cards: draft.cards.map((card) => ({
      at: card.at, ...(card.words.trim() && { words: card.words.trim() }), ...(card.picture && { picture: pictures.indexOf(card.picture.id) }),
    })) },
  }[verb] ?? (directs(draft, model) && { scene: sceneOf(draft.scene, endOf(draft, model)) });
  if (args) request.args = args;
  set("size", verb === "edit" && draft.region ? sizeOf(draft, model) : draft.size);
  if (!fixedLength(draft)) set("frames", adds(draft) ? draft.add : verb === "storyboard" ? framesOf(draft, model) : draft.frames);
  for (const name of ["seed", "steps"]) if (draft[name] !== "") request[name] = Number(draft[name]);
  if (draft.guidance !== "") request.guidance = Number(draft.guidance);
  set("negative", draft.negative.trim());
  set("style", draft.style);
  if (draft.upscale) request.upscale = 2;
  return request;
}
