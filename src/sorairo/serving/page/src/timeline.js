// The timeline: blocks and handles for mouse, touch and keyboard, and the same as a list of fields.
import { signal } from "@preact/signals";
import { html } from "htm/preact";
import { useRef } from "preact/hooks";
import { Cards } from "./cards.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { change, draft, model, newCard, videos, view } from "./state.js";
import { spansOf } from "./spans.js";
import { choose, place, sourceOf } from "./actions.js";
import { fpsOf, framesOf, mostSeconds, toClip } from "./verbs.js";

const held = signal(null); // the scale while a handle is dragged, so that it does not run away under the pointer

const scaleFor = (total, most) => {
  const wide = total * 1.18 + 0.2;
  return Math.min(Math.max(Math.ceil(wide * 2) / 2, 2.5), Math.max(most, total) + 0.5);
};
const tickOf = (scale, most) => [0.25, 0.5, 1, 2, 5, 10, 30].find((tick) => scale / tick <= most) ?? 60;

function Handle({ handle, scale, track }) {
  const apply = (at) => change(handle.set(Math.min(Math.max(at, handle.least), handle.id === "added" ? Infinity : handle.most)));
  const value = handle.value ?? handle.at;
  const nudge = (by) => (handle.nudge ? change(handle.nudge(by)) : apply(handle.at + by * handle.step));
  const key = (event) => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 4, PageDown: -4 }[event.key];
    if (by) nudge(by);
    else if (event.key === "Home") nudge(-1e3);
    else if (event.key === "End") nudge(1e3);
    else return;
    event.preventDefault();
  };
  const at = (event) => {
    const box = track.current.getBoundingClientRect();
    return ((event.clientX - box.left) / box.width) * scale;
  };
  const down = (event) => { event.currentTarget.setPointerCapture(event.pointerId); held.value = scale; event.stopPropagation(); };
  const drag = (event) => { if (event.currentTarget.hasPointerCapture(event.pointerId)) apply(Math.min(at(event), scale)); };
  const up = () => { held.value = null; };
  return html`<div class="handle" role="slider" tabIndex="0" aria-label=${handle.label} aria-valuemin=${handle.least} aria-valuemax=${handle.most} aria-valuenow=${value}
    aria-valuetext=${t("{s} seconds", { s: Number(value.toFixed(3)) })} style=${{ left: `${(handle.at / scale) * 100}%` }} data-handle=${handle.id}
    onKeyDown=${key} onPointerDown=${down} onPointerMove=${drag} onPointerUp=${up} onPointerCancel=${up}><i></i><output>${Number(value.toFixed(2))} s</output></div>`;
}

function Block({ block, scale }) {
  const style = { left: `${(block.from / scale) * 100}%`, width: `${((block.to - block.from) / scale) * 100}%` };
  const film = block.thumbnail ? { backgroundImage: `url("${block.thumbnail}")` } : {};
  return html`<div class=${`block ${block.kind} ${block.over ? "over" : ""} ${block.curve ? `curve-${block.curve}` : ""}`} style=${{ ...style, ...(block.strength && { "--strength": block.strength }) }} title=${block.label}>
    ${block.kind !== "new" && html`<div class="film" style=${film}></div>`}<span>${block.label}</span></div>`;
}

// A card at a second; from plain words, it makes a storyboard of them.
export function addCard(at = null) {
  const one = model.value;
  if (draft.value.verb !== "storyboard") choose("storyboard");
  const { cards } = draft.value;
  const fps = fpsOf(one);
  const till = framesOf(draft.value, one) / fps;
  const when = at ?? (cards.at(-1).at + 1.5 > till - 0.5 ? Math.min(cards.at(-1).at + 2, mostSeconds(one) - 0.5) : cards.at(-1).at + 1.5);
  const snapped = Math.round(when * fps) / fps;
  if (snapped <= 0 || cards.some((card) => Math.abs(card.at - snapped) < 1 / fps / 2)) return;
  const card = newCard(snapped);
  change({ cards: [...cards, card].sort((a, b) => a.at - b.at), frames: snapped > till - 0.5 ? toClip(snapped + 2, one) : framesOf(draft.value, one) });
  setTimeout(() => document.getElementById(`words-${card.key}`)?.focus(), 0);
}

