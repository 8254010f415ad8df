// The middle of the page: an invitation, a video in the making, a finished one, two side by side, a region to mark, or a scene to direct.
import { html } from "htm/preact";
import { cancel, choose, reuse } from "./actions.js";
import { Compare } from "./compare.js";
import { t } from "./i18n.js";
import { Director } from "./director.js";
import { Icon } from "./icons.js";
import { Player } from "./player.js";
import { Progress } from "./progress.js";
import { Region } from "./region.js";
import { change, compared, current, draft, loaded, model, problem, selected, view } from "./state.js";

const EXAMPLES = ["A large red ball rolls across the floor to the right.", "A blue cube slides to the left.", "A yellow cone drops onto the floor and bounces."];

function Welcome() {
  const examples = model.value?.sorairo.examples?.slice(0, 3) ?? EXAMPLES;
  const begin = (prompt) => {
    choose("generate");
    change({ prompt });
    problem.value = "";
    document.getElementById("prompt")?.focus();
  };
  return html`<div class="welcome"><div class="sky" aria-hidden="true"><i class="sunball"></i></div>
    <div class="words"><h2>${t("What should happen?")}</h2><p>${t("Write a sentence, or drop in a picture or a clip.")}</p>
      <ul>${examples.map((prompt) => html`<li key=${prompt}><button class="chip" onClick=${() => begin(prompt)}>${prompt}</button></li>`)}</ul></div></div>`;
}

function Failed({ video }) {
  return html`<div class="failed"><${Icon} name="close" size="34" /><h2>${video.status === "cancelled" ? t("Cancelled") : t("This video could not be made")}</h2>
    ${video.prompt && html`<p class="asked">${video.prompt}</p>`}
    <p>${video.error?.message ?? (video.status === "cancelled" ? t("Nothing was kept. The settings are still there.") : t("The server gave no reason; its log has one."))}</p>
    <button class="soft" onClick=${() => reuse(video)}><${Icon} name="reuse" size="16" />${t("Use these settings again")}</button></div>`;
}

export function Stage() {
  const video = current.value;
  const inside = () => {
    if (view.value === "region" && draft.value.verb === "edit" && draft.value.sources[0]) return html`<${Region} source=${draft.value.sources[0]} />`;
    if (view.value === "scene" && draft.value.verb === "generate" && draft.value.scene && model.value?.sorairo.scene) return html`<${Director} />`;
    if (compared.value.length === 2) return html`<${Compare} />`;
    if (!video) return loaded.value || selected.value === null ? html`<${Welcome} />` : null;
    if (video.status === "queued" || video.status === "in_progress") return html`<${Progress} key=${video.id} video=${video} cancel=${() => cancel(video)} />`;
    if (video.status === "completed") return html`<${Player} key=${video.id} video=${video} />`;
    return html`<${Failed} video=${video} />`;
  };
  return html`<div class="stage">${inside()}</div>`;
}
