// A finished video: play, step by frames, download, and every way to go on from it.
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { compare, enlarge, remove, reuse, sourceOf, useIn } from "./actions.js";
import { content } from "./api.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { calm, compared, dialog } from "./state.js";

export function Controls({ media, fps, seconds }) {
  const [at, setAt] = useState(0);
  const [playing, setPlaying] = useState(!calm);
  useEffect(() => {
    const [first] = media();
    if (!first) return undefined;
    let frame = 0;
    const follow = () => { setAt(first.currentTime); setPlaying(!first.paused); frame = requestAnimationFrame(follow); };
    frame = requestAnimationFrame(follow);
    return () => cancelAnimationFrame(frame);
  }, []);
  const each = (act) => media().forEach((one) => one && act(one));
  const toggle = () => (playing ? each((one) => one.pause()) : each((one) => one.play()?.catch(() => {})));
  const seek = (to) => each((one) => { one.pause(); one.currentTime = to; });
  return html`<div class="controls"><button class="bare" aria-label=${playing ? t("Pause") : t("Play")} onClick=${toggle}><${Icon} name=${playing ? "pause" : "play"} /></button>
    <input type="range" aria-label=${t("Moment")} min="0" max=${seconds} step=${1 / fps} value=${at} aria-valuetext=${t("{s} seconds", { s: at.toFixed(2) })} onInput=${(event) => seek(Number(event.target.value))} />
    <span class="time">${at.toFixed(1)} / ${seconds.toFixed(1)} s</span></div>`;
}

const NEXT = [["extend", "Extend"], ["remix", "Remix"], ["edit", "Edit"], ["loop", "Loop"], ["recut", "Re-cut"]];

export function Player({ video }) {
  const element = useRef(null);
  const source = sourceOf(video);
  const still = source.kind === "image";
  const facts = [(video.sorairo?.actual_size ?? video.size).replace("x", "×"), still ? t("still picture") : `${Number(source.seconds.toFixed(2))} s`, video.sorairo?.seed != null && t("seed {n}", { n: video.sorairo.seed }), video.model].filter(Boolean);
  const verbs = still ? [["animate", "Animate"], ["edit", "Edit"]] : NEXT;
  return html`<figure class="player"><div class="screen" style=${{ "--poster": `url("${content(video, "thumbnail")}")` }}>
      <video ref=${element} src=${content(video)} poster=${content(video, "thumbnail")} loop muted playsinline autoplay=${!calm} aria-label=${video.prompt} style=${{ aspectRatio: `${source.width || 1} / ${source.height || 1}` }}></video></div>
    ${!still && html`<${Controls} media=${() => [element.current]} fps=${source.fps} seconds=${source.seconds} />`}
    <figcaption><div class="head"><p class="title">${video.prompt || t("Untitled")}</p>
        <span class="row">${[["reuse", "Use these settings again", () => reuse(video)], ["compare", "Compare", () => compare(video.id), compared.value.includes(video.id)], ["larger", "Double the width and height", () => enlarge(video.id)], ["plan", "How it was made", () => { dialog.value = { name: "plan", video }; }],
          ["copy", "Copy as curl, Python or a command", () => { dialog.value = { name: "copy", request: video.sorairo?.request ?? { verb: "generate", prompt: video.prompt } }; }], ["trash", "Delete", () => remove(video)]]
          .map(([icon, label, run, pressed]) => html`<button key=${icon} class="bare" aria-label=${t(label)} title=${t(label)} aria-pressed=${pressed} onClick=${run}><${Icon} name=${icon} /></button>`)}</span></div>
      <p class="facts">${facts.map((fact) => html`<span key=${fact}>${fact}</span>`)}</p>
      ${video.sorairo?.notes?.length > 0 && html`<ul class="notes">${video.sorairo.notes.map((note) => html`<li>${note}</li>`)}</ul>`}
      <div class="actions"><a class="primary" href=${content(video)} download=${`sorairo-${video.id}.mp4`}><${Icon} name="download" />${t("Download")}</a>
        ${verbs.map(([verb, label]) => html`<button key=${verb} class="soft" onClick=${() => useIn(verb, source, verb === "animate" ? video.prompt : "")}><${Icon} name=${verb} size="16" />${t(label)}</button>`)}</div></figcaption></figure>`;
}
