// What lies on the timeline for each verb, in seconds: blocks to see, and handles to move.
import { t } from "./i18n.js";
import { addOf, fpsOf, framesOf, mostSeconds, stepOf, toAdd, toClip } from "./verbs.js";

const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
const snap = (value, fps) => Math.round(value * fps) / fps;

// { total, blocks: [{ kind: known | new | card, from, to, label, thumbnail }], handles: [{ id, at, label, least, most, step, set }], back }
export function spansOf(draft, model) {
  const [fps, step] = [fpsOf(model), stepOf(model)];
  const [one, other] = draft.sources;
  const clip = framesOf(draft, model) / fps;
  const more = addOf(draft, model) / fps;
  const still = 1 / fps;
  const lengthOf = (source) => (!source ? 0.75 : source.kind === "video" ? source.seconds : still);
  const known = (source, from, to) => ({ kind: "known", from, to, label: source?.name ?? t("Clip"), thumbnail: source?.thumbnail });
  const fresh = (from, to, label = draft.prompt) => ({ kind: "new", from, to, label: label.trim() || t("New") });
  const end = (at) => ({ id: "end", at, label: t("End of the video"), least: (1 + step) / fps, most: mostSeconds(model), step: step / fps, set: (to) => ({ frames: toClip(to, model) }) });
  const added = (at, from, label, sign = 1) => ({
    id: "added", at, label, value: more, least: step / fps, most: mostSeconds(model), step: step / fps, set: (to) => ({ add: toAdd(sign * (to - from), model) }),
    nudge: (by) => ({ add: clamp(addOf(draft, model) + by * step, step, mostSeconds(model) * fps) }),
  });

  switch (draft.verb) {
    case "extend": {
      const own = one ? lengthOf(one) : 2;
      if (draft.before) return { total: own + more, blocks: [fresh(0, more), known(one, more, more + own)], handles: [added(more, 0, t("Length to add"))] };
      return { total: own + more, blocks: [known(one, 0, own), fresh(own, own + more)], handles: [added(own + more, own, t("Length to add"))] };
    }
    case "connect": {
      const [first, last] = [lengthOf(one), lengthOf(other)];
      return { total: first + more + last, blocks: [known(one, 0, first), fresh(first, first + more), known(other, first + more, first + more + last)], handles: [added(first + more, first, t("Length between"))] };
    }
    case "loop":
      if (one) return { total: lengthOf(one) + more, back: true, blocks: [known(one, 0, lengthOf(one)), fresh(lengthOf(one), lengthOf(one) + more, t("The way back"))], handles: [added(lengthOf(one) + more, lengthOf(one), t("Length of the way back"))] };
      return { total: clip, back: true, blocks: [fresh(0, clip)], handles: [end(clip)] };
    case "recut": {
      const own = one ? one.seconds : 2;
      const [from, to] = draft.keep ?? [own * 0.25, own * 0.75];
      const cut = (id, at, label, set) => ({ id, at, label, least: 0, most: own, step: 1 / fps, set });
      return { total: own, blocks: [fresh(0, from, t("New")), known(one, from, to), fresh(to, own, t("New"))].filter((block) => block.to - block.from > 1e-6), handles: [
        cut("from", from, t("Kept from"), (at) => ({ keep: [clamp(snap(at, fps), 0, to - still), to] })),
        cut("to", to, t("Kept to"), (at) => ({ keep: [from, clamp(snap(at, fps), from + still, own)] })),
      ] };
    }
    case "edit":
    case "remix": {
      const own = one ? lengthOf(one) : 2;
      return { total: own, blocks: [known(one, 0, own), { ...fresh(0, own), over: true, strength: draft.strength[draft.verb] }], handles: [] };
    }
    case "blend": {
      const own = Math.min(one?.seconds ?? 2, other?.seconds ?? 2);
      return { total: own, blend: true, blocks: [known(one, 0, own), { ...known(other, 0, own), over: true, curve: draft.curve }], handles: [] };
    }
    case "storyboard": {
      const { cards } = draft;
      const till = Math.max(clip, (cards.at(-1)?.at ?? 0) + still);
      const blocks = cards.map((card, i) => ({ kind: "card", id: card.key, from: card.at, to: cards[i + 1]?.at ?? till, label: card.words.trim() || (i ? t("Goes on") : t("Card {n}", { n: 1 })), thumbnail: card.picture?.thumbnail }));
      const handles = cards.slice(1).map((card, i) => ({
        id: card.key, at: card.at, label: t("Card {n} begins", { n: i + 2 }), least: cards[i].at + still, most: (cards[i + 2]?.at ?? till) - still, step: 1 / fps,
        set: (at) => ({ cards: moved(cards, card.key, clamp(snap(at, fps), cards[i].at + still, (cards[i + 2]?.at ?? till) - still)) }),
      }));
      return { total: till, blocks, handles: [...handles, { ...end(till), least: (cards.at(-1)?.at ?? 0) + step / fps }] };
    }
    default:
      return { total: clip, blocks: [...(draft.verb === "animate" ? [known(one, 0, Math.min(still, clip))] : []), fresh(draft.verb === "animate" ? Math.min(still, clip) : 0, clip)], handles: [end(clip)] };
  }
}

export const moved = (cards, key, at) => cards.map((card) => (card.key === key ? { ...card, at } : card)).sort((a, b) => a.at - b.at);
