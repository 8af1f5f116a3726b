// The address follows the view, and the view the address: `#x,y,zoom`, the centre in pixels of the image, and screen pixels for each of them.

const FORM = /^#(-?\d{1,9}),(-?\d{1,9}),(\d{0,4}(?:\.\d{1,6})?)$/;

/** Keep the address's end and the viewer's view together. */
export function installLink(viewer) {
  const view = viewer.viewport;
  let isHome = true;

  function follow(immediately) {
    const found = FORM.exec(location.hash);
    if (!found || !Number(found[3])) return;
    const [x, y, zoom] = found.slice(1).map(Number);
    view.zoomTo(view.imageToViewportZoom(zoom), null, immediately);
    view.panTo(view.imageToViewportCoordinates(new OpenSeadragon.Point(x, y)), immediately);
    view.applyConstraints(immediately);
  }

  function write() {
    const nearHome = Math.abs(view.getZoom() / view.getHomeZoom() - 1) < 0.01;
    const centre = view.viewportToImageCoordinates(view.getCenter());
    const zoom = Number(view.viewportToImageZoom(view.getZoom()).toPrecision(4));
    const end = nearHome && isHome ? "" : `#${Math.round(centre.x)},${Math.round(centre.y)},${zoom}`;
    isHome = isHome && nearHome;
    history.replaceState(null, "", location.pathname + location.search + end);
  }

  viewer.addOnceHandler("open", () => {
    follow(true);
    viewer.addHandler("animation-finish", write);
  });
  window.addEventListener("hashchange", () => follow(false));
  document.getElementById("home").addEventListener("click", () => { isHome = true; });
}
