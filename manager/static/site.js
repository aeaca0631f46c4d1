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
// discarded, with a logout in any tab, and when a page is shown to another account.
const tab = (() => {
  try {
    return window.sessionStorage;
  } catch {
    return null; // A browser that lends pages nothing keeps nothing.
  }
})();
if (tab) {
  const account = document.body.dataset.account;
  const tabs = new BroadcastChannel("uketsuke");
  const offers = new Set();
  let isOver = false;
  const fieldsOf = (form) => [...form.querySelectorAll("textarea[data-keep]")];
  const keyOf = (field) => `kept/${field.dataset.keep}/${field.name}`;
  const versionOf = (field) => field.form.querySelector("input[name=version]")?.value ?? "";
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
  // The version that the form had stands in the first line, the text below it.
  const keep = (field) => {
    put("kept-by", account);
    put(keyOf(field), `${versionOf(field)}\n${field.value}`);
  };
  const find = (field) => {
    const found = tab.getItem(keyOf(field));
    if (found === null) return null;
    const end = found.indexOf("\n");
    return { version: found.slice(0, end), text: found.slice(end + 1) };
  };
  const close = (offer) => {
    offer.box.remove();
    offers.delete(offer);
  };
  const discard = (offer) => {
    for (const field of offer.fields) tab.removeItem(keyOf(field));
    close(offer);
  };
  const open = (form, fields) => {
    const box = document.getElementById("kept").content.firstElementChild.cloneNode(true);
    const offer = { box, fields };
    const restore = () => {
      for (const field of fields) field.value = find(field)?.text ?? field.value;
      close(offer);
    };
    for (const [button, act] of [["restore", restore], ["discard", () => discard(offer)]]) {
      box.querySelector(`[data-kept=${button}]`).addEventListener("click", () => {
        act();
        fields[0].focus();
      });
    }
    const isOld = fields.some((field) => find(field).version !== versionOf(field));
    box.querySelector("[data-kept-old]").hidden = !isOld;
    const fold = form.closest("details");
    if (fold) fold.open = true;
    // A status that is there before its words is read out.
    const said = box.querySelector("[role=status]");
    const words = [...said.children];
    said.replaceChildren();
    form.prepend(box);
    offers.add(offer);
    window.requestAnimationFrame(() => said.append(...words));
  };
  const end = () => {
    isOver = true;
    offers.forEach(close);
    forget("kept");
  };

  // A logout ends the login of every tab, so nothing that is typed after it is kept, either.
  tabs.addEventListener("message", end);
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || !/^(\/system)?\/logout$/.test(event.target.getAttribute("action"))) return;
    end();
    tabs.postMessage("logout");
  });
  // Pages without an account are those of the way back to it.
  if (account) {
    // The page after a form says whether it was saved.
    const sent = tab.getItem("kept-sent");
    if (sent && document.querySelector("[data-flash]")) forget(`kept/${sent}/`);
    if (tab.getItem("kept-by") !== account) forget("kept");
    for (const form of document.forms) {
      const isLost = (text, field) => text.trim() !== "" && text !== field.value;
      const fields = fieldsOf(form).filter((field) => isLost(find(field)?.text ?? "", field));
      if (fields.length !== 0) open(form, fields);
    }
    document.addEventListener("input", (event) => {
      const field = event.target;
      if (isOver || !field.matches("textarea[data-keep]")) return;
      // Who types anew instead of restoring does not want the older text.
      for (const offer of offers) if (offer.fields.includes(field)) discard(offer);
      keep(field);
    });
    document.addEventListener("submit", (event) => {
      if (event.defaultPrevented || isOver) return;
      for (const field of fieldsOf(event.target)) {
        if (field.value !== field.defaultValue) keep(field);
        put("kept-sent", field.dataset.keep);
      }
    });
  }
  tab.removeItem("kept-sent");
}
