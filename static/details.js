// The drawer of one image: filter and copy its tags, close what is open with Escape, and say how long a run will take.

const LEAST_SECONDS = 3; // of watching, before a guess is worth something

const drawer = document.querySelector(".drawer");
const filter = document.getElementById("filter");

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  const open = document.querySelector(".menu[open]") ?? (document.getElementById("viewer") && document.querySelector(".drawer[open]"));
  if (!open || event.target === filter && filter.value) return;
  open.open = false;
  open.querySelector("summary").focus();
});
document.addEventListener("click", (event) => {
  const menu = document.querySelector(".menu[open]");
  if (menu && !menu.contains(event.target)) menu.open = false;
});

// tags

filter?.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const group of drawer.querySelectorAll(".group")) {
    let found = 0;
    for (const row of group.querySelectorAll(".facts > div")) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      found += !row.hidden;
    }
    group.hidden = !found;
    group.querySelector("summary > span").textContent = found;
    if (words.length || group.dataset.opened) group.open = words.length > 0;
    if (words.length) group.dataset.opened = "by filter";
    else delete group.dataset.opened;
    count += found;
  }
  document.getElementById("filtered").textContent = words.length ? `${count.toLocaleString("en")} ${count === 1 ? "tag" : "tags"}` : "";
});

// a button to copy each value, made when its group is first opened
for (const group of drawer.querySelectorAll(".group")) group.addEventListener("toggle", () => addCopies(group), { once: true });

function addCopies(group) {
  for (const row of group.querySelectorAll(".facts > div")) {
    const [name, value] = row.children;
    const button = document.getElementById("copy-button").content.firstElementChild.cloneNode(true);
    button.dataset.copy = value.textContent;
    button.setAttribute("aria-label", `Copy ${name.textContent}`);
    value.append(button);
  }
}

// how long yet: from the tiles that were done while we watched

let first = null;

function guess() {
  const place = document.getElementById("estimate");
  const [done, total] = [Number(place?.dataset.done), Number(place?.dataset.total)];
  if (!total) return;
  const now = Date.now() / 1000;
  first ??= { done, now };
  const pace = (done - first.done) / (now - first.now);
  if (now - first.now < LEAST_SECONDS || !(pace > 0)) return;
  const seconds = Math.max(1, Math.round((total - done) / pace));
  place.textContent = `Ready in about ${seconds < 100 ? `${seconds} s` : `${Math.round(seconds / 60)} min`} · `;
}

document.addEventListener("renewed", guess);
guess();
