// Two videos side by side, with one pair of controls.
import { html } from "htm/preact";
import { useRef } from "preact/hooks";
import { sourceOf } from "./actions.js";
import { content } from "./api.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { Controls } from "./player.js";
import { calm, compared, videos } from "./state.js";

export function Compare() {
  const elements = useRef([]);
  const pair = compared.value.map((id) => videos.value.find((video) => video.id === id)).filter((video) => video?.status === "completed");
  if (pair.length < 2) return html`<div class="failed"><p>${t("One of the two is not there yet.")}</p><button class="soft" onClick=${() => { compared.value = []; }}>${t("Close")}</button></div>`;
  const sources = pair.map(sourceOf);
  return html`<section class="comparison" aria-label=${t("Comparison")}><div class="two">${pair.map((video, i) => html`<figure key=${video.id}>
      <video ref=${(one) => { elements.current[i] = one; }} src=${content(video)} poster=${content(video, "thumbnail")} loop muted playsinline autoplay=${!calm} aria-label=${video.prompt} style=${{ aspectRatio: `${sources[i].width} / ${sources[i].height}` }}></video>
      <figcaption><b>${"AB"[i]}</b><span>${video.prompt}</span><span class="hint">${[video.sorairo?.seed != null && t("seed {n}", { n: video.sorairo.seed }), video.sorairo?.request?.style].filter(Boolean).join(" · ")}</span></figcaption></figure>`)}</div>
    <div class="row"><${Controls} media=${() => elements.current} fps=${sources[0].fps} seconds=${Math.max(...sources.map((one) => one.seconds))} />
      <button class="soft" onClick=${() => { compared.value = []; }}><${Icon} name="close" size="16" />${t("Close")}</button></div></section>`;
}
