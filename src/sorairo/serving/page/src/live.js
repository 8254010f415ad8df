// Keeps the videos up to date: an event stream for one job, and the list every few seconds for all others.
import { batch, effect, untracked } from "@preact/signals";
import { call } from "./api.js";
import { announced, isActive, loaded, models, online, policy, selected, toast, videos } from "./state.js";
import { t } from "./i18n.js";

let stream = null; // { id, source }: one only, because a browser opens six connections to a server and a tab may not use them up
export const clocks = new Map(); // id -> [[step, milliseconds], ...] of the denoising, for the time left
const tabs = "BroadcastChannel" in window ? new BroadcastChannel("sorairo") : null;

export const tell = () => tabs?.postMessage("changed");
const putAt = new Map(); // id -> when, so that a list which was asked for earlier does not undo it
export const put = (video) => {
  putAt.set(video.id, performance.now());
  const others = videos.value.filter((one) => one.id !== video.id);
  videos.value = [video, ...others].sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? 1 : -1));
  tune();
};

export async function refresh() {
  const began = performance.now();
  const found = [];
  for (let after = ""; found.length < 1000;) { // all pages, newest first
    const page = await call(`/v1/videos?limit=100&order=desc${after && `&after=${after}`}`);
    found.push(...page.data);
    if (!page.has_more || !page.last_id) break;
    after = page.last_id;
  }
  const before = new Map(videos.value.map((video) => [video.id, video]));
  const newer = (id) => (putAt.get(id) ?? 0) > began && before.has(id);
  found.unshift(...videos.value.filter((video) => newer(video.id) && !found.some((one) => one.id === video.id)));
  batch(() => {
    videos.value = found.map((video) => {
      const known = before.get(video.id);
      if (newer(video.id)) return known;
      return known && isActive(video) ? { ...video, preview: known.preview, sorairo: { ...known.sorairo, ...video.sorairo } } : video;
    });
    loaded.value = true;
    if (selected.value && !found.some((video) => video.id === selected.value)) selected.value = null;
  });
  tune();
  for (const video of found) if (before.has(video.id) && isActive(before.get(video.id)) && !isActive(video) && !newer(video.id)) ended(video);
}

// The stream follows the video that is looked at, or else the one at work; the others are seen by the list.
function tune() {
  const active = videos.value.filter(isActive);
  const working = active.filter((video) => video.status === "in_progress");
  const chosen = active.find((video) => video.id === selected.value);
  const wanted = document.hidden ? null : (chosen ?? working.at(-1) ?? active.at(-1) ?? null);
  if (stream?.id === wanted?.id) return;
  stream?.source.close();
  stream = null;
  if (!wanted) return;
  const source = new EventSource(`/v1/videos/${wanted.id}/events`);
  stream = { id: wanted.id, source };
  source.onmessage = (event) => update(wanted.id, JSON.parse(event.data));
  source.onerror = () => { // the browser tries again by itself, unless the answer was final
    if (source.readyState !== EventSource.CLOSED || stream?.source !== source) return;
    stream = null;
    setTimeout(() => refresh().catch(() => {}), 1500);
  };
}

function ended(video) {
  clocks.delete(video.id);
  announced.value = video.status === "completed" ? t("Your video is ready.") : video.status === "failed" ? t("A video could not be made.") : t("Cancelled.");
  if (video.status === "failed") toast(video.error?.message ?? t("A video could not be made."));
}

function update(id, news) {
  const old = videos.value.find((video) => video.id === id);
  if (!old) return;
  const { stage, step, of, queue_position, preview, eta } = news;
  if (stage === "denoise" && step !== undefined) {
    const clock = clocks.get(id) ?? [];
    if (!clock.length || clock.at(-1)[0] < step) clocks.set(id, [...clock, [step, performance.now()]]);
    else if (step < clock.at(-1)[0]) clocks.set(id, [[step, performance.now()]]); // began again after a restart
  }
  videos.value = videos.value.map((video) => video.id !== id ? video : {
    ...video, status: news.status ?? video.status, progress: news.progress ?? video.progress, error: news.error ?? video.error,
    preview: preview ?? video.preview, sorairo: { ...video.sorairo, stage, step, of, queue_position, eta },
  });
  if (!news.status || isActive(news)) return;
  ended({ ...news, id });
  tune();
  call(`/v1/videos/${id}`).then(put, () => {});
  tell();
}

// Seconds left: as the server says, or as the steps so far tell; null before two of them have been timed.
export function timeLeft(video) {
  if (typeof video.sorairo?.eta === "number") return Math.max(1, Math.round(video.sorairo.eta));
  const clock = clocks.get(video.id);
  const { of } = video.sorairo ?? {};
  if (!clock || clock.length < 2 || !of) return null;
  const [first, last] = [clock[0], clock.at(-1)];
  const pace = (last[1] - first[1]) / (last[0] - first[0]);
  return Math.max(1, Math.round(((of - last[0]) * pace - (performance.now() - last[1]) + pace) / 1000)); // a step more for decoding
}

export async function start() {
  const attempt = async () => {
    try {
      if (!models.value.length) models.value = (await call("/v1/models")).data.filter((one) => one.sorairo);
      policy.value ??= await call("/v1/sorairo/redteam");
      await refresh();
      return true;
    } catch {
      return false;
    }
  };
  await attempt();
  const again = async () => {
    await attempt();
    const busy = videos.value.some(isActive);
    setTimeout(again, !online.value ? 1500 : busy ? 2500 : document.hidden ? 30000 : 8000);
  };
  setTimeout(again, 2000);
  if (tabs) tabs.onmessage = () => refresh().catch(() => {});
  document.addEventListener("visibilitychange", () => { tune(); if (!document.hidden) refresh().catch(() => {}); });
  effect(() => { if (selected.value !== undefined) untracked(tune); });
}
