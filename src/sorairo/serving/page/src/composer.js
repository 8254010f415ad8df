// The form: the verb, its inputs, the words, the settings, and the button.
import { signal } from "@preact/signals";
import { html } from "htm/preact";
import { call } from "./api.js";
import { choose, create } from "./actions.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { Settings } from "./settings.js";
import { EMPTY_SCENE } from "./scene.js";
import { Slots } from "./slots.js";
import { change, dialog, draft, model, models, problem, view } from "./state.js";
import { ORDER, requestOf, VERBS } from "./verbs.js";
import { marked, unknownWords } from "./vocabulary.js";

const expansion = signal(null); // { of, text } or { error }
const busy = signal(false);

function Verbs() {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = ORDER[(ORDER.indexOf(draft.value.verb) + step + ORDER.length) % ORDER.length];
    choose(next);
    requestAnimationFrame(() => document.getElementById(`verb-${next}`)?.focus());
  };
  return html`<div class="verbs" role="radiogroup" aria-label=${t("What to do")} onKeyDown=${move}>${ORDER.map((verb) => {
    const on = draft.value.verb === verb;
    return html`<button type="button" id=${`verb-${verb}`} key=${verb} role="radio" aria-checked=${on} tabIndex=${on ? 0 : -1} class=${on ? "on" : ""} onClick=${() => choose(verb)}>
      <${Icon} name=${verb} size="20" /><span>${t(VERBS[verb].label)}</span></button>`;
  })}</div>`;
}

async function expand() {
  const of = draft.value.prompt.trim();
  if (!of || busy.value) return;
  busy.value = true;
  try {
    const found = await call("/v1/sorairo/expand", { method: "POST", json: { prompt: of, model: model.value.id } });
    expansion.value = { of, text: found.prompt };
  } catch (error) {
    expansion.value = { of, error: error.message };
  }
  busy.value = false;
}

function Expansion() {
  const found = expansion.value;
  if (!found || found.of !== draft.value.prompt.trim()) return null;
  const close = () => { expansion.value = null; };
  if (found.error) return html`<div class="expansion" role="alert"><p>${found.error}</p><button type="button" class="quiet" onClick=${close}>${t("Keep mine")}</button></div>`;
  if (found.text === found.of) return html`<div class="expansion" role="status"><p>${t("These words already say all that the model needs.")}</p></div>`;
  return html`<div class="expansion" role="status"><h3>${t("How it would be written out")}</h3><p>${found.text}</p>
    <div class="row"><button type="button" class="soft" onClick=${() => { change({ prompt: found.text }); close(); document.getElementById("prompt").focus(); }}>${t("Use this")}</button>
    <button type="button" class="quiet" onClick=${close}>${t("Keep mine")}</button></div></div>`;
}

function Prompt() {
  const { prompt, verb } = draft.value;
  const unknown = unknownWords(prompt, model.value);
  const optional = VERBS[verb].optional || (verb === "loop" && draft.value.sources[0]);
  const label = verb === "remix" ? t("What is different now") : optional ? t("What happens (optional)") : t("What happens");
  const follow = (event) => { event.target.previousElementSibling.scrollTop = event.target.scrollTop; };
  return html`<div class="field prompt"><label for="prompt">${label}</label>
    <div class="marked"><div class="marks" aria-hidden="true">${marked(prompt, unknown).map(([piece, strange]) => (strange ? html`<mark>${piece}</mark>` : piece))}${"\n"}</div>
      <textarea id="prompt" rows="4" maxlength="32000" spellcheck="false" value=${prompt} onScroll=${follow} aria-describedby="unknown"
        placeholder=${VERBS[verb].example ?? VERBS.generate.example} onInput=${(event) => { change({ prompt: event.target.value }); problem.value = ""; }}></textarea></div>
    <p id="unknown" class="unknown" aria-live="polite">${unknown.length > 0 && html`${t("The model was never taught:")} ${unknown.slice(0, 6).map((word) => html`<b>${word}</b> `)}
      <button type="button" class="link" onClick=${() => { dialog.value = { name: "words" }; }}>${t("Words it knows")}</button>`}</p>
    ${model.value?.sorairo.expands !== false && html`<div class="row between"><button type="button" class="quiet" disabled=${!prompt.trim() || busy.value} onClick=${expand}><${Icon} name="wand" size="16" />
      ${busy.value ? t("Writing…") : t("Write it out")}</button><span class="hint">${t("Ctrl + Enter creates")}</span></div>`}
    <${Expansion} /></div>`;
}

// The scene of a clip from words: left to the model, or directed by hand, by the model that can follow one.
function Scene() {
  const able = model.value?.sorairo.scene ? model.value : models.value.find((one) => one.sorairo.scene);
  if (draft.value.verb !== "generate" || !able) return null;
  const direct = () => {
    change({ scene: draft.value.scene ?? EMPTY_SCENE(), ...(able.id !== model.value.id && { model: able.id, size: "", frames: null, add: null }) });
    view.value = "scene";
  };
  const count = model.value?.sorairo.scene ? draft.value.scene?.objects.length : undefined;
  return html`<div class="directing"><span class="hint">${count === undefined ? t("Where things are: the model decides") : count === 1 ? t("You placed 1 object") : t("You placed {n} objects", { n: count })}</span>
    <span class="row">${count !== undefined && html`<button type="button" class="quiet" onClick=${() => { change({ scene: null }); view.value = "result"; }}>${t("No scene")}</button>`}
    <button type="button" class="soft" onClick=${direct}><${Icon} name="region" size="16" />${count === undefined ? t("Direct it") : t("Change the scene")}</button></span></div>`;
}

export function Composer() {
  const { verb, number } = draft.value;
  const count = Number(number) || 1;
  const submit = (event) => { event.preventDefault(); create(); };
  return html`<form id="composer" tabIndex="-1" class="panel composer" aria-label=${t("New video")} onSubmit=${submit}>
    <div class="scroll"><${Verbs} /><p class="help">${t(VERBS[verb].help)}</p><${Slots} />
      ${verb === "storyboard" ? html`<p class="note">${t("The words are on the cards of the timeline.")}</p>` : html`<${Prompt} /><${Scene} />`}
      <${Settings} /></div>
    <div class="go">${problem.value && html`<p class="problem" role="alert">${problem.value}</p>`}
      <div class="row"><button id="create" class="primary" type="submit"><${Icon} name=${verb} />
        ${count > 1 ? t("{verb} {n} videos", { verb: t(VERBS[verb].label), n: count }) : t(VERBS[verb].label)}</button>
      <button type="button" class="soft square" aria-label=${t("Copy as curl, Python or a command")} title=${t("Copy as curl, Python or a command")}
        onClick=${() => { dialog.value = { name: "copy", request: requestOf(draft.value, model.value) }; }}><${Icon} name="copy" /></button></div></div></form>`;
}
