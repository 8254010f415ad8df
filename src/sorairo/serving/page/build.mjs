// Bundle src/ into dist/, or into the folder that is named: node build.mjs [FOLDER]. The same sources give the same bytes.
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "dist");
await mkdir(out, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: ["src/main.js", "src/style.css"],
  entryNames: "[name]",
  chunkNames: "[name]",
  splitting: true, // what is imported while the page runs becomes a file of its own: the Chinese
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
});
for (const file of ["index.html", "icon.svg"]) await copyFile(join(here, "src", file), join(out, file));

const parts = ["preact", "@preact/signals", "@preact/signals-core", "htm"];
const licences = await Promise.all(parts.map(async (name) => `${name}\n\n${await readFile(join(here, "node_modules", name, "LICENSE"), "utf8")}`));
await writeFile(join(out, "licences.txt"), licences.join("\n\n"));
