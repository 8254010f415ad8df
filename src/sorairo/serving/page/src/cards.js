// The cards of a storyboard as a list: when, what happens, a picture to come by.
import { html } from "htm/preact";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { send } from "./slots.js";
import { change, draft, model } from "./state.js";
import { moved } from "./spans.js";
import { fpsOf } from "./verbs.js";
import { unknownWords } from "./vocabulary.js";

export function Cards() {
  const { cards } = draft.value;
  const edit = (key, patch) => change({ cards: cards.map((card) => (card.key === key ? { ...card, ...patch } : card)) });
  const fps = fpsOf(model.value);
  const remove = (key) => {
    change({ cards: cards.filter((card) => card.key !== key) });
    setTimeout(() => document.getElementById(`words-${draft.value.cards[0].key}`)?.focus(), 0);
  };
  const picture = async (key, file) => {
    const source = await send(file, key);
    if (source) edit(key, { picture: source });
  };
  return html`<ol class="cards" aria-label=${t("Cards")}>${cards.map((card, i) => {
    const unknown = unknownWords(card.words, model.value);
    return html`<li key=${card.key}><div class="when"><span class="n" aria-hidden="true">${i + 1}</span>
        <input type="number" aria-label=${t("Card {n} begins, in seconds", { n: i + 1 })} min="0" step=${1 / fps} value=${card.at} disabled=${i === 0}
          onChange=${(event) => change({ cards: moved(cards, card.key, Math.max(1 / fps, Math.round(Number(event.target.value) * fps) / fps)) })} /> s</div>
      <div class="words"><textarea id=${`words-${card.key}`} rows="2" spellcheck="false" aria-label=${t("Card {n}: what happens", { n: i + 1 })} value=${card.words}
        placeholder=${i ? t("Goes on with the words before") : t("What the video begins with")} onInput=${(event) => edit(card.key, { words: event.target.value })}></textarea>
        ${unknown.length > 0 && html`<p class="unknown">${t("The model was never taught:")} ${unknown.slice(0, 6).map((word) => html`<b>${word}</b> `)}</p>`}</div>
      <div class="picture">${card.picture ? html`<img src=${card.picture.thumbnail} alt=${card.picture.name} /><button class="bare" aria-label=${t("Remove the picture of card {n}", { n: i + 1 })} onClick=${() => edit(card.key, { picture: null })}><${Icon} name="close" size="14" /></button>`
        : html`<label class="soft square file" title=${t("Picture for card {n}", { n: i + 1 })}><${Icon} name="image" /><input type="file" accept="image/*" aria-label=${t("Picture for card {n}", { n: i + 1 })}
          onChange=${(event) => { const [file] = event.target.files; event.target.value = ""; if (file) picture(card.key, file); }} /></label>`}</div>
      <button class="bare" disabled=${i === 0} aria-label=${t("Remove card {n}", { n: i + 1 })} onClick=${() => remove(card.key)}><${Icon} name="trash" size="16" /></button></li>`;
  })}</ol>`;
}
