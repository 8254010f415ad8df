// Keeps the videos up to date: an event stream for each job at work, and the list now and then for what other tabs did.
import { batch } from "@preact/signals";
import { call } from "./api.js";
import { announced, isActive, loaded, models, online, selected, toast, videos } from "./state.js";
import { t } from "./i18n.js";

const streams = new Map(); // id -> EventSource
export const clocks = new Map(); // id -> [[step, milliseconds], ...] of the denoising, for the time left
const tabs = "BroadcastChannel" in window ? new BroadcastChannel("sorairo") : null;

export const tell = () => tabs?.postMessage("changed");
export const put = (video) => {
  const others = videos.value.filter((one) => one.id !== video.id);
  videos.value = [video, ...others].sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? 1 : -1));
  watch(video);
};

export async function refresh() {
  const found = [];
  for (let after = ""; found.length < 1000;) { // all pages, newest first
    const page = await call(`/v1/videos?limit=100&order=desc${after && `&after=${after}`}`);
    found.push(...page.data);
    if (!page.has_more || !page.last_id) break;
    after = page.last_id;
  }
  const before = new Map(videos.value.map((video) => [video.id, video]));
  batch(() => {
    videos.value = found.map((video) => {
      const known = before.get(video.id);
      return known && isActive(video) ? { ...video, preview: known.preview, sorairo: { ...known.sorairo, ...video.sorairo } } : video;
    });
    loaded.value = true;
    if (selected.value && !found.some((video) => video.id === selected.value)) selected.value = null;
  });
  for (const video of found) watch(video);
}

function watch(video) {
  if (!isActive(video)) {
    streams.get(video.id)?.close();
    streams.delete(video.id);
    return;
  }
  if (streams.has(video.id)) return;
  const stream = new EventSource(`/v1/videos/${video.id}/events`);
  streams.set(video.id, stream);
  stream.onmessage = (event) => update(video.id, JSON.parse(event.data));
  for (const name of ["progress", "status", "done"]) stream.addEventListener(name, stream.onmessage);
  stream.onerror = () => { // the browser tries again by itself, unless the answer was final
    if (stream.readyState === EventSource.CLOSED) {
      streams.delete(video.id);
      setTimeout(() => refresh().catch(() => {}), 1500);
    }
  };
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
  const ended = news.status && !isActive(news);
  videos.value = videos.value.map((video) => video.id !== id ? video : {
    ...video, status: news.status ?? video.status, progress: news.progress ?? video.progress, error: news.error ?? video.error,
    preview: preview ?? video.preview, sorairo: { ...video.sorairo, stage, step, of, queue_position, eta },
  });
  if (!ended) return;
  streams.get(id)?.close();
  streams.delete(id);
  clocks.delete(id);
  call(`/v1/videos/${id}`).then(put, () => {});
  announced.value = news.status === "completed" ? t("Your video is ready.") : news.status === "failed" ? t("A video could not be made.") : t("Cancelled.");
  if (news.status === "failed") toast(news.error?.message ?? t("A video could not be made."));
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
    setTimeout(again, !online.value ? 1500 : busy ? 4000 : document.hidden ? 30000 : 8000);
  };
  setTimeout(again, 2000);
  if (tabs) tabs.onmessage = () => refresh().catch(() => {});
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh().catch(() => {}); });
}
