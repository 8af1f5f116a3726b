// One file's way into the source, as docs/api.md ("Uploads") has it: say what comes, send its parts where the answer says, finish.

const TRIES = 4;
const RETRY_MILLISECONDS = 1000;

/** A refusal in the server's own words; `code` is for programs. */
export class Refused extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

/** The API's JSON answer; Refused for any other. */
export async function call(address, method, token, body) {
  const headers = { Accept: "application/json" };
  if (token) headers["X-Form-Token"] = token;
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(address, { method, headers, body: body && JSON.stringify(body) });
  if (answer.status === 204) return null;
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(document.error?.message ?? `The server answered ${answer.status}.`, document.error?.code ?? "");
  return document;
}

/** Send a file; the image as the API's list has it. `tell(share)` hears how much has gone, 0 to 1; `signal` gives the upload up. */
export async function transfer(file, name, api, signal, tell) {
  const plan = await call(api.links.uploads, "POST", api.token, { name, size: file.size });
  const sent = new Array(plan.part_count).fill(0);
  const send = async (part) => {
    const bytes = file.slice(part.offset, part.offset + part.length);
    const etag = await sendPart(part, bytes, api.token, signal, (count) => {
      sent[part.number - 1] = count;
      tell(sent.reduce((sum, each) => sum + each, 0) / file.size);
    });
    return [part.number, etag];
  };
  try {
    const etags = new Map(await each(parts(plan), plan.at_once, send));
    const ordered = Array.from({ length: plan.part_count }, (_, index) => etags.get(index + 1));
    return await call(plan.links.complete, "POST", api.token, { etags: ordered });
  } catch (error) {
    await call(plan.links.abort, "DELETE", api.token).catch(() => null); // it goes by itself in an hour, too
    throw error;
  }
}

async function* parts(plan) {
  let known = plan.parts;
  for (let number = 1; number <= plan.part_count; ) {
    for (const part of known) yield part;
    number += known.length;
    if (number > plan.part_count) return;
    const address = new URL(plan.links.parts, location.href);
    address.searchParams.set("from", number);
    known = (await call(address, "GET")).parts;
  }
}

/** The work's results for all items, at most `limit` of them under way. */
async function each(items, limit, work) {
  const results = [];
  const runner = async () => {
    for (let next = await items.next(); !next.done; next = await items.next()) results.push(await work(next.value));
  };
  await Promise.all(Array.from({ length: limit }, runner));
  return results;
}

async function sendPart(part, bytes, token, signal, tell) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await put(part, bytes, token, signal, tell);
    } catch (error) {
      if (signal.aborted || error instanceof Refused || tried === TRIES) throw error;
      await new Promise((wake) => setTimeout(wake, RETRY_MILLISECONDS * 2 ** tried));
    }
  }
}

/** The ETag that one PUT is answered with. XMLHttpRequest, for fetch tells nothing of what has been sent. */
function put(part, bytes, token, signal, tell) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const address = new URL(part.url, location.href);
    request.open(part.method, address);
    for (const [name, value] of Object.entries(part.headers)) request.setRequestHeader(name, value);
    if (address.origin === location.origin) request.setRequestHeader("X-Form-Token", token);
    request.upload.onprogress = (event) => tell(event.loaded);
    request.onload = () => {
      if (request.status < 300) {
        tell(bytes.size);
        resolve(request.getResponseHeader("ETag") ?? "");
      } else reject(refusal(request));
    };
    request.onerror = () => reject(new Error("The connection was lost. Try again."));
    request.onabort = () => reject(new Error("Cancelled."));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    if (signal.aborted) reject(new Error("Cancelled."));
    else request.send(bytes);
  });
}

function refusal(request) {
  if (request.status === 412) return new Refused("There is an original of that name already. Rename yours, or delete that one first.", "exists");
  try {
    const { message, code } = JSON.parse(request.responseText).error;
    return request.status >= 500 ? new Error(message) : new Refused(message, code);
  } catch {
    const sentence = `The storage answered ${request.status}. Try again.`;
    return request.status >= 500 ? new Error(sentence) : new Refused(sentence, "storage");
  }
}
