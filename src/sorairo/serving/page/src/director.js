// Direct a clip: drag each object to where it begins and where it ends. Arrows move what has the focus.
import { signal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { CAMERAS, nameOf, newObject, placeAt, wordsOf } from "./scene.js";
import { calm, change, draft, model, view } from "./state.js";
import { endOf, sizeOf } from "./verbs.js";

const FILLS = { red: "#d92d20", orange: "#f0811f", yellow: "#f2c21b", green: "#2e9e4f", teal: "#159a9c", blue: "#2a5bd7", purple: "#7a3fc0", pink: "#ef7fb0", brown: "#87552f", black: "#22262b", white: "#f4f4f1", grey: "#8c949c" };
const CAMERA_NAMES = { still: "Stands still", "pan left": "Pans left", "pan right": "Pans right", "dolly in": "Comes closer", "dolly out": "Moves away" };
const moment = signal(0); // 0 to 1 of the clip
const playing = signal(false);
const NEAR = 0.05;

export const scene = () => draft.value.scene;
const put = (patch) => change({ scene: { ...scene(), given: null, ...patch } }); // a changed scene is the page's own
const edit = (key, patch) => put({ objects: scene().objects.map((one) => (one.key === key ? { ...one, ...patch } : one)) });

// An outline of a shape around 0, 0 with half its side.
function Shape({ name, r, fill }) {
  const same = { fill, stroke: "#0b1724", "stroke-opacity": 0.35, "stroke-width": 0.012 };
  if (name === "ball") return html`<circle r=${r} ...${same} />`;
  if (name === "cube") return html`<rect x=${-r} y=${-r} width=${2 * r} height=${2 * r} rx=${r * 0.12} ...${same} />`;
  if (name === "cone") return html`<path d=${`M0 ${-r}L${r} ${r}H${-r}z`} stroke-linejoin="round" ...${same} />`;
  if (name === "capsule") return html`<rect x=${-r} y=${-r * 0.55} width=${2 * r} height=${r * 1.1} rx=${r * 0.55} ...${same} />`;
  return html`<path d=${`M${-r * 0.8} ${-r * 0.8}a${r * 0.8} ${r * 0.2} 0 0 1 ${r * 1.6} 0v${r * 1.6}a${r * 0.8} ${r * 0.2} 0 0 1 ${-r * 1.6} 0z`} ...${same} />`;
}

function Handle({ one, end, drag }) {
  const [x, y] = one[end];
  const name = t(end === "from" ? "{name} begins here" : "{name} ends here", { name: nameOf(one) });
  const key = (event) => {
    const by = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (!by) return;
    event.preventDefault();
    edit(one.key, { [end]: [x + by[0] * NEAR, y + by[1] * NEAR].map((value) => Math.min(1.2, Math.max(-1.2, Math.round(value * 100) / 100))) });
  };
  return html`<g class="handle" role="group" tabindex="0" data-end=${end} transform=${`translate(${x} ${y})`} onKeyDown=${key} onPointerDown=${drag(one.key, end)}
    aria-label=${`${name}: ${Math.round(x * 100)}, ${Math.round(y * 100)}. ${t("Arrows move it.")}`}>
    <circle r="0.075" fill="#fff" stroke="#0a66ad" stroke-width="0.02" />
    <path d=${end === "from" ? "M-.03 0a.03 .03 0 1 0 .06 0a.03 .03 0 1 0-.06 0" : "M-.028-.028L.028 .028M.028-.028L-.028 .028"} fill=${end === "from" ? "#0a66ad" : "none"} stroke="#0a66ad" stroke-width="0.018" /></g>`;
}

function Canvas({ objects, part }) {
  const svg = useRef(null);
  const held = useRef(null);
  const [width, height] = sizeOf(draft.value, model.value).split("x").map(Number);
  const short = Math.min(width, height);
  const [halfW, halfH] = [width / short, height / short];
  const point = (event) => {
    const box = svg.current.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * 2 * halfW - halfW, ((event.clientY - box.top) / box.height) * 2 * halfH - halfH];
  };
  const drag = (key, end) => (event) => {
    event.preventDefault();
    event.stopPropagation();
    event.currentTarget.focus();
    svg.current.setPointerCapture(event.pointerId);
    const [x, y] = point(event);
    const one = scene().objects.find((other) => other.key === key);
    held.current = { key, ends: end === "both" ? ["from", "to"] : [end], from: one.from, to: one.to, x, y };
  };
  const move = (event) => {
    const now = held.current;
    if (!now) return;
    const [x, y] = point(event);
    edit(now.key, Object.fromEntries(now.ends.map((end) => [end, [now[end][0] + x - now.x, now[end][1] + y - now.y].map((value) => Math.min(1.2, Math.max(-1.2, value)))])));
  };
  const up = () => { held.current = null; };
  return html`<svg class="scene" ref=${svg} viewBox=${`${-halfW} ${-halfH} ${2 * halfW} ${2 * halfH}`} style=${{ aspectRatio: `${width} / ${height}` }} role="group" aria-label=${t("Scene")}
      onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up}>
    <defs><linearGradient id="above" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#a9cdec" /><stop offset="1" stop-color="#fbe6d3" /></linearGradient>
      <linearGradient id="floor" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#d9cfc0" /><stop offset="1" stop-color="#f2ebdf" /></linearGradient>
      <marker id="tip" viewBox="0 0 10 10" refX="7" refY="5" markerWidth="5" markerHeight="5" orient="auto"><path d="M0 0l10 5-10 5z" fill="#0a66ad" /></marker></defs>
    <rect x=${-halfW} y=${-halfH} width=${2 * halfW} height=${halfH - 0.65} fill="url(#above)" /><rect x=${-halfW} y="-0.65" width=${2 * halfW} height=${halfH + 0.65} fill="url(#floor)" />
    ${objects.map((one) => { const [x, y] = placeAt(one, part); return html`<ellipse cx=${x} cy=${Math.max(one.from[1], one.to[1]) + one.size * 0.98} rx=${one.size} ry=${one.size * 0.16} fill="#0b1724" opacity="0.16" />`; })}
    ${objects.map((one) => html`<line x1=${one.from[0]} y1=${one.from[1]} x2=${one.to[0]} y2=${one.to[1]} stroke="#0a66ad" stroke-width="0.016" stroke-dasharray="0.05 0.035" />`)}
    ${objects.map((one) => { const [x, y] = placeAt(one, part); return html`<g class="body" key=${one.key} transform=${`translate(${x} ${y})`} onPointerDown=${drag(one.key, "both")}><${Shape} name=${one.shape} r=${one.size} fill=${FILLS[one.colour]} /></g>`; })}
    ${objects.map((one) => html`<${Handle} key=${`${one.key}from`} one=${one} end="from" drag=${drag} /><${Handle} key=${`${one.key}to`} one=${one} end="to" drag=${drag} />`)}
  </svg>`;
}

