// A build's log: follows it while it grows, and searches it. Everything else on the page works without this.
const log = document.getElementById("log");
const follow = document.getElementById("follow");

// Lines that are kept on the page; older ones go, and the raw log has them.
const MOST_LINES = 20_000;

/* ---- following ---- */

const address = log.dataset.events;
let source;
// Where to go on: the last event's id is a place in the log.
let place;

function connect() {
  const url = new URL(address, location.href);
  if (place !== undefined) url.searchParams.set("from", place);
  source = new EventSource(url);
  source.addEventListener("lines", (event) => {
    place = event.lastEventId;
    append(event.data);
  });
  // The line that has not ended yet.
  source.addEventListener("open-line", (event) => replaceOpen(event.data));
  source.addEventListener("panel", (event) => update(event.data));
  source.addEventListener("end", () => {
    source.close();
    source = null;
    replaceOpen("");
    follow?.closest("label").remove();
    location.reload();
  });
}

function append(html) {
  const stays = isAtEnd();
  replaceOpen("");
  const chunk = document.createElement("div");
  chunk.className = "chunk";
  chunk.innerHTML = html; // made by the coordinator, which escapes what builds print
  log.querySelector(".wait-note")?.remove();
  log.append(chunk);
  trim();
  if (searched) search(false);
  if (stays) toEnd();
}

function replaceOpen(html) {
  document.getElementById("open-line")?.remove();
  if (!html) return;
  const stays = isAtEnd();
  const line = document.createElement("div");
  line.id = "open-line";
  line.innerHTML = html;
  log.append(line);
  if (stays) toEnd();
}

function update(html) {
  const parts = document.createElement("template");
  parts.innerHTML = html;
  for (const id of ["panel-head", "panel-notes", "panel-steps"]) {
    const old = document.getElementById(id);
    const fresh = parts.content.getElementById(id);
    if (!old || !fresh || old.innerHTML === fresh.innerHTML) continue;
    // Somebody may be about to press a button of it.
    if (old.contains(document.activeElement) && id === "panel-head") continue;
    const isOpen = old.querySelector("details")?.open;
    old.replaceWith(fresh);
    const details = fresh.querySelector("details");
    if (details && isOpen !== undefined) details.open = isOpen;
  }
}

function trim() {
  let lines = log.getElementsByClassName("l").length;
  while (lines > MOST_LINES) {
    const first = log.querySelector(".chunk");
    if (!first || first === log.lastElementChild) return;
    lines -= first.getElementsByClassName("l").length;
    first.remove();
    if (!log.querySelector(".trimmed")) {
      const note = document.createElement("p");
      note.className = "gap trimmed";
      note.textContent = "Earlier lines are in the raw log.";
      log.prepend(note);
    }
  }
}

function isAtEnd() {
  return Boolean(follow?.checked);
}

function toEnd() {
  log.lastElementChild?.scrollIntoView({ block: "end" });
}

if (address) {
  connect();
  if (!location.hash) toEnd();
  // Who scrolls up wants to read; who comes back to the end wants to follow.
  const leave = () => (follow.checked = false);
  addEventListener("wheel", (event) => event.deltaY < 0 && leave(), { passive: true });
  addEventListener("touchmove", leave, { passive: true });
  addEventListener("keydown", (event) => /^(PageUp|ArrowUp|Home)$/.test(event.key) && leave());
  addEventListener("scrollend", () => {
    if (log.getBoundingClientRect().bottom <= innerHeight + 40) follow.checked = true;
  });
  // Lines get their height only when they are about to be seen.
  new ResizeObserver(() => isAtEnd() && toEnd()).observe(log);
  follow.addEventListener("change", () => follow.checked && toEnd());
  // Browsers keep few connections to one server: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
    } else if (source) {
      connect();
    }
  });
}

/* ---- searching ---- */

const field = document.getElementById("search");
const found = document.getElementById("found");
const [previous, next] = [document.getElementById("previous"), document.getElementById("next")];
let searched = "";
let hits = [];
let now = -1;

for (const control of [field, previous, next]) control.disabled = false;

function search(moves) {
  for (const hit of hits) hit.classList.remove("hit", "now");
  hits = [];
  if (!searched) {
    found.textContent = "";
    now = -1;
    return;
  }
  const wanted = searched.toLowerCase();
  for (const line of log.getElementsByClassName("l")) {
    if (line.lastElementChild.textContent.toLowerCase().includes(wanted)) {
      line.classList.add("hit");
      hits.push(line);
    }
  }
  if (moves) {
    now = hits.length - 1;
    const top = hits.findIndex((line) => line.getBoundingClientRect().top > 0);
    if (top >= 0) now = top;
  }
  show(moves);
}

function show(moves) {
  if (now >= hits.length) now = hits.length - 1;
  for (const hit of log.querySelectorAll(".now")) hit.classList.remove("now");
  found.textContent = hits.length ? `${now + 1} of ${hits.length}` : "no match";
  const line = hits[now];
  line?.classList.add("now");
  if (moves && line) {
    if (follow) follow.checked = false;
    line.scrollIntoView({ block: "center" });
  }
}

function step(by) {
  if (!hits.length) return;
  now = (now + by + hits.length) % hits.length;
  show(true);
}

let pending;
field.addEventListener("input", () => {
  clearTimeout(pending);
  pending = setTimeout(() => {
    searched = field.value;
    search(true);
  }, 120);
});
field.addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    step(event.shiftKey ? -1 : 1);
  }
});
previous.addEventListener("click", () => step(-1));
next.addEventListener("click", () => step(1));
addEventListener("keydown", (event) => {
  const typing = /^(input|textarea|select)$/i.test(document.activeElement?.tagName ?? "");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    field.focus();
  }
});
