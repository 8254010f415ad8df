// Windows above the page: copy as, how a clip was made, the words of a model, keys, and the key of the server.
import { signal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { call } from "./api.js";
import { asCommand, asCurl, asPython } from "./copyas.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { RedTeamForm } from "./redteam.js";
import { announced, dialog, model } from "./state.js";

function Window({ title, children, wide }) {
  const element = useRef(null);
  useEffect(() => { element.current.showModal(); }, []);
  const close = () => { dialog.value = null; };
  return html`<dialog ref=${element} class=${wide ? "wide" : ""} aria-labelledby="dialog-title" onClose=${close} onClick=${(event) => { if (event.target === element.current) close(); }}>
    <div class="inside"><header class="row between"><h2 id="dialog-title">${title}</h2><button class="bare" aria-label=${t("Close")} onClick=${close}><${Icon} name="close" /></button></header>${children}</div></dialog>`;
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // plain http on another machine has no clipboard
    const area = Object.assign(document.createElement("textarea"), { value: text });
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  announced.value = t("Copied.");
}

function Code({ text, label }) {
  const [done, setDone] = useState(false);
  const copy = async () => { await toClipboard(text); setDone(true); setTimeout(() => setDone(false), 1500); };
  return html`<div class="code"><pre tabIndex="0" aria-label=${label}><code>${text}</code></pre><button class="soft" onClick=${copy}><${Icon} name="copy" size="16" />${done ? t("Copied.") : t("Copy")}</button></div>`;
}

const as = signal("curl");

function Copy({ request }) {
  const names = Object.fromEntries((request.sources ?? []).map((id) => [id, `${id}.mp4`]));
  const forms = { curl: () => asCurl(request, location.origin), Python: () => asPython(request, location.origin), CLI: () => asCommand(request, names) };
  return html`<${Window} title=${t("Go on outside this page")} wide><div class="choices" role="radiogroup" aria-label=${t("As")}>${Object.keys(forms).map((name) => html`<label key=${name}><input type="radio" name="as" checked=${as.value === name} onChange=${() => { as.value = name; }} /><span>${name}</span></label>`)}</div>
    <${Code} text=${forms[as.value]()} label=${as.value} />
    ${request.sources?.length > 0 && as.value === "CLI" && html`<p class="hint">${t("Download the inputs under these names first.")}</p>`}<//>`;
}

function Bars({ plan }) {
  const total = Math.max(plan.frames ?? 1, 1);
  const lane = (items, kind) => items.length > 0 && html`<div class="lane">${items.map((one, i) => html`<div key=${i} class=${`block ${kind}`} style=${{ left: `${(one.from / total) * 100}%`, width: `${Math.max(((one.to - one.from) / total) * 100, 1)}%` }} title=${one.label}><span>${one.label}</span></div>`)}</div>`;
  const spans = (plan.spans ?? []).map((span, i, all) => ({ from: span.start ?? 0, to: span.stop ?? all[i + 1]?.start ?? total, label: span.text }));
  const known = (plan.known ?? []).map((one) => ({ from: one.at ?? 0, to: (one.at ?? 0) + (one.frames ?? 1), label: one.hold === 1 || one.hold === undefined ? t("kept") : `${Math.round(one.hold * 100)}%` }));
  return html`<div class="bars" role="img" aria-label=${t("{n} frames, {k} known parts, {s} spans of words", { n: total, k: known.length, s: spans.length })}>${lane(known, "known")}${lane(spans, "new")}</div>`;
}

function Plan({ video }) {
  const [found, setFound] = useState(null);
  const [wrong, setWrong] = useState("");
  useEffect(() => { call(`/v1/sorairo/plan/${video.id}`).then(setFound, (error) => setWrong(error.message)); }, [video.id]);
  const plan = found?.plan ?? found;
  const record = found?.record ?? {};
  const size = plan?.size ?? record.size;
  const rows = plan && [["Words", (plan.spans ?? []).map((span) => span.text).join(" / ")], ["Size", Array.isArray(size) ? size.join(" × ") : size], ["Frames", plan.frames && t("{n} at {f} a second", { n: plan.frames, f: plan.fps })], ["Seed", plan.seed],
    ["Steps", plan.steps], ["Guidance", plan.guidance], ["Keep away from", plan.negative], ["Loop", plan.loop ? t("yes") : null], ["Model", record.model ?? video.model], ["Made by", record.software], ["Precision", record.dtype]].filter(([, value]) => value !== undefined && value !== null && value !== "");
  return html`<${Window} title=${t("How it was made")} wide>${wrong ? html`<p role="alert">${wrong}</p>` : !plan ? html`<p>${t("Loading…")}</p>` : html`<${Bars} plan=${plan} />
    <dl class="plan">${rows.map(([name, value]) => html`<div key=${name}><dt>${t(name)}</dt><dd>${value}</dd></div>`)}</dl>
    <details><summary>${t("The whole plan as JSON")}<${Icon} name="chevron" size="16" /></summary><${Code} text=${JSON.stringify(found, null, 2)} label="JSON" /></details>`}<//>`;
}

const Words = () => html`<${Window} title=${t("Words it knows")} wide><p>${t("This model was taught {n} words. Others are read too, but it has never seen what they mean.", { n: model.value?.sorairo.vocabulary?.length ?? 0 })}</p><p class="vocabulary">${(model.value?.sorairo.vocabulary ?? []).join(" ")}</p><//>`;

const KEYS = [["Ctrl + Enter", "Create"], ["/", "Search the gallery"], ["← → ↑ ↓", "Move a handle, a region, or through the gallery"], ["Shift + ← → ↑ ↓", "Resize a region"], ["Delete", "Delete the video that has the focus"], ["Ctrl + Z", "Undo a deletion"], ["?", "This list"]];
const Help = () => html`<${Window} title=${t("Keys and help")}><dl class="keys">${KEYS.map(([key, what]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${t(what)}</dd></div>`)}</dl>
  <p class="hint">${t("All stays on this server. The page asks nobody else.")} <a href="/docs">${t("The API")}</a></p><//>`;

const RedTeam = () => html`<${Window} title=${t("Red team")} wide><${RedTeamForm} /><//>`;

function Key() {
  const [wrong, setWrong] = useState("");
  const enter = async (event) => {
    event.preventDefault();
    const key = event.target.elements.key.value.trim();
    const answer = await fetch("/v1/sorairo/session", { method: "POST", headers: { Authorization: `Bearer ${key}` } }).catch(() => null);
    if (!answer?.ok) return setWrong(t("This key does not open this server. Ask whoever runs it for one: sorairo keys create."));
    return location.reload();
  };
  return html`<${Window} title=${t("This server needs a key")}><form onSubmit=${enter}><div class="field"><label for="key">${t("Key")}</label><input id="key" name="key" type="password" autocomplete="current-password" required /></div>
    ${wrong && html`<p class="problem" role="alert">${wrong}</p>`}<button class="primary">${t("Enter")}</button></form><//>`;
}

const ALL = { copy: Copy, plan: Plan, words: Words, help: Help, key: Key, redteam: RedTeam };
export const Dialogs = () => {
  const one = dialog.value;
  return one ? html`<${ALL[one.name]} key=${one.name} ...${one} />` : null;
};