const Choice = ({ label, value, names, onChange }) => html`<select class="soft" aria-label=${label} value=${value} onChange=${(event) => onChange(event.target.value)}>
  ${names.map(([name, said]) => html`<option key=${name} value=${name}>${said}</option>`)}</select>`;

export function Director() {
  const facts = model.value.sorairo.scene;
  const { objects, camera } = scene();
  const end = endOf(draft.value, model.value);
  useEffect(() => {
    if (!playing.value) return undefined;
    let [before, frame] = [performance.now(), 0];
    const step = (now) => {
      moment.value = Math.min(1, moment.value + (now - before) / 1000 / end);
      before = now;
      if (moment.value < 1) frame = requestAnimationFrame(step); else playing.value = false;
    };
    frame = requestAnimationFrame(step);
    return () => cancelAnimationFrame(frame);
  }, [playing.value, end]);
  const play = () => {
    if (calm) { moment.value = moment.value < 1 ? 1 : 0; return; }
    if (!playing.value && moment.value >= 1) moment.value = 0;
    playing.value = !playing.value;
  };
  const [shapes, colours] = [facts.shapes.map((name) => [name, t(name)]), facts.colours.map((name) => [name, t(name)])];
  const add = () => { put({ objects: [...objects, newObject(objects)] }); };
  return html`<section class="director" aria-label=${t("Scene")}><${Canvas} objects=${objects} part=${moment.value} />
    <div class="cast"><div class="row"><button class="soft square" aria-label=${t(playing.value ? "Pause" : "Play")} onClick=${play}><${Icon} name=${playing.value ? "pause" : "play"} /></button>
        <input type="range" min="0" max="1" step="0.01" value=${moment.value} aria-label=${t("Moment")} aria-valuetext=${t("{s} seconds", { s: (moment.value * end).toFixed(2) })}
          onInput=${(event) => { playing.value = false; moment.value = Number(event.target.value); }} /></div>
      <ul>${objects.map((one, i) => html`<li key=${one.key}><i style=${{ background: FILLS[one.colour] }} aria-hidden="true"></i>
        <${Choice} label=${t("Colour of object {n}", { n: i + 1 })} value=${one.colour} names=${colours} onChange=${(colour) => edit(one.key, { colour })} />
        <${Choice} label=${t("Shape of object {n}", { n: i + 1 })} value=${one.shape} names=${shapes} onChange=${(shape) => edit(one.key, { shape })} />
        <button class="bare" aria-label=${t("Remove object {n}", { n: i + 1 })} onClick=${() => put({ objects: objects.filter((other) => other.key !== one.key) })}><${Icon} name="close" size="16" /></button>
        <input type="range" min="0.12" max="0.6" step="0.01" value=${one.size} aria-label=${t("Size of object {n}", { n: i + 1 })} onInput=${(event) => edit(one.key, { size: Number(event.target.value) })} /></li>`)}</ul>
      <button class="soft" disabled=${objects.length >= facts.objects} onClick=${add}><${Icon} name="plus" size="16" />${t("Add an object")}</button>
      <div class="field"><label for="scene-camera">${t("Camera")}</label><select id="scene-camera" value=${camera} onChange=${(event) => put({ camera: event.target.value })}>
        ${CAMERAS.map((name) => html`<option key=${name} value=${name}>${t(CAMERA_NAMES[name])}</option>`)}</select></div>
      ${scene().given && html`<p class="hint">${t("This scene came with its video. Its ways are kept as they are until you change something; then they become straight.")}</p>`}
      <p class="hint">${t("The words should say the same. They also say how it looks.")}</p>
      <div class="row end"><button class="quiet" onClick=${() => { change({ scene: null }); view.value = "result"; }}>${t("No scene")}</button>
        <button class="soft" disabled=${!objects.length} onClick=${() => change({ prompt: wordsOf(scene()) })}>${t("Write the words")}</button>
        <button class="primary" onClick=${() => { if (!draft.value.prompt.trim()) change({ prompt: wordsOf(scene()) }); view.value = "result"; }}>${t("Done")}</button></div></div></section>`;
}
