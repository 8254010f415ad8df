// Which words of a prompt the model was never taught, found while typing.
const LIST = new WeakMap();

export function unknownWords(text, model) {
  const vocabulary = model?.sorairo.vocabulary;
  if (!vocabulary?.length) return [];
  if (!LIST.has(model)) LIST.set(model, new Set(vocabulary.map((word) => word.toLowerCase())));
  const known = LIST.get(model);
  const found = text.toLowerCase().match(/[\p{L}][\p{L}\p{M}'’-]*/gu) ?? [];
  const strange = found.filter((word) => !known.has(word) && !known.has(word.replace(/['’]s$/, "")) && !word.split("-").every((part) => known.has(part)));
  return [...new Set(strange)];
}

// The text in pieces, [piece, is unknown], for the underlines behind the text field.
export function marked(text, unknown) {
  if (!unknown.length) return [[text, false]];
  const strange = new Set(unknown);
  return text.split(/([\p{L}][\p{L}\p{M}'’-]*)/u).map((piece) => [piece, strange.has(piece.toLowerCase())]);
}
