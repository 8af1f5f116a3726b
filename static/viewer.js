// The viewer of one image: OpenSeadragon over the descriptor that the page names, our own buttons and keys, and what to do when tiles fail.

import { installCrop } from "./crop.js";
import { installScale } from "./scale.js";
import { installLink } from "./link.js";

const NEARLY = 1.01;
const STEP = 0.15; // of the view, for one press of an arrow key

const place = document.getElementById("viewer");
const stage = document.getElementById("stage");
const trouble = document.getElementById("trouble");
const isStill = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

// OpenSeadragon takes PNG tiles alone for transparent; where it does not know, tiles are drawn over each other
OpenSeadragon.DziTileSource.prototype.hasTransparency = (_, url) => /\.(png|webp)(\?|$)/.test(url);

const viewer = OpenSeadragon({
  element: place,
  tileSources: place.dataset.descriptor,
  drawer: "canvas",
  showNavigationControl: false,
  showNavigator: true,
  navigatorPosition: "BOTTOM_LEFT",
  navigatorSizeRatio: 0.16,
  navigatorBackground: "#1A1A1A",
  navigatorBorderColor: "#33312E",
  navigatorDisplayRegionColor: "#4FB8A8",
  animationTime: isStill ? 0 : 0.6,
  blendTime: isStill ? 0 : 0.1,
  maxZoomPixelRatio: 2,
  visibilityRatio: 0.5,
  timeout: 60000,
});
const view = viewer.viewport;

viewer.canvas.setAttribute("role", "application");
viewer.canvas.setAttribute("aria-label", `${place.dataset.title}: arrow keys move, plus and minus zoom`);

// OpenSeadragon gives its canvas the focus by script, which browsers show as they show the keyboard's
viewer.canvas.addEventListener("pointerdown", () => viewer.canvas.classList.add("pointed"), { capture: true });
document.addEventListener("keydown", () => viewer.canvas.classList.remove("pointed"), { capture: true });

viewer.addOnceHandler("tile-drawn", () => place.querySelector(".still").remove()); // till then the thumbnail stands there

const isWhole = () => !viewer.isOpen() || view.getZoom() <= view.getHomeZoom() * NEARLY;
const tellWhole = () => place.classList.toggle("whole", isWhole());
for (const name of ["open", "zoom", "resize"]) viewer.addHandler(name, tellWhole);

const zoom = (factor) => { view.zoomBy(factor); view.applyConstraints(); };
const acts = {
  "zoom-in": () => zoom(2),
  "zoom-out": () => zoom(0.5),
  home: () => view.goHome(),
  rotate: () => view.setRotation(view.getRotation() + 90),
  "full-screen": () => (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen()),
};
for (const [id, act] of Object.entries(acts)) document.getElementById(id).addEventListener("click", act);
document.getElementById("full-screen").hidden = !document.fullscreenEnabled;

// keys: arrows move a view that is zoomed in, else they turn to the next image

const keys = { "+": "zoom-in", "=": "zoom-in", "-": "zoom-out", 0: "home", r: "rotate", f: "full-screen" };
const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const turns = { ArrowLeft: "previous", ArrowRight: "next" };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]") || event.target.closest("input, summary, .drawer-inside, .menu")) return;
  if (arrows[event.key]) arrow(event);
  else if (keys[event.key.toLowerCase()]) acts[keys[event.key.toLowerCase()]]();
  else return;
  event.preventDefault();
  event.stopPropagation(); // OpenSeadragon has its own idea of some of these
}, { capture: true });

function arrow(event) {
  if (isWhole()) return document.getElementById(turns[event.key])?.click();
  const [x, y] = arrows[event.key];
  const { width, height } = view.getBoundsNoRotate();
  view.panBy(new OpenSeadragon.Point(x * width * STEP, y * height * STEP).rotate(-view.getRotation()));
  view.applyConstraints();
}

// tiles that fail: the reason, and another try

const failed = new Set();

viewer.addHandler("tile-load-failed", (event) => {
  failed.add(event.tile);
  tell("Some parts did not load", event.tile.getUrl());
});
viewer.addHandler("open-failed", () => tell("The image did not load", place.dataset.descriptor));
document.getElementById("again").addEventListener("click", () => {
  trouble.hidden = true;
  for (const tile of failed) tile.exists = true; // OpenSeadragon has given them up
  failed.clear();
  if (viewer.isOpen()) viewer.world.resetItems();
  else viewer.open(place.dataset.descriptor);
});

let isTelling = false;

async function tell(what, address) {
  if (isTelling || !trouble.hidden) return;
  isTelling = true;
  document.getElementById("trouble-words").textContent = `${what} (${await reason(address)}).`;
  const details = document.getElementById("trouble-details");
  details.href = address; // what the server itself says of it
  details.textContent = "Details";
  trouble.hidden = false;
  isTelling = false;
}

/** Why an address does not load: an image element does not tell, so it is asked for once more. */
async function reason(address) {
  try {
    const answer = await fetch(address, { cache: "no-store" });
    if (answer.ok) return "the connection was interrupted";
    if (answer.status === 401) return "you are signed out; load the page again to sign in";
    const sentence = (await answer.text()).trim().split("\n")[0].replace(/\.$/, "");
    return sentence && sentence.length < 200 && !sentence.startsWith("<") ? `${answer.status}: ${sentence}` : `the server answered ${answer.status}`;
  } catch {
    return navigator.onLine ? "the server can't be reached" : "there is no connection";
  }
}

document.addEventListener("renewed", (event) => {
  if (event.detail && event.detail !== stage.dataset.generation) document.getElementById("newer").hidden = false;
});

installLink(viewer);
installScale(viewer, Number(place.dataset.metresPerPixel));
installCrop(viewer, place.dataset.file);
