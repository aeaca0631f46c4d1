// The live boards keep themselves up to date. Without a script the page has a link that loads it again.
"use strict";

const board = document.querySelector("[data-board]");
const lost = document.querySelector("[data-board-lost]");
const pause = document.querySelector("[data-board-pause]");
const RETRY_MS = 10_000;
const LOOK_MS = 30_000;

let tag = "";
let paused = false;
let stream = null;
let asking = false;
let askAgain = false;
let offset = 0;
// What a cell was made from, without its counters.
const sources = new WeakMap();

function source(cell) {
  const copy = cell.cloneNode(true);
  for (const counter of copy.querySelectorAll("[data-since], [data-until]")) counter.textContent = "";
  return copy.innerHTML;
}

function remember(row) {
  for (const cell of row.cells) sources.set(cell, source(cell));
}

// The focus stays where it was; when its row is gone it goes to the table, not to the top of the page.
function leave(element) {
  if (element.contains(document.activeElement)) board.querySelector(".table")?.focus({ preventScroll: true });
}

function patchRows(old, next) {
  const known = new Map([...old.rows].map((row) => [row.dataset.key, row]));
  let place = old.firstElementChild;
  for (const fresh of [...next.rows]) {
    const row = known.get(fresh.dataset.key);
    if (!row) {
      fresh.classList.add("fresh");
      remember(fresh);
      old.insertBefore(fresh, place);
      continue;
    }
    known.delete(fresh.dataset.key);
    for (const [index, cell] of [...fresh.cells].entries()) {
      const text = source(cell);
      if (sources.get(row.cells[index]) === text) continue;
      leave(row.cells[index]);
      sources.set(cell, text);
      row.cells[index].replaceWith(cell);
    }
    if (row === place) place = place.nextElementSibling;
    else old.insertBefore(row, place);
  }
  for (const row of known.values()) {
    leave(row);
    row.remove();
  }
}

function patch(html) {
  const next = document.createElement("template");
  next.innerHTML = html;
  const count = board.querySelector("[data-part=count]");
  const freshCount = next.content.querySelector("[data-part=count]");
  offset = Number(freshCount.dataset.now) - Date.now();
  // A screen reader says it again only when it is another text.
  if (count.textContent !== freshCount.textContent) count.textContent = freshCount.textContent;
  const table = board.querySelector("[data-part=table] tbody");
  const freshTable = next.content.querySelector("[data-part=table] tbody");
  if (table && freshTable) {
    patchRows(table, freshTable);
    board.querySelector("[data-part=more]")?.remove();
    const more = next.content.querySelector("[data-part=more]");
    if (more) board.append(more);
  } else if (table || freshTable) {
    leave(board);
    for (const part of board.querySelectorAll("[data-part]:not([data-part=count])")) part.remove();
    freshCount.remove();
    board.append(next.content);
    for (const row of board.querySelectorAll("tbody tr")) remember(row);
  }
  tick();
}

async function refresh() {
  if (paused || document.hidden) return;
  if (asking) {
    askAgain = true;
    return;
  }
  asking = true;
  try {
    const headers = { "x-refresh": "1", ...(tag && { "if-none-match": tag }) };
    const answer = await fetch(board.dataset.board, { headers, redirect: "manual" });
    if (answer.status === 200) {
      patch(await answer.text());
      tag = answer.headers.get("etag") ?? "";
    } else if (answer.type === "opaqueredirect" || answer.status === 403) {
      // The login is over, or the role allows it no more.
      window.location.reload();
      return;
    }
    lost.hidden = answer.status === 200 || answer.status === 304;
  } catch {
    lost.hidden = false;
  } finally {
    asking = false;
  }
  if (askAgain) {
    askAgain = false;
    refresh();
  }
}

function listen() {
  stop();
  if (paused || document.hidden) return;
  stream = new EventSource(board.dataset.changes);
  stream.addEventListener("open", refresh);
  stream.addEventListener("changed", refresh);
  stream.addEventListener("error", () => {
    // A browser that gave up is asked again later; the rows are asked for meanwhile.
    if (stream?.readyState === EventSource.CLOSED) window.setTimeout(listen, RETRY_MS);
    refresh();
  });
}

function stop() {
  stream?.close();
  stream = null;
}

function duration(millis) {
  const secs = Math.floor(Math.max(millis, 0) / 1000);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(secs / 3600), Math.floor(secs / 60) % 60];
  return hours === 0 ? `${minutes}:${two(secs % 60)}` : `${hours}:${two(minutes)}:${two(secs % 60)}`;
}

function tick() {
  const now = Date.now() + offset;
  for (const counter of board.querySelectorAll("[data-since]")) counter.textContent = duration(now - Number(counter.dataset.since));
  for (const counter of board.querySelectorAll("[data-until]")) counter.textContent = duration(Number(counter.dataset.until) - now);
}

if (board) {
  offset = Number(board.querySelector("[data-part=count]").dataset.now) - Date.now();
  for (const row of board.querySelectorAll("tbody tr")) remember(row);
  document.querySelector("[data-board-reload]").hidden = true;
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? pause.dataset.resume : pause.dataset.pause;
    listen();
    if (!paused) refresh();
  });
  document.addEventListener("visibilitychange", listen);
  window.setInterval(() => paused || tick(), 1000);
  window.setInterval(refresh, LOOK_MS);
  listen();
}
