// Keeps a page live: appends lines to a log, or asks for the page again and puts its new content in place.
"use strict";
const live = document.querySelector("[data-stream]");
const sign = document.getElementById("live");

function line(event) {
  document.getElementById("nothing")?.remove();
  const below = innerHeight + scrollY >= document.documentElement.scrollHeight - 40;
  const item = document.createElement("li");
  item.value = Number(event.lastEventId);
  item.id = "L" + item.value;
  item.textContent = event.data;
  live.append(item);
  if (below) scrollTo(0, document.documentElement.scrollHeight);
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById(live.id);
  if (!fresh || fresh.innerHTML === live.innerHTML) return;
  const focused = live.contains(document.activeElement) ? document.activeElement.id : "";
  const across = [...live.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  live.replaceChildren(...fresh.childNodes);
  live.querySelectorAll(".scroll").forEach((box, i) => (box.scrollLeft = across[i] ?? 0));
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

if (live) {
  const source = new EventSource(live.dataset.stream);
  let soon;
  source.onopen = () => (sign.textContent = "live");
  source.onerror = () => (sign.textContent = source.readyState === 2 ? "reload for news" : "reconnecting");
  source.addEventListener("line", line);
  source.addEventListener("event", () => {
    clearTimeout(soon);
    soon = setTimeout(refresh, 150);
  });
}
