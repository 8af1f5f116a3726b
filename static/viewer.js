// The viewer of one image: OpenSeadragon over the descriptor that the page names. Nothing else on the page needs a script.
"use strict";

const place = document.getElementById("viewer");
const controls = document.getElementById("controls");
const trouble = document.getElementById("trouble");
const isStill = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

const viewer = OpenSeadragon({
  element: place,
  tileSources: place.dataset.descriptor,
  drawer: "canvas",
  zoomInButton: "zoom-in",
  zoomOutButton: "zoom-out",
  homeButton: "home",
  fullPageButton: "full-screen",
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
});

// inside the viewer, so that full screen shows them too
controls.hidden = false;
viewer.addControl(controls, { anchor: OpenSeadragon.ControlAnchor.BOTTOM_RIGHT, autoFade: false });

for (const failure of ["tile-load-failed", "open-failed"]) {
  viewer.addHandler(failure, () => { trouble.hidden = false; });
}
