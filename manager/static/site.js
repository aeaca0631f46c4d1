// What only makes the pages quicker to use; everything works without it.
"use strict";

document.documentElement.classList.add("script");

// The menu folds away on a narrow screen.
const button = document.querySelector("[data-menu]");
if (button) {
  const menu = document.getElementById("menu");
  const narrow = window.matchMedia("(max-width: 52rem)");
  const show = (open) => {
    menu.hidden = narrow.matches && !open;
    button.setAttribute("aria-expanded", String(!menu.hidden));
  };
  button.addEventListener("click", () => show(menu.hidden));
  narrow.addEventListener("change", () => show(false));
  show(false);
}

// A filter is in force as soon as it is chosen.
for (const select of document.querySelectorAll("form.filters select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// All rows of a page of a list are checked, or none, without asking the server.
for (const link of document.querySelectorAll("[data-check]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    for (const box of document.querySelectorAll("td.tick input")) box.checked = link.dataset.check === "all";
  });
}

// What cannot be taken back is asked once more, and a form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent || (form.dataset.ask && !window.confirm(form.dataset.ask))) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
