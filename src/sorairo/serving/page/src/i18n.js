// Words of the page. English is the key; another language is a table beside it.
import { language } from "./state.js";
import { ZH } from "./zh.js";

export function t(english, values = {}) {
  const text = (language.value === "zh" && ZH[english]) || english;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
export const seconds = (value) => `${Number(value.toFixed(2))} s`;
