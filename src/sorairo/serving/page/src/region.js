// Mark a region on the picture of the clip: draw it, move it, pull a corner; arrows move it and Shift + arrows resize it.
import { html } from "htm/preact";
import { useRef } from "preact/hooks";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { change, draft, model, view } from "./state.js";
import { sizeOf } from "./verbs.js";

const GRID = 8; // the latent grid of the models: finer regions would change their neighbours too
const snap = (value) => Math.round(value / GRID) * GRID;

export function Region({ source }) {
  const box = useRef(null);
  const drag = useRef(null);
  const [width, height] = sizeOf(draft.value, model.value).split("x").map(Number);
  const region = draft.value.region;
  const put = ([x, y, w, h]) => {
    const [sw, sh] = [Math.min(Math.max(snap(w), GRID), width), Math.min(Math.max(snap(h), GRID), height)];
    change({ region: [Math.min(Math.max(snap(x), 0), width - sw), Math.min(Math.max(snap(y), 0), height - sh), sw, sh] });
  };
  const point = (event) => {
    const rect = box.current.getBoundingClientRect();
    return [((event.clientX - rect.left) / rect.width) * width, ((event.clientY - rect.top) / rect.height) * height];
  };
  const down = (kind) => (event) => {
    event.stopPropagation();
    event.preventDefault();
    box.current.setPointerCapture(event.pointerId);
    drag.current = { kind, from: point(event), region: draft.value.region };
    if (kind !== "draw") document.getElementById("region")?.focus();
  };
  const move = (event) => {
    const now = drag.current;
    if (!now) return;
    const [x, y] = point(event);
    const [fx, fy] = now.from;
    if (now.kind === "draw") put([Math.min(x, fx), Math.min(y, fy), Math.abs(x - fx), Math.abs(y - fy)]);
    else {
      const [rx, ry, rw, rh] = now.region;
      if (now.kind === "move") put([rx + x - fx, ry + y - fy, rw, rh]);
      else put([rx, ry, rw + x - fx, rh + y - fy]);
    }
  };
  const up = () => { drag.current = null; };
  const key = (event) => {
    const by = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (!by || !region) return;
    event.preventDefault();
    const [x, y, w, h] = region;
    put(event.shiftKey ? [x, y, w + by[0] * GRID, h + by[1] * GRID] : [x + by[0] * GRID, y + by[1] * GRID, w, h]);
  };
  const percent = region && { left: `${(region[0] / width) * 100}%`, top: `${(region[1] / height) * 100}%`, width: `${(region[2] / width) * 100}%`, height: `${(region[3] / height) * 100}%` };
  return html`<section class="regions" aria-label=${t("Region to change")}><div class="canvas" ref=${box} style=${{ aspectRatio: `${width} / ${height}` }} onPointerDown=${down("draw")} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up}>
      <img src=${source.thumbnail} alt=${source.name} draggable="false" />
      ${region && html`<div id="region" class="region" role="group" tabIndex="0" style=${percent} onKeyDown=${key} onPointerDown=${down("move")}
        aria-label=${t("Region: {w} by {h} pixels at {x}, {y}. Arrows move it, Shift and arrows resize it.", { x: region[0], y: region[1], w: region[2], h: region[3] })}><i onPointerDown=${down("size")}></i></div>`}</div>
    <div class="row between"><span>${region ? `${region[2]} × ${region[3]} px` : t("Draw a box over what should change.")}</span><span class="row">
      ${!region && html`<button class="soft" onClick=${() => { put([width / 4, height / 4, width / 2, height / 2]); setTimeout(() => document.getElementById("region")?.focus(), 0); }}>${t("Start with a box")}</button>`}
      ${region && html`<button class="quiet" onClick=${() => change({ region: null })}>${t("No region")}</button>`}
      <button class="primary" onClick=${() => { view.value = "result"; }}><${Icon} name="edit" size="16" />${t("Done")}</button></span></div></section>`;
}
