// A request as a command line, a curl call or Python, to go on with outside this page.
const shell = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;
const indent = (value) => JSON.stringify(value, null, 2);

export function asCurl(request, origin) {
  const { verb, ...body } = request;
  return `curl ${origin}/v1/sorairo/${verb} \\\n  -H 'Authorization: Bearer '"$SORAIRO_API_KEY" \\\n  -H 'Content-Type: application/json' \\\n  -d ${shell(indent(body))}`;
}

// A value of JSON as Python writes it.
function python(value, pad = "") {
  const inner = `${pad}    `;
  if (Array.isArray(value)) return value.every((one) => typeof one !== "object") ? `[${value.map((one) => python(one)).join(", ")}]`
    : `[\n${value.map((one) => `${inner}${python(one, inner)},\n`).join("")}${pad}]`;
  if (value && typeof value === "object") return `{\n${Object.entries(value).map(([key, one]) => `${inner}${JSON.stringify(key)}: ${python(one, inner)},\n`).join("")}${pad}}`;
  if (value === null) return "None";
  return typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);
}

export function asPython(request, origin) {
  const { verb, ...body } = request;
  const plain = verb === "generate" && Object.keys(body).every((key) => ["prompt", "model", "size"].includes(key));
  const create = plain
    ? `video = client.videos.create_and_poll(\n${Object.entries(body).map(([key, value]) => `    ${key}=${JSON.stringify(value)},\n`).join("")})`
    : `body = ${python(body)}\nvideo = client.post("/sorairo/${verb}", body=body, cast_to=Video)\nvideo = client.videos.poll(video.id)`;
  return `import os\n\nfrom openai import OpenAI\n${plain ? "" : "from openai.types import Video\n"}\nclient = OpenAI(base_url="${origin}/v1", api_key=os.environ.get("SORAIRO_API_KEY", "none"))\n${create}\nclient.videos.download_content(video.id).write_to_file("out.mp4")`;
}

function cardLines(card, names, sources) {
  const words = card.words ? JSON.stringify(card.words) : null; // a JSON string is a YAML string
  if (card.picture === undefined) return `${card.at}: ${words}`;
  const picture = names[sources[card.picture]] ?? `${sources[card.picture]}.png`;
  return [`${card.at}:`, ...(words ? [`  words: ${words}`] : []), `  picture: ${JSON.stringify(picture)}`].join("\n");
}

// Names of sources are those of the files as they were; a clip of the gallery is downloaded first.
export function asCommand(request, names = {}) {
  const { verb, prompt, sources = [], args = {}, model, ...rest } = request;
  const files = sources.map((id) => shell(names[id] ?? `${id}.mp4`));
  const parts = [`sorairo ${verb}`];
  let before = "";
  if (verb === "storyboard") {
    before = `cat > cards.yaml <<'END'\n${args.cards.map((card) => cardLines(card, names, sources)).join("\n")}\nEND\n`;
    parts.push("cards.yaml");
  } else {
    parts.push(...(verb === "loop" && !files.length ? [] : files));
    if (prompt) parts.push(shell(prompt));
  }
  if (args.scene) {
    before = `cat > scene.json <<'END'\n${JSON.stringify(args.scene)}\nEND\n`;
    parts.push("--scene scene.json");
  }
  if (args.before) parts.push("--before");
  if (args.free) parts.push("--free");
  if (args.keep) parts.push(`--keep ${args.keep.map((second) => second.toFixed(3)).join("-")}`);
  if (args.strength !== undefined) parts.push(`--strength ${args.strength}`);
  if (args.region) parts.push(`--region ${args.region.join(",")}`);
  if (args.curve && args.curve !== "smooth") parts.push(`--curve ${args.curve}`);
  if (model && model !== "default") parts.push(`--model ${shell(model)}`);
  for (const [name, value] of Object.entries(rest)) parts.push(value === true ? `--${name}` : `--${name} ${typeof value === "string" ? shell(value) : value}`);
  parts.push("-o out.mp4");
  return before + parts.join(" \\\n  ");
}
