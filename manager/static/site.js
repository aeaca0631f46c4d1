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

// Text that was typed into a field with `data-keep` outlives the end of the login: the tab keeps it for the account
// that typed it, and the form offers it when it is opened again. It is forgotten when the form was saved, when it is
// discarded, with the logout, and when a page is shown to another account.
const tab = (() => {
  try {
    return window.sessionStorage;
  } catch {
    return null; // A browser that lends pages nothing keeps nothing.
  }
})();
if (tab) {
  const account = document.body.dataset.account;
  const fieldsOf = (form) => [...form.querySelectorAll("textarea[data-keep]")];
  const keyOf = (field) => `kept/${field.dataset.keep}/${field.name}`;
  const isOffered = (form) => form.querySelector("[data-kept]") !== null;
  const forget = (begin) => {
    for (const key of Object.keys(tab)) if (key.startsWith(begin)) tab.removeItem(key);
  };
  const put = (key, text) => {
    try {
      tab.setItem(key, text);
    } catch {
      tab.removeItem(key); // What is too long to be kept is not kept by half.
    }
  };
  const keep = (field) => {
    put("kept-by", account);
    put(keyOf(field), field.value);
  };
  const offer = (form, fields) => {
    const box = document.getElementById("kept").content.firstElementChild.cloneNode(true);
    const said = box.querySelector("[role=status]");
    const words = said.textContent;
    const answer = (button, act) => box.querySelector(`[data-kept=${button}]`).addEventListener("click", () => {
      fields.forEach(act);
      box.remove();
      fields[0].focus();
    });
    answer("restore", (field) => { field.value = tab.getItem(keyOf(field)); });
    answer("discard", (field) => tab.removeItem(keyOf(field)));
    const fold = form.closest("details");
    if (fold) fold.open = true;
    // A status that is there before its words is read out.
    said.textContent = "";
    form.prepend(box);
    window.requestAnimationFrame(() => { said.textContent = words; });
  };

  // The page after a form says whether it was saved.
  const sent = tab.getItem("kept-sent");
  tab.removeItem("kept-sent");
  if (sent && document.querySelector("[data-flash]")) forget(`kept/${sent}/`);
  // Pages without an account are those of the way back to it.
  if (account) {
    if (tab.getItem("kept-by") !== account) forget("kept");
    for (const form of document.forms) {
      const isLost = (text, field) => text !== null && text.trim() !== "" && text !== field.value;
      const fields = fieldsOf(form).filter((field) => isLost(tab.getItem(keyOf(field)), field));
      if (fields.length !== 0) offer(form, fields);
    }
    document.addEventListener("input", (event) => {
      const field = event.target;
      // Until somebody has decided about what is offered, nothing takes its place but what is sent.
      if (field.matches("textarea[data-keep]") && !isOffered(field.form)) keep(field);
    });
    document.addEventListener("submit", (event) => {
      const form = event.target;
      if (event.defaultPrevented) return;
      if (form.getAttribute("action")?.endsWith("/logout")) forget("kept");
      for (const field of fieldsOf(form)) {
        if (field.value !== field.defaultValue) keep(field);
        put("kept-sent", field.dataset.keep);
      }
    });
  }
}
