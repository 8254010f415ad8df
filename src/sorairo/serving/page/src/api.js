// Calls to the server that served this page, and to nothing else.
import { dialog, language, online } from "./state.js";
import { t } from "./i18n.js";

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export const uuid = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is missing on plain http
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
};

export async function call(path, { method = "GET", json, form, headers = {}, keepalive = false } = {}) {
  const init = { method, headers: { ...headers, "Accept-Language": language.value }, credentials: "same-origin", keepalive };
  if (json !== undefined) {
    init.body = JSON.stringify(json);
    init.headers["Content-Type"] = "application/json";
  }
  if (form) init.body = form;
  let response;
  try {
    response = await fetch(path, init);
  } catch {
    online.value = false;
    throw new ApiError(t("The server does not answer. This page goes on by itself as soon as it is back."), 0);
  }
  const body = await response.json().catch(() => null);
  if (response.ok) {
    online.value = true;
    return body;
  }
  if (response.status === 401) dialog.value = { name: "key" };
  const said = body?.error?.message ?? body?.detail;
  const retry = response.headers.get("Retry-After");
  const message = typeof said === "string" ? said
    : response.status === 413 ? t("That file is too large for this server; send a shorter or smaller one.")
    : response.status === 429 ? t("Too many requests; try again in {n} s.", { n: retry ?? 10 })
    : t("The server answered with {n}. Try again; if it stays so, its log says why.", { n: response.status });
  throw new ApiError(message, response.status);
}

export const content = (video, variant = "video") => `/v1/videos/${video.id}/content${variant === "video" ? "" : `?variant=${variant}`}`;
export const fileContent = (id) => `/v1/files/${id}/content`;
