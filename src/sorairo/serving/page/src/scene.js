// The scene of a clip, directed by hand: where each object begins and ends, and what the camera does (docs/scene.md).

// Where the floor's middle lies while the camera stands still, as in the simulated world: y of the horizon, and metres.
const HORIZON = -0.65;
const FAR = 6.7;
// What a move does to that point: [x at the start, x at the end], [metres at the start, metres at the end].
const MOVES = {
  still: [[0, 0], [FAR, FAR]], "pan left": [[-0.37, 0.37], [7, 7]], "pan right": [[0.37, -0.37], [7, 7]],
  "dolly in": [[0, 0], [6.4, 4.5]], "dolly out": [[0, 0], [6.2, 8.4]],
};
const SAID = { still: "", "pan left": "The camera pans to the left.", "pan right": "The camera pans to the right.", "dolly in": "The camera moves in.", "dolly out": "The camera moves back." };
const ROLLS = new Set(["ball", "cylinder"]);
let key = 0;

export const CAMERAS = Object.keys(MOVES);
export const newObject = (objects) => {
  const at = [[-0.6, 0.2], [0.55, 0.25], [-0.1, 0.45], [0.1, 0]][objects.length % 4];
  return { key: `object${Date.now()}-${key++}`, shape: objects.length % 2 ? "cube" : "ball", colour: ["red", "blue", "yellow", "green"][objects.length % 4], size: 0.3,
    from: at, to: objects.length ? at : [0, 0.2] };
};
export const EMPTY_SCENE = () => ({ objects: [newObject([])], camera: "still" });
export const nameOf = (one) => `${one.colour} ${one.shape}`;
export const placeAt = (one, part) => [0, 1].map((i) => one.from[i] + (one.to[i] - one.from[i]) * part);

// How far an object is: as far as the floor under the lowest place of its way.
const metres = (one) => Math.min(12, Math.max(3, (FAR * -HORIZON) / Math.max(0.25, Math.max(one.from[1], one.to[1]) + one.size - HORIZON)));
const rounded = (value) => Math.round(value * 1000) / 1000;

// The page's scene -> the server's, for a clip of that length. given: one that came from elsewhere and was not changed here.
export function sceneOf({ objects, camera, given }, end) {
  if (given) return given;
  const [[x0, x1], [d0, d1]] = MOVES[camera];
  return {
    objects: objects.map((one) => ({ shape: one.shape, colour: one.colour, path: [[0, one.from], [end, one.to]].map(([at, [x, y]]) => ({
      at, x: rounded(x), y: rounded(y), width: one.size, height: one.size, distance: rounded(metres(one)) })) })),
    camera: [[0, x0, d0], [end, x1, d1]].map(([at, x, distance]) => ({ at, x, horizon: HORIZON, distance })),
  };
}

// And back. The page shows the first and the last place of each object; what is between them stays in `given`.
export function directed(scene) {
  const [first, last] = [scene.camera?.[0], scene.camera?.at(-1)];
  const slid = first ? (last.x ?? 0) - (first.x ?? 0) : 0;
  const nearer = first ? (first.distance ?? 6) / (last.distance ?? 6) : 1;
  const camera = slid > 0.15 ? "pan left" : slid < -0.15 ? "pan right" : nearer > 1.15 ? "dolly in" : nearer < 0.87 ? "dolly out" : "still";
  return { given: scene, camera, objects: scene.objects.map((one) => {
    const [from, to] = [one.path[0], one.path.at(-1)];
    return { ...newObject([]), shape: one.shape, colour: one.colour, size: from.width ?? 0.3, from: [from.x, from.y], to: [to.x, to.y] };
  }) };
}

// A sentence that says the same, in words that the model knows.
export function wordsOf({ objects, camera }) {
  const article = (one) => (/^[aeiou]/.test(one.colour) ? "an " : "a ") + nameOf(one);
  const moves = (one) => {
    const [x, y] = [one.to[0] - one.from[0], one.to[1] - one.from[1]];
    if (Math.abs(x) < 0.1 && Math.abs(y) < 0.1) return "";
    if (Math.abs(x) >= Math.abs(y)) return `${ROLLS.has(one.shape) ? " rolls" : " slides"} to the ${x > 0 ? "right" : "left"}`;
    return y > 0 ? " drops onto the floor" : "";
  };
  const sorted = [...objects].sort((a, b) => Boolean(moves(b)) - Boolean(moves(a)));
  if (!sorted.length) return "";
  const [first, ...rest] = sorted;
  const others = rest.map(article);
  const list = others.length > 1 ? `${others.slice(0, -1).join(", ")} and ${others.at(-1)}` : others[0];
  const text = article(first) + moves(first) + (list ? (moves(first) ? `, near ${list}` : ` and ${list}`) : "");
  return [`${text[0].toUpperCase()}${text.slice(1)}.`, SAID[camera]].filter(Boolean).join(" ");
}
