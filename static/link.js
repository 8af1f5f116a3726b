// The address follows the view, and the view the address: `#x,y,zoom`, the centre in pixels of the image, and screen pixels for each of them.

const FORM = /^#(-?\d{1,9}),(-?\d{1,9}),(\d{0,4}(?:\.\d{1,9})?)$/;
const NEAR = 0.01; // of the whole image's zoom and width: as good as the whole image

/** Keep the address's end and the viewer's view together. */
export function installLink(viewer) {
  const view = viewer.viewport;
  let wasHome = true;

  function isHome() {
    const home = view.getHomeBoundsNoRotate();
    const away = view.getBoundsNoRotate().getCenter().distanceTo(home.getCenter()) / home.width;
    return Math.abs(view.getZoom() / view.getHomeZoom() - 1) < NEAR && away < NEAR;
  }

  function follow(immediately) {
    const found = FORM.exec(location.hash);
    if (!found || !Number(found[3])) return;
    const [x, y, zoom] = found.slice(1).map(Number);
    view.zoomTo(view.imageToViewportZoom(zoom), null, immediately);
    view.panTo(view.imageToViewportCoordinates(new OpenSeadragon.Point(x, y)), immediately);
    view.applyConstraints(immediately);
  }

  function write() {
    const centre = view.viewportToImageCoordinates(view.getCenter());
    const zoom = Number(view.viewportToImageZoom(view.getZoom()).toPrecision(4));
    wasHome = isHome();
    const end = wasHome ? "" : `#${Math.round(centre.x)},${Math.round(centre.y)},${zoom}`;
    history.replaceState(null, "", location.pathname + location.search + end);
  }

  viewer.addOnceHandler("open", () => {
    follow(true);
    wasHome = isHome();
    viewer.addHandler("animation-finish", write);
    viewer.addHandler("resize", () => {
      if (wasHome) requestAnimationFrame(() => { view.goHome(true); write(); }); // OpenSeadragon keeps another share of the image in view
    });
  });
  window.addEventListener("hashchange", () => follow(false));
}