export function Timeline() {
  const track = useRef(null);
  const now = draft.value;
  const spans = spansOf(now, model.value);
  const scale = held.value ?? scaleFor(spans.total, mostSeconds(model.value));
  const tick = tickOf(scale, innerWidth < 1100 ? 7 : 12); // the labels do not touch
  const ticks = Array.from({ length: Math.floor(scale / tick) + 1 }, (_, i) => i * tick);
  const canCard = now.verb === "generate" || now.verb === "storyboard";
  const double = (event) => {
    if (!canCard) return;
    const box = track.current.getBoundingClientRect();
    addCard(((event.clientX - box.left) / box.width) * scale);
  };
  const dropped = (event) => { // a video of the gallery goes to where it fits
    const video = videos.value.find((one) => one.id === event.dataTransfer.getData("application/x-sorairo"));
    if (!video) return;
    event.preventDefault();
    place(sourceOf(video));
  };
  return html`<section class="panel timeline" aria-labelledby="timeline-title">
    <div class="row between"><h2 id="timeline-title">${t("Timeline")}</h2>
      <div class="legend" aria-hidden="true"><i class="known"></i>${t("kept")} <i class="new"></i>${t("to be made")}</div>
      ${canCard && html`<button class="quiet" onClick=${() => addCard()}><${Icon} name="plus" size="16" />${t("Add a card")}</button>`}
      ${now.verb === "edit" && html`<button class="quiet" disabled=${!now.sources[0]} aria-pressed=${view.value === "region"} onClick=${() => { view.value = view.value === "region" ? "result" : "region"; }}><${Icon} name="edit" size="16" />${now.region ? t("Change the region") : t("Mark a region")}</button>`}</div>
    <div class="ruler" aria-hidden="true">${ticks.map((at) => html`<span key=${at} style=${{ left: `${(at / scale) * 100}%` }}>${Number(at.toFixed(2))}</span>`)}</div>
    <div class=${`track ${spans.back ? "back" : ""}`} ref=${track} onDblClick=${double} onDragOver=${(event) => event.preventDefault()} onDrop=${dropped}>
      ${spans.blocks.map((block, i) => html`<${Block} key=${block.id ?? `${now.verb}${i}`} block=${block} scale=${scale} />`)}
      ${spans.back && html`<svg class="arc" style=${{ width: `${(spans.total / scale) * 100}%` }} viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true"><path d="M99 20C99 2 1 2 1 20" /></svg>`}
      ${spans.handles.map((handle) => html`<${Handle} key=${handle.id} handle=${handle} scale=${scale} track=${track} />`)}</div>
    ${now.verb === "storyboard" ? html`<${Cards} />` : html`<${List} spans=${spans} />`}</section>`;
}

const LABELS = { known: "Kept", new: "To be made", card: "Card" };

// The same as text and fields, for everybody who would rather type, and for screen readers.
function List({ spans }) {
  return html`<details class="aslist"><summary>${t("As a list")}<${Icon} name="chevron" size="16" /></summary><ol>
    ${spans.blocks.map((block, i) => html`<li key=${i}><b>${t(LABELS[block.kind])}</b> ${t("{a} to {b} s", { a: Number(block.from.toFixed(2)), b: Number(block.to.toFixed(2)) })} · ${block.label}</li>`)}</ol>
    <div class="fields">${spans.handles.map((handle) => html`<label key=${handle.id}>${handle.label}
      <input type="number" step=${handle.step} min=${handle.least} max=${handle.most} value=${Number((handle.value ?? handle.at).toFixed(3))}
        onChange=${(event) => change(handle.set(handle.value === undefined ? Number(event.target.value) : handle.at - handle.value + Number(event.target.value)))} /> s</label>`)}
      ${draft.value.verb === "edit" && draft.value.sources[0] && html`<${RegionFields} />`}</div></details>`;
}

function RegionFields() {
  const region = draft.value.region ?? ["", "", "", ""];
  const set = (i, value) => {
    const next = region.map((one, j) => (j === i ? Number(value) : Number(one) || (j > 1 ? 32 : 0)));
    change({ region: next });
  };
  return html`${["x", "y", t("width"), t("height")].map((label, i) => html`<label key=${i}>${t("Region")} ${label}<input type="number" min="0" step="8" value=${region[i]} onChange=${(event) => set(i, event.target.value)} /> px</label>`)}
    ${draft.value.region && html`<button class="quiet" onClick=${() => change({ region: null })}>${t("No region")}</button>`}`;
}
