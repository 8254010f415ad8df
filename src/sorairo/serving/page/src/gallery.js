// All videos of this server that this person may see: search, filters, and a way on from each.
import { computed, signal } from "@preact/signals";
import { html } from "htm/preact";
import { compare, remove, sourceOf, useIn } from "./actions.js";
import { content } from "./api.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { calm, compared, hidden, isActive, loaded, selected, videos, view } from "./state.js";
import { ORDER, VERBS } from "./verbs.js";

const words = signal("");
const filter = signal("all");
const shown = signal(60);

const FILTERS = { all: "All", active: "In the making", completed: "Finished", failed: "Not finished" };
const verbOf = (video) => video.sorairo?.verb ?? "generate";

const found = computed(() => {
  const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  return videos.value.filter((video) => {
    if (hidden.value.has(video.id)) return false;
    if (filter.value === "active" && !isActive(video)) return false;
    if (filter.value === "completed" && video.status !== "completed") return false;
    if (filter.value === "failed" && (isActive(video) || video.status === "completed")) return false;
    if (filter.value in VERBS && verbOf(video) !== filter.value) return false;
    const text = `${video.prompt ?? ""} ${video.model} ${video.size} ${video.sorairo?.seed ?? ""} ${video.sorairo?.request?.style ?? ""} ${verbOf(video)}`.toLowerCase();
    return asked.every((word) => text.includes(word));
  });
});

function open(video) {
  selected.value = video.id;
  compared.value = [];
  view.value = "result";
  if (matchMedia("(max-width: 1099px)").matches) document.querySelector(".stage")?.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
}

function Item({ video }) {
  const done = video.status === "completed";
  const active = isActive(video);
  const on = selected.value === video.id;
  const pick = compared.value.indexOf(video.id);
  const source = sourceOf(video);
  const name = video.prompt || t("Untitled");
  const key = (event) => {
    if (event.key === "Delete" && !active) { event.preventDefault(); remove(video); }
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || event.target.tagName !== "BUTTON" || !event.target.classList.contains("open")) return;
    event.preventDefault();
    const all = [...document.querySelectorAll(".gallery .open")];
    all[all.indexOf(event.target) + step]?.focus();
  };
  const hover = (play) => (event) => { // the clip plays while it is pointed at
    const clip = event.currentTarget.querySelector("video");
    if (!clip || calm) return;
    if (play) clip.play().catch(() => {}); else { clip.pause(); clip.currentTime = 0; }
  };
  return html`<li class=${`item ${on ? "on" : ""} ${pick >= 0 ? "picked" : ""}`} onKeyDown=${key} onPointerEnter=${hover(true)} onPointerLeave=${hover(false)}>
    <button class="open" aria-current=${on ? "true" : undefined} onClick=${() => open(video)} draggable=${done} onDragStart=${(event) => event.dataTransfer.setData("application/x-sorairo", video.id)}>
      <span class="thumb">${done ? html`<img src=${content(video, "thumbnail")} alt="" loading="lazy" />${source.kind === "video" && !calm && html`<video src=${content(video)} muted loop playsinline preload="none" tabIndex="-1" aria-hidden="true"></video>`}`
        : active ? html`${video.preview ? html`<img class="soft-focus" src=${video.preview} alt="" />` : html`<span class="mist"></span>`}<span class="meter"><i style=${{ width: `${video.progress ?? 0}%` }}></i></span>`
        : html`<span class="none"><${Icon} name="close" size="22" /></span>`}
        ${pick >= 0 && html`<span class="badge">${"AB"[pick]}</span>`}</span>
      <span class="name">${name}</span>
      <span class="hint">${active ? (video.status === "queued" ? t("Waiting") : t("{n}% done", { n: video.progress ?? 0 })) : done ? html`${t(VERBS[verbOf(video)]?.label ?? "Create")} · ${source.kind === "video" ? `${Number(source.seconds.toFixed(1))} s` : t("still picture")}` : video.status === "cancelled" ? t("Cancelled") : t("Not finished")}</span></button>
    <div class="quick">${done && html`<button class="bare" aria-label=${t("Remix: {name}", { name })} title=${t("Remix")} onClick=${() => useIn("remix", source)}><${Icon} name="remix" size="16" /></button>
      ${source.kind === "video" && html`<button class="bare" aria-label=${t("Extend: {name}", { name })} title=${t("Extend")} onClick=${() => useIn("extend", source)}><${Icon} name="extend" size="16" /></button>`}
      <button class="bare" aria-pressed=${pick >= 0} aria-label=${t("Compare: {name}", { name })} title=${t("Compare")} onClick=${() => compare(video.id)}><${Icon} name="compare" size="16" /></button>`}
      ${!active && html`<button class="bare" aria-label=${t("Delete: {name}", { name })} title=${t("Delete")} onClick=${() => remove(video)}><${Icon} name="trash" size="16" /></button>`}</div></li>`;
}

export function Gallery() {
  const list = found.value;
  const all = videos.value.filter((video) => !hidden.value.has(video.id)).length;
  return html`<section class="panel gallery" aria-labelledby="gallery-title"><div class="row between"><h2 id="gallery-title">${t("Gallery")}</h2><span class="hint" aria-live="polite">${list.length === all ? (all === 1 ? t("1 video") : t("{n} videos", { n: all })) : t("{a} of {b}", { a: list.length, b: all })}</span></div>
    <div class="row tools"><div class="search"><${Icon} name="search" size="16" /><input id="search" type="search" placeholder=${t("Search")} aria-label=${t("Search the gallery")} value=${words.value} onInput=${(event) => { words.value = event.target.value; }} /></div>
      <select aria-label=${t("Show")} value=${filter.value} onChange=${(event) => { filter.value = event.target.value; }}>
        ${Object.entries(FILTERS).map(([key, label]) => html`<option key=${key} value=${key}>${t(label)}</option>`)}
        <optgroup label=${t("By verb")}>${ORDER.map((verb) => html`<option key=${verb} value=${verb}>${t(VERBS[verb].label)}</option>`)}</optgroup></select></div>
    ${compared.value.length === 1 && html`<p class="note" role="status">${t("Choose a second video to compare.")}</p>`}
    <div class="scroll">${list.length ? html`<ul class="grid">${list.slice(0, shown.value).map((video) => html`<${Item} key=${video.id} video=${video} />`)}</ul>`
      : html`<div class="empty"><${Icon} name="film" size="30" /><p>${!loaded.value ? t("Loading…") : all ? t("Nothing matches.") : t("Your videos will be here.")}</p></div>`}
      ${list.length > shown.value && html`<button class="quiet" onClick=${() => { shown.value += 60; }}>${t("Show more")}</button>`}</div></section>`;
}
