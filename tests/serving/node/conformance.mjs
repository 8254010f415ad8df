// Every video call of npm's openai against the server at argv[2]; argv[3] is a picture. Prints what it made as JSON.

import assert from "node:assert/strict"
import fs from "node:fs"
import OpenAI, { toFile } from "openai"

const WORDS = "a red ball drops"
const FIELDS = [
  "id", "object", "model", "status", "progress", "created_at", "completed_at", "expires_at", "prompt", "seconds",
  "size", "remixed_from_video_id", "error",
]
const client = new OpenAI({ baseURL: process.argv[2], apiKey: "x", maxRetries: 0 })
const picture = fs.readFileSync(process.argv[3])

function whole(video) {
  for (const name of FIELDS) assert.ok(name in video, `${name} is missing`)
  assert.equal(video.object, "video")
  assert.equal(typeof video.seconds, "string")
  return video
}

async function done(video) {
  whole(video)
  while (["queued", "in_progress"].includes(video.status)) {
    await new Promise((go) => setTimeout(go, 50))
    video = await client.videos.retrieve(video.id)
  }
  assert.equal(video.status, "completed", JSON.stringify(video.error))
  assert.equal(video.progress, 100)
  return whole(video)
}

async function bytes(id, variant) {
  const answer = await client.videos.downloadContent(id, variant ? { variant } : {})
  return Buffer.from(await answer.arrayBuffer())
}

// create: words alone, a file, a stream from the disk, a data URL, a file id
const first = await done(await client.videos.create({ prompt: WORDS, model: "sora-2", seconds: "4", size: "1280x720" }))
assert.deepEqual([first.model, first.size, first.seconds, first.prompt], ["sora-2", "1280x720", "4", WORDS])
const uploaded = await client.files.create({ file: await toFile(picture, "a.png"), purpose: "vision" })
const url = `data:image/png;base64,${picture.toString("base64")}`
const references = {
  file: await toFile(picture, "a.png", { type: "image/png" }),
  nameless: await toFile(picture),
  stream: fs.createReadStream(process.argv[3]),
  image_url: { image_url: url },
  file_id: { file_id: uploaded.id },
}
for (const [kind, input_reference] of Object.entries(references)) {
  const video = await done(await client.videos.create({ prompt: WORDS, input_reference }))
  assert.equal(video.sorairo.verb, "animate", kind)
}

// content
const clip = await bytes(first.id)
assert.equal(clip.toString("latin1", 4, 8), "ftyp")
assert.equal((await bytes(first.id, "thumbnail")).toString("latin1", 8, 12), "WEBP")
assert.equal((await bytes(first.id, "spritesheet")).toString("hex", 0, 3), "ffd8ff")

// remix, edit and extend: by id and by file
const remix = await done(await client.videos.remix(first.id, { prompt: "a blue ball" }))
assert.equal(remix.remixed_from_video_id, first.id)
const made = { remix: remix.id }
for (const [kind, video] of Object.entries({ id: { id: first.id }, file: await toFile(clip, "a.mp4") })) {
  made[`edit by ${kind}`] = (await done(await client.videos.edit({ prompt: "a green ball", video }))).id
}
const longer = await done(await client.videos.extend({ prompt: WORDS, seconds: "4", video: { id: first.id } }))
assert.equal(longer.seconds, "8")
made.extension = longer.id
await done(await client.videos.extend({ prompt: WORDS, seconds: "4", video: await toFile(clip, "a.mp4") }))

// characters
const person = await client.videos.createCharacter({ name: "Red", video: await toFile(clip, "a.mp4") })
assert.deepEqual(await client.videos.getCharacter(person.id), person)
assert.ok(person.name === "Red" && person.created_at > 0)

// paging by the client's own iterator, both ways
async function ids(order) {
  const found = []
  for await (const video of client.videos.list({ limit: 3, order })) found.push(whole(video).id)
  return found
}
const [up, down] = [await ids("asc"), await ids("desc")]
assert.ok(up.length >= 11 && up[0] === first.id)
assert.deepEqual(up, down.reverse())

// errors are those of the client, and what is deleted is gone
const wrong = [
  [() => client.videos.create({ prompt: "" }), OpenAI.BadRequestError],
  [() => client.videos.create({ prompt: WORDS, model: "sora-9" }), OpenAI.BadRequestError],
  [() => client.videos.retrieve("video_none"), OpenAI.NotFoundError],
  [() => client.videos.edit({ prompt: WORDS, video: { id: "video_none" } }), OpenAI.NotFoundError],
]
for (const [call, kind] of wrong) {
  await assert.rejects(call(), (error) => error instanceof kind && error.requestID && error.message.length > 10)
}
assert.deepEqual(await client.videos.delete(remix.id), { id: remix.id, deleted: true, object: "video.deleted" })
await assert.rejects(client.videos.retrieve(remix.id), OpenAI.NotFoundError)

console.log(JSON.stringify({ first: first.id, videos: up.length, made }))
