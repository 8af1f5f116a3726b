// The sheet of uploads: takes drops, pastes and chosen files, shows what becomes of each, and stays behind as a pill when closed.

import { refresh } from "./live.js";
import { call, transfer } from "./transfer.js";

const FILES_AT_ONCE = 2;
const WELL_KNOWN = { ".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".webp": "WebP", ".heic": "HEIC", ".psd": "PSD" };
const LOOK_MILLISECONDS = 1000;
const LOOK_MOST = 50; // names in one question
const PATIENCE = 60; // answers without a name, before it is asked whether there still is such an original

const sheet = document.getElementById("sheet");
const list = document.getElementById("uploads");
const pill = document.getElementById("pill");
const picker = document.getElementById("files");
const dropHere = document.getElementById("drop-here");
const say = document.getElementById("uploads-say");

const uploads = []; // {row, file, path, stage, controller, name, self, missed}; stages: waiting, sending, made (uploaded), open, failed, refused
let api = null;
let looking = 0;

const at = (...stages) => uploads.filter((upload) => stages.includes(upload.stage));

async function possibilities() {
  api ??= await call(sheet.dataset.api, "GET");
  picker.accept = api.extensions.join(",");
  document.getElementById("limits").textContent = `${kinds()}. At most ${bytes(api.max_upload_bytes)} each.`;
  return api;
}

/** The kinds that people know by name, and how many others there are. */
function kinds() {
  const known = Object.entries(WELL_KNOWN).filter(([extension]) => api.extensions.includes(extension)).map(([, name]) => name);
  return `${known.join(", ")} and others`;
}

function bytes(count) {
  if (count === 1) return "1 byte";
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; count >= 999.5 && unit < units.length - 1; unit += 1) count /= 1000;
  return `${count.toLocaleString("en", { maximumFractionDigits: unit && count < 99.95 ? 1 : 0 })} ${units[unit]}`;
}

function open() {
  if (!sheet.open) sheet.showModal();
  possibilities().catch((error) => { say.textContent = error.message; });
  renew();
}

/** Take files, each as {file, path}: refuse what can't be an image before a byte is sent, send the others in turn. */
async function add(found) {
  if (!found.length) return;
  open();
  try {
    await possibilities();
  } catch (error) {
    for (const each of found) addRow(each, error.message);
    return;
  }
  for (const each of found) addRow(each, complaint(each.file, each.path));
  pump();
}

function complaint(file, path) {
  if (!api.extensions.some((extension) => path.toLowerCase().endsWith(extension))) return `Its name does not end as an image's does. ${kinds()} can be opened.`;
  if (file.size > api.max_upload_bytes) return `It has ${bytes(file.size)}; at most ${bytes(api.max_upload_bytes)} can be uploaded.`;
  return file.size ? "" : "It is empty.";
}

function addRow({ file, path }, refusal) {
  const row = document.getElementById("upload-row").content.cloneNode(true).querySelector("li");
  const [name, size] = row.querySelectorAll(".upload-name > span");
  name.textContent = name.title = path;
  size.textContent = bytes(file.size);
  row.querySelector("progress").setAttribute("aria-label", path);
  const upload = { row, file, path, stage: refusal ? "refused" : "waiting", controller: new AbortController(), name: "" };
  uploads.push(upload);
  if (refusal) list.prepend(row);
  else list.append(row);
  if (refusal) end(upload, "refused", refusal);
  else {
    show(upload, "clock", "Waiting");
    setActs(upload, act(upload, "Cancel", () => cancel(upload)));
  }
}

function show(upload, icon, words, percent, tone = "") {
  const state = upload.row.querySelector(".state");
  state.className = `state ${tone}`;
  const use = state.querySelector("use");
  use.setAttribute("href", `${use.dataset.icons}#${icon}`);
  if (state.lastChild.textContent !== words) state.lastChild.textContent = words;
  const bar = upload.row.querySelector("progress");
  bar.hidden = percent === undefined;
  if (percent === null) bar.removeAttribute("value");
  else if (percent !== undefined) bar.value = percent;
}

function act(upload, words, work) {
  const button = document.getElementById("upload-cancel").content.cloneNode(true).querySelector("button");
  button.setAttribute("aria-label", `${words} ${upload.path}`);
  button.addEventListener("click", work);
  return button;
}

function linkTo(upload, words, address) {
  const link = document.createElement("a");
  link.className = "button slight";
  link.href = address;
  link.textContent = words;
  link.setAttribute("aria-label", `${words} ${upload.path}`);
  return link;
}

const setActs = (upload, ...acts) => upload.row.querySelector(".upload-act").replaceChildren(...acts);
const dismissal = (upload) => act(upload, "Dismiss", () => remove(upload));

function remove(upload) {
  uploads.splice(uploads.indexOf(upload), 1);
  upload.row.remove();
  renew();
}

function cancel(upload) {
  upload.controller.abort();
  if (upload.stage === "waiting") remove(upload);
}

function end(upload, stage, sentence) {
  upload.stage = stage;
  show(upload, "broken", sentence, undefined, "failure");
  setActs(upload, dismissal(upload));
  say.textContent = `${upload.path}: ${sentence}`;
  renew();
}

function pump() {
  renew();
  for (const upload of at("waiting").slice(0, FILES_AT_ONCE - at("sending").length)) send(upload);
}

