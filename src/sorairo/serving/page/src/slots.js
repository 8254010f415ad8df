// The inputs of a verb: choose a file, drop one, or take a video of the gallery.
import { signal } from "@preact/signals";
import { html } from "htm/preact";
import { place, sourceOf, upload } from "./actions.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { change, draft, hidden, problem, videos } from "./state.js";
import { VERBS } from "./verbs.js";

const sending = signal(null);

export async function send(file, slot) {
  sending.value = slot;
  problem.value = "";
  try {
    return await upload(file);
  } catch (error) {
    problem.value = error.message;
    return null;
  } finally {
    sending.value = null;
  }
}

const accepts = { image: "image/*", video: "video/*,image/gif,image/webp", any: "image/*,video/*" };

function Slot({ slot, index }) {
  const source = draft.value.sources[index];
  const ready = videos.value.filter((video) => video.status === "completed" && !hidden.value.has(video.id) && (slot.kind === "any" || (sourceOf(video).kind === slot.kind)));
  const use = (one) => one && place(one, index);
  const dropped = (event) => {
    const id = event.dataTransfer.getData("application/x-sorairo");
    const video = id && videos.value.find((one) => one.id === id);
    if (!video) return;
    event.preventDefault();
    use(sourceOf(video));
  };
  const clear = () => change({ sources: draft.value.sources.map((one, i) => (i === index ? null : one)), region: null });
  return html`<div class=${`slot ${source ? "full" : ""}`} role="group" aria-label=${t(slot.label)} onDragOver=${(event) => event.preventDefault()} onDrop=${dropped}>
    ${source ? html`<img src=${source.thumbnail} alt="" /><div><b>${t(slot.label)}</b><span class="name">${source.name}</span>
        <span class="hint">${source.width ? `${source.width}×${source.height}` : ""} ${source.kind === "video" ? `· ${Number(source.seconds.toFixed(2))} s` : ""}</span></div>
      <button type="button" class="bare" aria-label=${t("Remove {name}", { name: t(slot.label) })} onClick=${clear}><${Icon} name="close" size="16" /></button>`
    : html`<div class="ask"><b>${t(slot.label)}</b><span class="hint">${sending.value === index ? t("Sending…") : slot.kind === "image" ? t("Drop a picture here") : t("Drop a file or a video of the gallery")}</span></div>
      <div class="row"><label class="soft file">${t("Choose a file")}<input type="file" accept=${accepts[slot.kind]} aria-label=${t("Choose a file: {name}", { name: t(slot.label) })}
        onChange=${async (event) => { const [file] = event.target.files; event.target.value = ""; if (file) use(await send(file, index)); }} /></label>
      ${ready.length > 0 && html`<select class="soft" aria-label=${t("From the gallery: {name}", { name: t(slot.label) })} value="" onChange=${(event) => use(sourceOf(ready.find((one) => one.id === event.target.value)))}>
        <option value="">${t("From the gallery")}</option>${ready.slice(0, 30).map((video) => html`<option key=${video.id} value=${video.id}>${(video.prompt || video.id).slice(0, 50)}</option>`)}</select>`}</div>`}
  </div>`;
}

export const Slots = () => html`${VERBS[draft.value.verb].slots.map((slot, index) => html`<${Slot} key=${draft.value.verb + index} slot=${slot} index=${index} />`)}`;
