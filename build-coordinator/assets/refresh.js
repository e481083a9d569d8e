// Keeps a page of lists up to date while somebody looks at it: fetches it again and puts the new content in place of the old.
const main = document.querySelector("main[data-refresh]");
const PERIOD = 3000;
let shown = main?.innerHTML;

async function refresh() {
  // Not while somebody types into it, selects text or has a form open.
  const busy = document.hidden || main.contains(document.activeElement) || !getSelection().isCollapsed;
  if (!busy) {
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(10_000) });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.querySelector("main");
        if (fresh && fresh.innerHTML !== shown) {
          shown = fresh.innerHTML;
          const boxes = [...main.querySelectorAll(".grid-box")].map((box) => [box.scrollLeft, box.scrollTop]);
          main.replaceChildren(...fresh.childNodes);
          main.querySelectorAll(".grid-box").forEach((box, n) => boxes[n] && box.scrollTo(...boxes[n]));
        }
      }
    } catch {
      // The coordinator may be restarting: what is shown stays, and the next round asks again.
    }
  }
  setTimeout(refresh, PERIOD);
}

if (main) setTimeout(refresh, PERIOD);
