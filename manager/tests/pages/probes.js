// What the tests ask a page. Evaluated by the browser's own tools, so the page's policy does not stand in the way.
(() => {
  const FOCUSABLE = "a[href], button:not([disabled]), input:not([type=hidden], [disabled]), select, textarea, summary, [tabindex='0']";
  const JAPANESE = /[\u3041-\u30ff\u4e00-\u9fff]/;
  // What our programs and templates would leave where a sentence is missing.
  const MARKERS = /\{\{|\}\}|\{%|\[object |undefined|\bNaN\b|\bnull\b|\b(Some|Ok|Err)\(|MISSING|\?\?\?|\{[a-z_0-9]*\}/;

  const name = (element) => {
    if (!element || element === document.body) return "body";
    const text = (element.getAttribute("aria-label") || element.innerText || element.value || "").trim().slice(0, 40);
    const id = element.id ? `#${element.id}` : element.name ? `[name=${element.name}]` : "";
    return `${element.tagName.toLowerCase()}${id} ${JSON.stringify(text)}`;
  };
  const visible = (element) =>
    element.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true }) &&
    element.getClientRects().length > 0;
  const controls = () => [...document.querySelectorAll(FOCUSABLE)].filter((element) => {
    if (!visible(element)) return false;
    // Of radio buttons with one name the tabulator reaches one.
    return element.type !== "radio" || element.checked;
  });

  window.__probe = {
    overflow() {
      const root = document.documentElement;
      const over = root.scrollWidth - root.clientWidth;
      if (over <= 0) return null;
      const inScroller = (element) => {
        for (let up = element.parentElement; up; up = up.parentElement) {
          if (getComputedStyle(up).overflowX !== "visible") return true;
        }
        return false;
      };
      const wide = [...document.querySelectorAll("body *")].filter(
        (element) => visible(element) && root.clientWidth + 1 < element.getBoundingClientRect().right && !inScroller(element));
      return `${over} px too wide at ${root.clientWidth}: ${wide.slice(0, 3).map(name).join(", ")}`;
    },

    // Text that a box cuts off and nobody can scroll to.
    cut() {
      return [...document.querySelectorAll("body *")].filter((element) => {
        const style = getComputedStyle(element);
        if (!visible(element) || element.matches("input, select, textarea, .hidden, .hidden *, .skip, svg *")) return false;
        if (style.clipPath !== "none" || !/hidden|clip/.test(style.overflowX + style.overflowY)) return false;
        return element.clientWidth + 1 < element.scrollWidth || element.clientHeight + 1 < element.scrollHeight;
      }).map(name);
    },

    // Controls whose own words do not fit into them.
    squeezed() {
      return [...document.querySelectorAll("button, .button, .state, summary")].filter(
        (element) => visible(element) && element.clientWidth + 1 < element.scrollWidth).map(name);
    },

    markers() {
      // What is quoted for programs has braces of its own.
      const quoted = [...document.querySelectorAll("pre")].map((element) => element.innerText);
      const texts = [document.title, quoted.reduce((text, words) => text.replace(words, ""), document.body.innerText)];
      for (const element of document.querySelectorAll("[placeholder], [aria-label], [title], [alt], [data-ask]")) {
        for (const key of ["placeholder", "aria-label", "title", "alt", "data-ask"]) texts.push(element.getAttribute(key) || "");
      }
      return texts.flatMap((text) => {
        const found = MARKERS.exec(text);
        return found ? [text.slice(Math.max(0, found.index - 30), found.index + 30)] : [];
      });
    },

    // Words of ours in Japanese on an English page. What people wrote stays in their language.
    untranslated() {
      const ours = "label, button, thead th, legend, summary, dt, .explain, nav a, caption, .filters *, .pager *, .empty p";
      return [...document.querySelectorAll(ours)].filter((element) => {
        const own = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join("");
        return JAPANESE.test(own) && !element.closest("[lang=ja]") && !element.closest("option, [data-own]");
      }).map(name);
    },

    controls: () => controls().length,
    unreached(reached) {
      const seen = new Set(reached);
      return controls().filter((element) => !seen.has(element.__number) && !element.matches(".skip")).map(name);
    },

    // Where the focus is, whether one sees it, and whether something covers it.
    focus() {
      const element = document.activeElement;
      if (!element || element === document.body || element === document.documentElement) return null;
      window.__numbers = window.__numbers || 0;
      if (element.__number === undefined) element.__number = window.__numbers++;
      const style = getComputedStyle(element);
      const ring = style.outlineStyle !== "none" && 2 <= parseFloat(style.outlineWidth);
      const box = element.getBoundingClientRect();
      const inside = box.top < innerHeight && 0 < box.bottom && box.left < innerWidth && 0 < box.right;
      const x = Math.min(Math.max((box.left + box.right) / 2, 1), innerWidth - 2);
      const y = Math.min(Math.max((box.top + box.bottom) / 2, 1), innerHeight - 2);
      const above = document.elementFromPoint(x, y);
      const covered = above && !element.contains(above) && !above.contains(element) && !element.matches(".table, .drawing");
      return { number: element.__number, name: name(element), ring, inside, covered: covered ? name(above) : null };
    },

    // Controls that one cannot tell from the ground when the system chooses the colours.
    faint() {
      const clear = (colour) => /rgba\(.*, 0\)|transparent/.test(colour);
      return [...document.querySelectorAll("button, .button, input:not([type=hidden], [type=checkbox], [type=radio]), select, textarea")]
        .filter((element) => {
          const style = getComputedStyle(element);
          const edge = style.borderTopStyle !== "none" && 0 < parseFloat(style.borderTopWidth) && !clear(style.borderTopColor);
          return visible(element) && (!edge || style.color === style.backgroundColor);
        }).map(name);
    },

    // What a visitor without scripts must have as well.
    substance() {
      const text = (selector) => [...document.querySelectorAll(selector)].map((element) => element.textContent.trim());
      return {
        heading: text("h1").join(), forms: document.forms.length, links: document.links.length,
        rows: document.querySelectorAll("tbody tr").length,
        shown: [...document.querySelectorAll("main *")].some((element) => visible(element)),
      };
    },

    fontSize(percent) { document.documentElement.style.fontSize = percent ? `${percent}%` : ""; },
    spacing(on) {
      // Source: WCAG 1.4.12.
      const sheet = new CSSStyleSheet();
      sheet.replaceSync("* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important } p { margin-block-end: 2em !important }");
      document.adoptedStyleSheets = on ? [sheet] : [];
    },
  };
})();
