// Words of the page. English is the key; another language is a table in a file of its own, which is loaded when it is chosen.
import { effect, signal } from "@preact/signals";
import { language } from "./state.js";

const tables = signal({ en: {} });

export async function learn(tongue) {
  if (tables.value[tongue]) return;
  const { ZH } = await import("./zh.js");
  tables.value = { ...tables.value, [tongue]: ZH };
}
effect(() => { learn(language.value).catch(() => { language.value = "en"; }); });

export function t(english, values = {}) {
  const text = tables.value[language.value]?.[english] || english;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
export const seconds = (value) => `${Number(value.toFixed(2))} s`;
