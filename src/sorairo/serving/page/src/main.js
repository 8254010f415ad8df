// The studio: one screen with the request at the left, what is made in the middle, and the gallery at the right.
import { effect } from "@preact/signals";
import { html } from "htm/preact";
import { render } from "preact";
import { upload, place, undoLast } from "./actions.js";
import { Composer } from "./composer.js";
import { Dialogs } from "./dialogs.js";
import { Gallery } from "./gallery.js";
import { Header } from "./header.js";
import { learn, t } from "./i18n.js";
import { Icon } from "./icons.js";
import { start } from "./live.js";
import { Stage } from "./stage.js";
import { announced, dialog, drop, isDark, language, online, problem, toasts } from "./state.js";
import { Timeline } from "./timeline.js";
import { signal } from "@preact/signals";

const dropping = signal(false);

const Toasts = () => html`<div class="toasts" role="region" aria-label=${t("Messages")}>${toasts.value.map((one) => html`
  <div class="toast" key=${one.key}><span>${one.text}</span>
    ${one.action && html`<button class="quiet" onClick=${() => { one.action.run(); drop(one.key); }}><${Icon} name="undo" size="16" /> ${one.action.label}</button>`}
    <button class="bare" aria-label=${t("Dismiss")} onClick=${() => drop(one.key)}><${Icon} name="close" size="16" /></button></div>`)}</div>`;

const App = () => html`
  <a class="skip" href="#composer">${t("Skip to the form")}</a>
  <${Header} />
  ${!online.value && html`<p class="offline" role="status"><span class="pulse"></span>${t("The server does not answer. This page goes on by itself as soon as it is back.")}</p>`}
  <main class="studio">
    <${Composer} />
    <section class="middle" aria-label=${t("Stage")}><${Stage} /><${Timeline} /></section>
    <${Gallery} />
  </main>
  <${Toasts} /><${Dialogs} />
  ${dropping.value && html`<div class="dropzone" aria-hidden="true"><div><${Icon} name="image" size="40" /><p>${t("Drop a picture or a clip to use it")}</p></div></div>`}
  <div class="sr" role="status" aria-live="polite">${announced.value}</div>`;

effect(() => {
  document.documentElement.dataset.theme = isDark.value ? "dark" : "light";
  document.documentElement.lang = language.value === "zh" ? "zh-CN" : "en";
  document.title = language.value === "zh" ? "Sorairo 空色 · 工作室" : "Sorairo studio";
  document.querySelector("meta[name=theme-color]").content = isDark.value ? "#0a131e" : "#e7f2fa";
});

// Files dropped anywhere, or pasted, go to where they fit.
export async function take(files) {
  for (const file of files) {
    try {
      place(await upload(file));
    } catch (error) {
      problem.value = error.message;
    }
  }
}
const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
let depth = 0;
addEventListener("dragenter", (event) => { if (carries(event)) { depth++; dropping.value = true; } });
addEventListener("dragleave", (event) => { if (carries(event) && --depth <= 0) { depth = 0; dropping.value = false; } });
addEventListener("dragover", (event) => { if (carries(event)) event.preventDefault(); });
addEventListener("drop", (event) => {
  if (!carries(event)) return;
  event.preventDefault();
  depth = 0;
  dropping.value = false;
  take(event.dataTransfer.files);
});
addEventListener("paste", (event) => { if (event.clipboardData?.files.length) take(event.clipboardData.files); });

addEventListener("keydown", (event) => {
  const writing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter") document.getElementById("create")?.click();
  else if ((event.ctrlKey || event.metaKey) && event.key === "z" && !writing) undoLast();
  else if (writing || event.ctrlKey || event.metaKey || event.altKey || dialog.value) return;
  else if (event.key === "/") { event.preventDefault(); document.getElementById("search")?.focus(); }
  else if (event.key === "?") dialog.value = { name: "help" };
});

await learn(language.value).catch(() => {}); // no flash of English before Chinese
render(html`<${App} />`, document.getElementById("app"));
start();