async function send(upload) {
  upload.stage = "sending";
  const tell = (share) => show(upload, "upload", `Uploading ${Math.floor(share * 100)} %`, share * 100);
  const begin = () => transfer(upload.file, upload.path, api, upload.controller.signal, tell);
  tell(0);
  try {
    const image = await begin().catch(async (error) => {
      if (error.code !== "forbidden") throw error;
      api = await call(sheet.dataset.api, "GET"); // its token is another one since somebody has signed in, or the server has started, anew
      return begin();
    });
    Object.assign(upload, { stage: "made", name: image.name, self: image.links.self, missed: 0 });
    show(upload, "clock", "Uploaded, waiting", null);
    setActs(upload);
    look();
    refresh();
  } catch (error) {
    if (upload.controller.signal.aborted) remove(upload);
    else end(upload, "failed", error.message);
  }
  pump();
}

/** Ask what became of what was uploaded, until all of it is settled. */
async function look() {
  clearTimeout(looking);
  const pending = at("made").slice(0, LOOK_MOST);
  if (!pending.length) return;
  try {
    if (!document.hidden) await lookFor(pending);
  } catch (error) {
    console.warn(error); // the next look may go better; live.js tells of lost connections
  }
  renew();
  looking = setTimeout(look, LOOK_MILLISECONDS);
}

async function lookFor(pending) {
  const address = new URL(api.links.images, location.href);
  for (const upload of pending) address.searchParams.append("name", upload.name);
  const { images } = await call(address, "GET");
  const found = new Map(images.map((image) => [image.name, image]));
  for (const upload of pending) {
    const image = found.get(upload.name) ?? (++upload.missed % PATIENCE ? null : await whatIsLeft(upload));
    if (image) settle(upload, image);
  }
}

/** The image that the list does not have: nobody may have looked at its original yet, and it may have been deleted. */
async function whatIsLeft(upload) {
  try {
    return await call(upload.self, "GET");
  } catch (error) {
    if (error.code !== "not-found") throw error;
    end(upload, "failed", "It is no longer in the source.");
    return null;
  }
}

function settle(upload, image) {
  if (image.state === "waiting") show(upload, "clock", "Uploaded, waiting", null);
  else if (image.state === "processing") show(upload, "clock", image.words, image.progress?.percent ?? null);
  else {
    upload.stage = image.state === "published" ? "open" : "failed";
    if (upload.stage === "open") {
      show(upload, "done", image.words || "Ready", undefined, image.tone);
      setActs(upload, linkTo(upload, "Open", image.links.page));
    } else {
      show(upload, image.icon || "broken", image.sentence || image.words, undefined, image.tone);
      setActs(upload, linkTo(upload, "Details", image.links.page), dismissal(upload));
    }
    say.textContent = `${upload.path}: ${image.sentence || image.words || "ready"}`;
    refresh();
  }
}

/** The sheet's and the pill's own looks. */
function renew() {
  sheet.classList.toggle("busy", uploads.length > 0);
  const accepted = uploads.filter((upload) => upload.stage !== "refused").length;
  const sent = at("made", "open", "failed").length;
  const isBusy = at("waiting", "sending", "made").length > 0;
  const failed = at("failed").length;
  const words = [isBusy && `${sent} of ${accepted}`, failed && `${failed} failed`].filter(Boolean).join(", ");
  pill.hidden = sheet.open || !words;
  pill.lastChild.textContent = words;
  pill.setAttribute("aria-label", `Uploads: ${words}`);
  const use = pill.querySelector("use");
  use.setAttribute("href", use.getAttribute("href").replace(/#.*/, failed ? "#attention" : "#upload"));
}

// where files come from

const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");

window.addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  dropHere.hidden = false;
  (sheet.open ? sheet : document.body).append(dropHere); // above the sheet, which is in the top layer
});
window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) dropHere.hidden = true; });
window.addEventListener("drop", async (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  dropHere.hidden = true;
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const plain = [...event.dataTransfer.files].map((file) => ({ file, path: file.name }));
  add(entries.some((entry) => entry.isDirectory) ? (await Promise.all(entries.map(filesOf))).flat() : plain);
});

/** The files of a dropped folder, or the one file, with their paths; hidden ones are left out. */
async function filesOf(entry) {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) return [{ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path: entry.fullPath.slice(1) }];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at a time
    if (!batch.length) break;
    found.push(...batch);
  }
  return (await Promise.all(found.map(filesOf))).flat();
}

document.addEventListener("paste", (event) => {
  const stamp = new Date().toISOString().slice(0, 19).replace(/[T:]/g, "-");
  const pasted = [...(event.clipboardData?.files ?? [])];
  // browsers call every pasted picture image.png
  add(pasted.map((file, index) => ({ file, path: file.name === "image.png" ? `pasted-${stamp}${index ? `-${index}` : ""}.png` : file.name })));
});

picker.addEventListener("change", () => {
  add([...picker.files].map((file) => ({ file, path: file.name })));
  picker.value = "";
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-upload], #pill")) open();
  if (event.target.closest("#choose, [data-upload=choose]")) picker.click();
  if (event.target.closest("#sheet-close") || event.target === sheet) sheet.close();
});
sheet.addEventListener("close", renew);
window.addEventListener("beforeunload", (event) => { if (at("waiting", "sending").length) event.preventDefault(); });
