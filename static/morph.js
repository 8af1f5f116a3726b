// Makes one part of a page like a fresh copy of it, changing as little as possible: focus, places and what is open stay.

const key = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.dataset.live : undefined);
const rows = (element) => [...element.children].filter(key);
const OURS = ["open", "tabindex"]; // attributes that come from use

/** Make `old` like `fresh`. Rows (`data-live`) are told by their key and keep their place; `heard` hears of each that came or changed. */
export function morph(old, fresh, heard, goesOn = false) {
  if (old.isEqualNode(fresh)) return;
  copyAttributes(old, fresh);
  if (rows(old).length || rows(fresh).length) morphRows(old, fresh, heard, goesOn);
  else morphChildren(old, fresh, heard, goesOn);
}

function copyAttributes(old, fresh) {
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !OURS.includes(name)) old.removeAttribute(name);
}

/** A row that is gone goes; one beyond the last of a list that goes on (`goesOn`) belongs to its next page and stays. */
function morphRows(old, fresh, heard, goesOn) {
  const known = new Map(rows(old).map((row) => [key(row), row]));
  let before = null;
  for (const row of rows(fresh)) {
    const mine = known.get(key(row));
    heard(mine, row);
    if (mine) morph(mine, row, heard);
    else if (before) before.after(row);
    else old.prepend(row);
    before = mine ?? row;
    known.delete(key(row));
  }
  for (const row of known.values()) {
    const isBeyond = before && before.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING;
    if (!(goesOn && isBeyond)) row.remove();
  }
}

function morphChildren(old, fresh, heard, goesOn) {
  let mine = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    if (!mine) {
      old.append(child);
      continue;
    }
    const next = mine.nextSibling;
    if (mine.nodeName !== child.nodeName) mine.replaceWith(child);
    else if (child.nodeType === Node.ELEMENT_NODE) morph(mine, child, heard, goesOn);
    else if (mine.data !== child.data) mine.data = child.data;
    mine = next;
  }
  while (mine) {
    const next = mine.nextSibling;
    mine.remove();
    mine = next;
  }
}
