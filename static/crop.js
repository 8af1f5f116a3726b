// The part of the image that is in view, as a picture to keep: put together from tiles, at full resolution if that fits into MOST pixels.

const MOST = 4096;
const AT_ONCE = 6;

/** Let the button `crop` save what is in view. */
export function installCrop(viewer, fileName) {
  const button = document.getElementById("crop");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await save(viewer, fileName);
      button.closest("details").open = false;
    } catch (error) {
      console.warn(error);
      viewer.raiseEvent("tile-load-failed", { tile: { getUrl: () => error.address ?? location.href } }); // viewer.js tells why
    }
    button.disabled = false;
  });
}

async function save(viewer, fileName) {
  const item = viewer.world.getItemAt(0);
  const box = visible(viewer, item);
  const { source } = item;
  let level = source.maxLevel;
  while (Math.max(box.width, box.height) * source.getLevelScale(level) > MOST) level -= 1;
  const scale = source.getLevelScale(level);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(box.width * scale));
  canvas.height = Math.max(1, Math.round(box.height * scale));
  const paper = canvas.getContext("2d");
  const tiles = tilesIn(source, level, { x: box.x * scale, y: box.y * scale, width: canvas.width, height: canvas.height });
  const draw = async ({ column, row }) => {
    const picture = await load(source.getTileUrl(level, column, row));
    const left = column * source.getTileWidth(level) - (column ? source.tileOverlap : 0);
    const top = row * source.getTileHeight(level) - (row ? source.tileOverlap : 0);
    const corner = [Math.round(left - box.x * scale), Math.round(top - box.y * scale)];
    paper.clearRect(...corner, picture.width, picture.height); // or what is transparent in overlaps would be laid on twice
    paper.drawImage(picture, ...corner);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, async () => { for (const tile of tiles) await draw(tile); }));
  const isPng = source.fileFormat !== "jpg"; // what may be transparent stays so
  const data = await new Promise((done) => canvas.toBlob(done, isPng ? "image/png" : "image/jpeg", 0.92));
  keep(data, `${fileName.replace(/\.[^.]*$/, "")} ${[box.x, box.y, box.width, box.height].map(Math.round).join(",")}.${isPng ? "png" : "jpg"}`);
}

/** The pixels of the image that are in view. */
function visible(viewer, item) {
  const { x, y, width, height } = item.viewportToImageRectangle(viewer.viewport.getBounds(true).getBoundingBox());
  const size = item.getContentSize();
  const [left, top] = [Math.max(0, x), Math.max(0, y)];
  return { x: left, y: top, width: Math.min(size.x, x + width) - left, height: Math.min(size.y, y + height) - top };
}

function* tilesIn(source, level, box) {
  const [width, height] = [source.getTileWidth(level), source.getTileHeight(level)];
  const count = source.getNumTiles(level);
  for (let row = Math.floor(box.y / height); row <= Math.min(count.y - 1, Math.floor((box.y + box.height) / height)); row += 1) {
    for (let column = Math.floor(box.x / width); column <= Math.min(count.x - 1, Math.floor((box.x + box.width) / width)); column += 1) {
      yield { column, row };
    }
  }
}

async function load(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw Object.assign(new Error(String(answer.status)), { address });
  return createImageBitmap(await answer.blob());
}

function keep(data, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(data);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
