// A video in the making: how it looks so far, the steps done, the time left.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { timeLeft } from "./live.js";

const STAGES = { load: "Loading the model", text: "Reading the words", denoise: "Drawing", decode: "Developing the frames", upscale: "Enlarging", encode: "Writing the file" };

export function Progress({ video, cancel }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  const { stage, step, of, queue_position: position } = video.sorairo ?? {};
  const left = timeLeft(video);
  const waiting = video.status === "queued";
  const said = waiting ? (position > 0 ? t("{n} before this one", { n: position }) : t("Next in line"))
    : stage === "denoise" && of ? t("Drawing: step {a} of {b}", { a: step ?? 0, b: of }) : t(STAGES[stage] ?? "Getting ready");
  const share = of && stage === "denoise" ? (step ?? 0) / of : 0;
  return html`<figure class="progress"><div class=${`preview ${waiting ? "waiting" : ""}`}>
      ${video.preview ? html`<img src=${video.preview} alt=${t("How it looks so far")} style=${{ filter: `blur(${Math.round((1 - share) * 6)}px)` }} />` : html`<div class="mist" aria-hidden="true"></div>`}</div>
    <figcaption><p class="title">${video.prompt}</p>
      <div class="bar" role="progressbar" aria-label=${t("Progress")} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${video.progress ?? 0}><i style=${{ width: `${video.progress ?? 0}%` }}></i></div>
      <div class="row between"><span>${said}</span><span class="hint">${!waiting && left !== null ? (left === 1 ? t("a second left") : left < 90 ? t("about {n} s left", { n: left }) : t("about {n} min left", { n: Math.round(left / 60) })) : ""}</span>
        <button id="cancel" class="soft" onClick=${cancel}><${Icon} name="close" size="16" />${t("Cancel")}</button></div></figcaption></figure>`;
}
