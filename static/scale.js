// A scale bar, for images that say how large their pixels are.

const LONGEST = 160; // pixels of the screen
const UNITS = [[1000, "km"], [1, "m"], [0.01, "cm"], [0.001, "mm"], [1e-6, "µm"], [1e-9, "nm"]];

/** Show a bar of a round length that follows the zoom; nothing without a size. */
export function installScale(viewer, metresPerPixel) {
  if (!(metresPerPixel > 0)) return;
  const bar = document.getElementById("scale");
  const draw = () => {
    const metresPerScreenPixel = metresPerPixel / viewer.viewport.viewportToImageZoom(viewer.viewport.getZoom(true));
    const length = round(LONGEST * metresPerScreenPixel);
    bar.firstChild.textContent = words(length);
    bar.lastChild.style.width = `${length / metresPerScreenPixel}px`;
    bar.hidden = false;
  };
  viewer.addHandler("open", draw);
  viewer.addHandler("animation", draw);
  viewer.addHandler("resize", draw);
}

/** The largest of 1, 2, 5, 10, ... that is not above a length. */
function round(length) {
  const power = 10 ** Math.floor(Math.log10(length));
  return power * [5, 2, 1].find((digit) => digit * power <= length * (1 + 1e-9));
}

function words(metres) {
  const [size, unit] = UNITS.find(([each]) => metres >= each * (1 - 1e-9)) ?? UNITS.at(-1);
  return `${Number((metres / size).toPrecision(2)).toLocaleString("en")} ${unit}`;
}
