// The bar at the top: the name, how many jobs wait, language, theme, help.
import { html } from "htm/preact";
import { t } from "./i18n.js";
import { Icon, Logo } from "./icons.js";
import { dialog, isActive, isDark, language, policy, theme, videos } from "./state.js";

export function Header() {
  const working = videos.value.filter(isActive).length;
  return html`<header class="top">
    <h1><${Logo} /><span>Sorairo</span><small lang="ja">空色</small></h1>
    <p class="working" aria-live="polite">${working > 0 && html`<span class="pulse"></span>${working === 1 ? t("1 video in the making") : t("{n} videos in the making", { n: working })}`}</p>
    <nav aria-label=${t("Page")}>
      ${policy.value?.allowed && html`<button class="bare" aria-label=${t("Red team")} title=${t("Red team")} onClick=${() => { dialog.value = { name: "redteam" }; }}><${Icon} name="shield" /></button>`}
      <button class="bare text" lang=${language.value === "zh" ? "en" : "zh-CN"} onClick=${() => { language.value = language.value === "zh" ? "en" : "zh"; }}>
        ${language.value === "zh" ? "English" : "中文"}</button>
      <button class="bare" aria-label=${isDark.value ? t("Light colours") : t("Dark colours")} title=${isDark.value ? t("Light colours") : t("Dark colours")}
        onClick=${() => { theme.value = isDark.value ? "light" : "dark"; }}><${Icon} name=${isDark.value ? "sun" : "moon"} /></button>
      <button class="bare" aria-label=${t("Keys and help")} title=${t("Keys and help")} onClick=${() => { dialog.value = { name: "help" }; }}><${Icon} name="help" /></button>
    </nav></header>`;
}
