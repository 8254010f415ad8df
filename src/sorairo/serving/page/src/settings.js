// Size, length, style, seed, variations; the rest is one step further away.
import { html } from "htm/preact";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { change, draft, model, models } from "./state.js";
import { addOf, adds, fixedLength, fpsOf, framesOf, mostSeconds, stepOf } from "./verbs.js";

const CURVES = { smooth: "Smoothly", linear: "Evenly", early: "Early", late: "Late" };

const shape = (size) => {
  const [w, h] = size.split("x").map(Number);
  const scale = 16 / Math.max(w, h);
  return html`<i class="shape" style=${{ width: `${w * scale}px`, height: `${h * scale}px` }}></i>`;
};

// One size for each shape comes first; a model with many has the rest in a list.
function Sizes({ sizes }) {
  if (sizes.length > 8) {
    return html`<div class="field"><label for="size">${t("Size")}</label><select id="size" value=${draft.value.size} onChange=${(event) => change({ size: event.target.value, region: null })}>
      <option value="">${t("Automatic")}</option>${sizes.map((size) => html`<option value=${size}>${size.replace("x", " × ")}</option>`)}</select></div>`;
  }
  return html`<fieldset class="field sizes"><legend>${t("Size")}</legend><div class="choices">${["", ...sizes].map((size) => html`
    <label key=${size}><input type="radio" name="size" value=${size} checked=${draft.value.size === size} onChange=${() => change({ size, region: null })} />
    <span>${size ? html`${shape(size)}${size.replace("x", "×")}` : t("Auto")}</span></label>`)}</div></fieldset>`;
}

function Length() {
  if (fixedLength(draft.value)) return null;
  const [now, one] = [draft.value, model.value];
  const [adding, fps, step] = [adds(now), fpsOf(one), stepOf(one)];
  const frames = adding ? addOf(now, one) : framesOf(now, one);
  const least = adding ? step : now.verb === "generate" || now.verb === "storyboard" ? 1 : 1 + step;
  const most = Math.max(frames, Math.floor((Math.min(mostSeconds(one), 20) * fps - least) / step) * step + least); // longer ones: the fields of the timeline
  const said = frames === 1 ? t("A still picture") : t("{s} s · {n} frames", { s: Number((frames / fps).toFixed(2)), n: frames });
  return html`<div class="field"><div class="row between"><label for="length">${adding ? t("Length to add") : t("Length")}</label><output for="length">${said}</output></div>
    <input id="length" type="range" min=${least} max=${most} step=${step} value=${frames} aria-valuetext=${said} onInput=${(event) => change({ [adding ? "add" : "frames"]: Number(event.target.value) })} /></div>`;
}

function Strength() {
  const { verb, strength } = draft.value;
  if (!(verb in strength)) return null;
  const value = strength[verb];
  return html`<div class="field"><div class="row between"><label for="strength">${t("How much may change")}</label><output for="strength">${Math.round(value * 100)}%</output></div>
    <input id="strength" type="range" min="0.05" max="1" step="0.05" value=${value} aria-valuetext=${`${Math.round(value * 100)}%`}
      onInput=${(event) => change({ strength: { ...strength, [verb]: Number(event.target.value) } })} /></div>`;
}

const Number_ = ({ name, label, placeholder, min, max, step }) => html`<div class="field"><label for=${name}>${label}</label>
  <input id=${name} type="number" inputmode="decimal" placeholder=${placeholder} min=${min} max=${max} step=${step} value=${draft.value[name]} onInput=${(event) => change({ [name]: event.target.value })} /></div>`;

export function Settings() {
  const now = draft.value;
  const facts = model.value?.sorairo ?? {};
  const styles = facts.styles ?? [];
  return html`<div class="settings"><${Sizes} sizes=${facts.sizes ?? []} /><${Length} /><${Strength} />
    ${now.verb === "extend" && html`<fieldset class="field"><legend>${t("Where")}</legend><div class="choices">${[[false, t("After the clip")], [true, t("Before the clip")]].map(([before, label]) => html`
      <label key=${label}><input type="radio" name="before" checked=${now.before === before} onChange=${() => change({ before })} /><span>${label}</span></label>`)}</div></fieldset>`}
    ${now.verb === "blend" && html`<fieldset class="field"><legend>${t("When it turns")}</legend><div class="choices">${Object.entries(CURVES).map(([curve, name]) => html`
      <label key=${curve}><input type="radio" name="curve" checked=${now.curve === curve} onChange=${() => change({ curve })} /><span>${t(name)}</span></label>`)}</div></fieldset>`}
    ${now.verb === "loop" && html`<label class="check"><input type="checkbox" checked=${now.free} onChange=${(event) => change({ free: event.target.checked })} />${t("Find a new way back, not the same way in reverse")}</label>`}
    <div class="pair">${styles.length > 0 && html`<div class="field"><label for="style">${t("Style")}</label><select id="style" value=${now.style} onChange=${(event) => change({ style: event.target.value })}>
        <option value="">${t("None")}</option>${styles.map((one) => html`<option key=${one.name} value=${one.name} title=${one.about}>${one.name}</option>`)}</select></div>`}
      <div class="field"><label for="number">${t("Variations")}</label><select id="number" value=${String(now.number)} onChange=${(event) => change({ number: Number(event.target.value) })}>
        ${[1, 2, 3, 4, 6, 8].map((n) => html`<option key=${n} value=${n}>${n}</option>`)}</select></div></div>
    <details class="more"><summary>${t("More settings")}<${Icon} name="chevron" size="16" /></summary>
      <div class="pair"><div class="field"><label for="seed">${t("Seed")}</label><div class="joined"><input id="seed" type="number" min="0" step="1" placeholder=${t("Random")} value=${now.seed} onInput=${(event) => change({ seed: event.target.value })} />
        <button type="button" class="soft square" aria-label=${t("Draw a seed")} title=${t("Draw a seed")} onClick=${() => change({ seed: String(Math.floor(Math.random() * 1e6)) })}><${Icon} name="dice" /></button></div></div>
      <div class="field"><label for="model">${t("Model")}</label><select id="model" value=${model.value?.id ?? ""} onChange=${(event) => change({ model: event.target.value, size: "", frames: null, add: null })}>
        ${models.value.map((one) => html`<option key=${one.id} value=${one.id}>${one.sorairo.title ?? one.id}</option>`)}</select></div></div>
      <div class="pair"><${Number_} name="steps" label=${t("Steps")} placeholder=${facts.default_steps} min="1" max="100" step="1" />
        <${Number_} name="guidance" label=${t("Guidance")} placeholder=${facts.default_guidance} min="0" max="20" step="0.5" /></div>
      <div class="field"><label for="negative">${t("Keep away from")}</label><input id="negative" type="text" value=${now.negative} onInput=${(event) => change({ negative: event.target.value })} /></div>
      <label class="check"><input type="checkbox" checked=${now.upscale} onChange=${(event) => change({ upscale: event.target.checked })} />${t("Double the width and height")}</label>
    </details></div>`;
}
