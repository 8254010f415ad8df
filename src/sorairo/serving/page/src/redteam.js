// For keys of the red team: what the policy makes of words, with raw scores, and findings to keep.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { call } from "./api.js";
import { t } from "./i18n.js";
import { draft, policy } from "./state.js";

const said = (action) => t({ allow: "allowed", flag: "flagged", rewrite: "rewritten", block: "refused" }[action] ?? action);

function Scores({ found }) {
  const { scores = {}, categories = {} } = found.moderation ?? {};
  const rules = policy.value?.categories ?? {};
  return html`<table class="scores"><caption class="sr">${t("Scores")}</caption><tbody>${Object.entries(scores).sort((a, b) => b[1] - a[1]).map(([name, score]) => html`
    <tr key=${name} class=${`did-${categories[name] ?? "allow"}`}><th scope="row">${name}</th>
      <td class="gauge"><span style=${{ width: `${score * 100}%` }}></span><i style=${{ left: `${(rules[name]?.threshold ?? 1) * 100}%` }}></i></td>
      <td class="number">${score.toFixed(2)}</td><td>${said(categories[name] ?? "allow")}</td></tr>`)}</tbody></table>`;
}

export function RedTeamForm() {
  const [words, setWords] = useState(draft.value.prompt);
  const [negative, setNegative] = useState("");
  const [found, setFound] = useState(null);
  const [wrong, setWrong] = useState("");
  const [category, setCategory] = useState("benign");
  const [findings, setFindings] = useState([]);
  const list = () => call("/v1/sorairo/redteam/findings").then((all) => setFindings(all.data), () => setFindings([]));
  useEffect(() => { list(); }, []);
  const request = { verb: "generate", prompt: words, ...(negative ? { negative } : {}) };
  const check = async (event) => {
    event.preventDefault();
    setWrong("");
    setFound(null);
    try {
      const answer = await call("/v1/sorairo/redteam/check", { method: "POST", json: { request } });
      setFound(answer);
      const top = Object.entries(answer.moderation?.scores ?? {}).filter(([name]) => name !== "minors").sort((a, b) => b[1] - a[1])[0];
      setCategory(answer.refused ? "benign" : top?.[0] ?? "benign");
    } catch (error) {
      setWrong(error.message);
    }
  };
  const keep = async () => {
    try {
      await call("/v1/sorairo/redteam/findings", { method: "POST", json: { request, category } });
      await list();
    } catch (error) {
      setWrong(error.message);
    }
  };
  const names = ["benign", ...Object.keys(policy.value?.categories ?? {}).filter((name) => name !== "minors")];
  return html`<p class="hint">${t("What the policy {version} makes of words. No video is made.", { version: policy.value?.policy ?? "" })}</p>
    <form class="redteam" onSubmit=${check}>
      <div class="field"><label for="redteam-words">${t("Words")}</label><textarea id="redteam-words" rows="3" required value=${words} onInput=${(event) => setWords(event.target.value)}></textarea></div>
      <div class="field"><label for="redteam-negative">${t("Keep away from")}</label><input id="redteam-negative" type="text" value=${negative} onInput=${(event) => setNegative(event.target.value)} /></div>
      <button class="primary" type="submit">${t("Check")}</button></form>
    ${wrong && html`<p class="problem" role="alert">${wrong}</p>`}
    ${found && html`<p class=${found.refused ? "verdict refused" : "verdict"} role="status"><strong>${found.refused ? t("Refused.") : t("Not refused.")}</strong> ${found.message ?? ""}</p><${Scores} found=${found} />
      <div class="row keep"><label for="redteam-category">${t("It should have been found as")}</label>
        <select id="redteam-category" value=${category} onChange=${(event) => setCategory(event.target.value)}>${names.map((name) => html`<option key=${name} value=${name}>${name === "benign" ? t("harmless") : name}</option>`)}</select>
        <button class="soft" onClick=${keep}>${t("Keep as a finding")}</button></div>`}
    ${findings.length > 0 && html`<h3>${t("Findings")}</h3><ul class="findings">${findings.slice(0, 50).map((one) => html`<li key=${one.id}><span>${one.request.prompt ?? ""}</span> <em>${one.category === "benign" ? t("harmless") : one.category}</em><code>${one.id}</code></li>`)}</ul>
      <p class="hint"><code>sorairo redteam case --finding ID</code> ${t("turns one into a regression case.")}</p>`}`;
}
