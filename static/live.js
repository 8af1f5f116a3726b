// Keeps a page up to date: asks for the page itself again, now and then, and takes over the regions that have changed.
// Rests in hidden tabs. Loads further pages of a list when its end comes into view, sends the small forms, copies texts.

import { morph } from "./morph.js";

const LOST_SECONDS = 10;
const BUSY_SECONDS = 2; // while something on a further page is in progress; of the first page the server tells
const SOON_SECONDS = 1; // after a page has come, or a form has gone: the work that was asked for may not have begun
const ACT_TROUBLE = "That did not work. Try again.";
const TOLD_SECONDS = 10;

const [say, lost] = ["unseen", "slim"].map((looks) => Object.assign(document.createElement("p"), { className: looks, role: "status" }));
const corner = document.createElement("div");
corner.className = "corner";
corner.append(say, lost);
document.body.append(corner);
lost.hidden = true;

const regions = () => [...document.querySelectorAll("[data-region]")];
const region = (name, root = document) => root.querySelector(`[data-region="${name}"]`);
const here = location.pathname + location.search;
const further = new Map(); // the address of each further page of a list -> the keys of its rows
let timer = 0;
let telling = 0;
let updatedAt = new Date();
let isAsking = false;

/** Ask now, and then as often as the page says. */
export async function refresh() {
  clearTimeout(timer);
  if (isAsking || !regions().length) return;
  isAsking = true;
  try {
    takeOver(await ask(here));
    for (const address of busyPages()) takeOverRows(await ask(address));
    updatedAt = new Date();
    lost.hidden = true;
  } catch (error) {
    tellLost(error);
  } finally {
    isAsking = false;
    tellUpdated();
    plan();
  }
}

async function ask(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (answer.redirected || answer.status === 401) location.reload(); // the session has ended
  if (!answer.ok && answer.status !== 404) throw new Error(String(answer.status));
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

function takeOver(fresh) {
  const [before, generation] = [document, fresh].map((root) => root.querySelector("[data-generation]")?.dataset.generation);
  const isGone = before !== undefined && generation === undefined; // the image itself
  if (isGone || !generation !== !before) location.reload(); // the picture has come, or gone
  const focus = document.activeElement;
  const [place, row] = [focus.closest("[data-region]"), focus.closest("[data-live]")];
  const goesOn = further.size > 0 || Boolean(region("more", fresh)?.querySelector("[data-more]"));
  for (const mine of regions()) {
    const other = region(mine.dataset.region, fresh);
    if (!other || mine.dataset.region === "more" && further.size) continue;
    announce(mine, other);
    morph(mine, other, announce, goesOn);
  }
  if (place && !focus.isConnected) focusNear(place, row);
  watchTheEnd();
  document.dispatchEvent(new CustomEvent("renewed", { detail: generation }));
}

/** What had the focus is gone: give it to the link of the same row, or to the heading of what is left, or to the region. */
function focusNear(place, row) {
  const target = (row && rowOf(row.dataset.live)?.querySelector("h2, a")) ?? place.querySelector("h2") ?? place;
  if (!target.matches("a")) target.tabIndex = -1;
  target.focus();
}

function takeOverRows(fresh) {
  for (const row of fresh.querySelectorAll("[data-live]")) {
    const mine = rowOf(row.dataset.live);
    if (mine) {
      announce(mine, row);
      morph(mine, row, announce);
    }
  }
}

const rowOf = (key) => document.querySelector(`[data-live="${CSS.escape(key)}"]`);
const busyPages = () => [...further].filter(([, keys]) => keys.some((key) => rowOf(key)?.dataset.busy !== undefined)).map(([address]) => address);

/** Tell of what has failed since, in words, once; and of what has failed again, for nothing else on the page would show it. */
function announce(mine, row) {
  if (!row.dataset.tone) return;
  if (mine?.dataset.tone !== row.dataset.tone) tell(row.dataset.sentence, false);
  else if (mine.dataset.tried !== row.dataset.tried) tell(`Tried again: ${row.dataset.sentence}`);
}

/** Read words out, and show them for a while, unless the page itself shows as much; "" takes them back. */
function tell(words, isShown = words !== "") {
  clearTimeout(telling);
  say.textContent = words;
  say.className = isShown ? "slim" : "unseen";
  if (isShown) telling = setTimeout(tell, TOLD_SECONDS * 1000, "");
}

function tellLost(error) {
  console.warn(error);
  const time = updatedAt.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const words = `Connection lost. Showing the state of ${time}; trying again.`;
  if (lost.textContent !== words) lost.textContent = words;
  lost.hidden = false;
}

function tellUpdated() {
  const place = document.querySelector("[data-updated] time");
  if (!place) return;
  const seconds = Math.round((Date.now() - updatedAt) / 1000);
  place.dateTime = updatedAt.toISOString().replace(/\.\d+Z$/, "+00:00");
  place.title = place.dateTime.replace("T", " ").replace("+00:00", " UTC");
  place.textContent = seconds < 2 ? "just now" : seconds < 60 ? `${seconds} s ago` : `${Math.floor(seconds / 60)} min ago`;
}

function plan(atMost = Infinity) {
  clearTimeout(timer);
  const first = Number(document.querySelector("[data-live-every]")?.dataset.liveEvery);
  const seconds = !lost.hidden ? LOST_SECONDS : busyPages().length ? Math.min(first, BUSY_SECONDS) : first;
  if (seconds && !document.hidden) timer = setTimeout(refresh, Math.min(seconds, atMost) * 1000);
}

// further pages of a list

const end = new IntersectionObserver((seen) => { if (seen.some((each) => each.isIntersecting)) loadMore(); }, { rootMargin: "600px" });

function watchTheEnd() {
  end.disconnect();
  const link = document.querySelector("[data-more]");
  if (link) end.observe(link);
}

async function loadMore() {
  const link = document.querySelector("[data-more]");
  if (!link || isAsking) return;
  isAsking = true;
  try {
    const address = link.getAttribute("href");
    const fresh = await ask(address);
    const rows = [...fresh.querySelectorAll("[data-live-list] > [data-live]")].filter((row) => !rowOf(row.dataset.live));
    document.querySelector("[data-live-list]").append(...rows);
    further.set(address, rows.map((row) => row.dataset.live));
    const next = fresh.querySelector("[data-more]");
    if (next) link.href = next.getAttribute("href");
    else link.remove();
  } catch (error) {
    tellLost(error); // the link stays, and may be followed
  } finally {
    isAsking = false;
    if (lost.hidden) watchTheEnd();
    plan();
  }
}

// forms and copying

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.method !== "post" || !form.closest("[data-region]")) return;
  event.preventDefault();
  const button = event.submitter;
  if (button.ariaDisabled) return;
  button.ariaDisabled = "true"; // not `disabled`, which would lose the focus
  tell("");
  const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form, button)) }).catch(() => null);
  if (!answer?.ok) tell(ACT_TROUBLE);
  await refresh();
  button.ariaDisabled = null;
  plan(SOON_SECONDS);
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy || document.getElementById(button.dataset.copyFrom).textContent);
    tell("Copied.", false);
    const use = button.querySelector("use");
    const icon = use.getAttribute("href");
    use.setAttribute("href", icon.replace(/#.*/, "#done"));
    setTimeout(() => use.setAttribute("href", icon), 1500);
  } catch {
    tell("The browser did not allow copying.");
  }
});

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
window.addEventListener("pageshow", (event) => { if (event.persisted) refresh(); });
setInterval(tellUpdated, 1000);
watchTheEnd();
plan(SOON_SECONDS);
