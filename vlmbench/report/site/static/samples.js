// The browser of documents. Data comes in scripts that call vlmbenchData, because a page that was
// opened from disk may load scripts and nothing else. All text is set as text, never as HTML.
"use strict";

const ROW = 64; // height of a line of the list, as in site.css
const TAIL = 20; // characters of an id in it
// As in _samples.py.
const [ENCODER, WRONG, RIGHT, BLIND, FOLLOWED, ABSTAINED, FAILED] = [1, 2, 4, 8, 16, 32, 64];
const ENCODER_WRONG = 256;
const KEPT_PAGES = 40;
const $ = (id) => document.getElementById(id);
const waiting = new Map();
const pages = new Map();
let index = null;
let found = [];
let chosen = -1;
let overlay = "";
let later = 0;

window.vlmbenchData = (name, value) => waiting.get(name)?.(value);

function load(name) {
  if (pages.has(name)) return pages.get(name);
  const promise = new Promise((resolve, reject) => {
    const script = document.createElement("script");
    waiting.set(name, resolve);
    script.src = `data/${name.replace("/", name.endsWith("/index") ? "/" : "/page-")}.js`;
    script.onload = () => script.remove();
    script.onerror = () => reject(new Error(`${script.src} is missing`));
    document.head.append(script);
  });
  pages.set(name, promise);
  for (const old of pages.keys()) {
    if (pages.size <= KEPT_PAGES) break;
    pages.delete(old);
  }
  return promise;
}

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const rate = (value) => value === null ? "–" : value.toFixed(3).replace(/^(-?)0\./, "$1.");

// -- which documents ------------------------------------------------------------------------

function flagsOf(position) {
  const model = $("model").value;
  if (model) return [index.flags[model][position]];
  return Object.values(index.flags).map((flags) => flags[position]);
}

function choose(keep) {
  const mask = Number($("filter").selectedOptions[0].dataset.mask);
  const part = $("id").value.trim().toLowerCase();
  const before = keep ?? found[chosen];
  found = [];
  const sets = $("model").value ? [index.flags[$("model").value]] : Object.values(index.flags);
  for (let at = 0; at < index.ids.length; at++) {
    const holds = mask === 0 || sets.some((flags) => (flags[at] & mask) === mask);
    if (holds && (!part || index.ids[at].toLowerCase().includes(part))) found.push(at);
  }
  const left = index.total > index.ids.length ? ` (of ${index.total} that were run)` : "";
  $("count").textContent = `${found.length} of ${index.ids.length} documents${left}`;
  $("rows").style.height = `${found.length * ROW}px`;
  $("rows").replaceChildren();
  $("list").scrollTop = 0;
  select(Math.max(0, found.indexOf(before)));
}

function marks(flags) {
  const said = [];
  const has = (bit) => flags.some((one) => one & bit);
  const both = (name, right, wrong) => {
    const signs = (has(right) ? "✓" : "") + (has(wrong) ? "✗" : "");
    if (signs) said.push(`${name} ${signs}`);
  };
  both("encoder", ENCODER, ENCODER_WRONG);
  both("model", RIGHT, WRONG);
  if (has(BLIND)) said.push("blind ✓");
  if (has(FOLLOWED)) said.push("hint followed");
  if (has(ABSTAINED)) said.push("abstained");
  if (has(FAILED)) said.push("failed");
  return said.join(" · ");
}

// Ids of one task mostly begin alike, and there is no room for all of them.
function tail(id) {
  return id.length > TAIL + 1 ? `…${id.slice(-TAIL)}` : id;
}

function line(place) {
  const at = found[place];
  const thumb = index.thumbs[at];
  const made = el("div", {
    role: "option", id: `row-${place}`, class: "row", "aria-selected": String(place === chosen),
    "aria-setsize": String(found.length), "aria-posinset": String(place + 1),
  },
  thumb ? el("img", { src: `images/${thumb}`, alt: "", loading: "lazy" }) : el("span", { class: "nothing" }),
  el("span", { class: "says" }, el("b", { title: index.ids[at] }, tail(index.ids[at])), el("small", {}, marks(flagsOf(at)))));
  made.style.top = `${place * ROW}px`;
  made.addEventListener("click", () => select(place));
  return made;
}

function draw() {
  const list = $("list");
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
  const last = Math.min(found.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
  const lines = [];
  for (let place = first; place < last; place++) lines.push(line(place));
  $("rows").replaceChildren(...lines);
}

function select(place) {
  chosen = found.length ? Math.min(Math.max(place, 0), found.length - 1) : -1;
  const list = $("list");
  const top = chosen * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  list.setAttribute("aria-activedescendant", `row-${chosen}`);
  draw();
  clearTimeout(later); // the list answers at once, and a document that is passed by is not drawn
  later = setTimeout(show, 40);
}

// -- one document -----------------------------------------------------------------------------

async function show() {
  const position = found[chosen];
  const shown = $("shown");
  if (position === undefined) {
    shown.replaceChildren(el("p", {}, "No document is like that. Choose another filter or model."));
    return;
  }
  const name = `${$("task").value}/${Math.floor(position / index.page)}`;
  let page;
  try {
    page = await load(name);
  } catch (error) {
    shown.replaceChildren(el("p", {}, `The document cannot be shown: ${error.message}.`));
    return;
  }
  if (position !== found[chosen]) return; // another one was chosen meanwhile
  const held = page.docs[position % index.page];
  const text = (number) => page.texts[number];
  remember(index.ids[position]);
  shown.replaceChildren(
    el("h2", {}, index.ids[position]),
    el("p", { class: "marks" }, marks(flagsOf(position))),
    ...pictures(held, text),
    answers(held, text),
    ...exchanges(held, text),
  );
  shown.scrollTop = 0;
}

function pictures(held, text) {
  if (index.why) return [el("p", { class: "warn" }, `Images are not shown: ${index.why}`)];
  const model = $("model").value;
  const made = [];
  const views = el("div", { id: "views" });
  const maps = held.cells.filter((cell) => cell.map && (!model || index.models[cell.m] === model));
  const names = maps.map((cell) => `${index.models[cell.m]}, ${text(cell.c)}`);
  if (!names.includes(overlay)) overlay = "";
  if (maps.length) {
    const options = ["", ...names].map((name) =>
      el("option", { value: name, selected: name === overlay }, name || "not shown"));
    const picker = el("select", { id: "attention" }, ...options);
    picker.addEventListener("change", () => { overlay = picker.value; show(); });
    made.push(el("label", {}, "Attention of the last position ", picker));
  }
  const map = maps[names.indexOf(overlay)]?.map;
  index.views.forEach(([side, models, says, whole], number) => {
    if (model && !models.includes(model)) return;
    const heading = side === "model" ? "As the model saw them" : "As the encoder saw them";
    const images = (held.images[number] || []).map((image, place) =>
      picture(image, place, side, whole ? map : null));
    views.append(el("section", {},
      el("h3", {}, `${heading} `, el("small", {}, models.join(", "))),
      el("div", { class: "images" }, ...images),
      el("p", { class: "how" }, says)));
  });
  return [...made, views];
}

function picture(image, place, side, map) {
  const over = svg("svg", { viewBox: `0 0 ${image.w} ${image.h}`, "aria-hidden": "true" });
  if (map && place < map[0]) {
    const [, rows, columns, levels] = map;
    for (let at = 0; at < rows * columns; at++) {
      over.append(svg("rect", {
        class: "heat", x: (at % columns) * image.w / columns, width: image.w / columns,
        y: Math.floor(at / columns) * image.h / rows, height: image.h / rows,
        "fill-opacity": 0.75 * levels[place * rows * columns + at] / 99,
      }));
    }
  }
  const labels = [];
  for (const [label, ...xy] of image.r || []) {
    if (!xy.length) labels.push(label);
    else if (side === "encoder") over.append(...region(label, xy, image));
  }
  const caption = [labels.join(", "), `${image.w} × ${image.h}`].filter(Boolean).join(" · ");
  const small = Math.max(image.w, image.h) <= 160 ? "small" : "";
  return el("figure", { class: "picture" },
    el("div", { class: `over ${small}` },
      el("img", { src: `images/${image.f}`, width: String(image.w), height: String(image.h),
        alt: `Image ${place + 1}`, loading: "lazy" }), over),
    el("figcaption", {}, caption));
}

function region(label, xy, image) {
  const unit = Math.max(image.w, image.h) / 40;
  const [x, y] = [xy[0] * image.w, xy[1] * image.h];
  const size = { "font-size": 3 * unit, "stroke-width": unit / 2 };
  const shape = xy.length === 2
    ? svg("circle", { cx: x, cy: y, r: 1.5 * unit, "stroke-width": unit / 2 })
    : svg("rect", { x, y, width: xy[2] * image.w - x, height: xy[3] * image.h - y, "stroke-width": unit / 2 });
  const name = svg("text", { x: x + 2 * unit, y: y > 4 * unit ? y - unit : y + 4 * unit, ...size });
  name.textContent = label;
  return [shape, name];
}

function ordered(held) {
  const model = $("model").value;
  const first = (cell) => index.models[cell.m] === model ? 0 : 1;
  return [...held.cells].sort((a, b) => first(a) - first(b) || a.m - b.m);
}

function result(cell, text) {
  if (cell.error !== undefined) return `failed: ${text(cell.error)}`;
  if (cell.unread !== undefined) return `abstained: ${text(cell.unread)}`;
  const said = cell.credit === 1 ? "✓ right" : cell.credit === 0 ? "✗ wrong" : `credit ${rate(cell.credit)}`;
  return cell.finish !== undefined && text(cell.finish) === "length" ? `${said}; cut off` : said;
}

function answers(held, text) {
  const heads = held.choices.map((choice, place) => el("th", { scope: "col", class: place === held.gold ? "gold" : "" },
    choice, held.words[place] ? el("small", {}, held.words[place]) : null,
    place === held.gold ? el("small", {}, "right") : null));
  const lines = ordered(held).map((cell) => {
    const values = held.choices.map((_, place) => {
      const value = cell.v ? cell.v[place] ?? null : null;
      const given = cell.a ? cell.a.includes(place) : false;
      const box = el("td", { class: `value${given ? " given" : ""}` }, `${given ? "● " : ""}${rate(value)}`,
        cell.hint === place ? el("small", {}, "hint") : null);
      if (value !== null && index.units[cell.u] === "probability") box.style.setProperty("--share", value);
      return box;
    });
    return el("tr", {}, el("td", {}, index.models[cell.m]), el("td", {}, text(cell.r)),
      el("td", {}, text(cell.c)), ...values, el("td", {}, result(cell, text)),
      el("td", {}, index.units[cell.u]));
  });
  const table = el("table", {},
    el("thead", {}, el("tr", {}, ...["Model", "Readout", "Condition"].map((name) => el("th", { scope: "col" }, name)),
      ...heads, el("th", { scope: "col" }, "Result"), el("th", { scope: "col" }, "Numbers are"))),
    el("tbody", {}, ...lines));
  return el("section", {}, el("h3", {}, "Answers ", el("small", {}, "● what was answered")),
    el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Answers" }, table));
}

function exchanges(held, text) {
  const made = [];
  const seen = new Set();
  for (const cell of ordered(held)) {
    const title = `${index.models[cell.m]}, ${text(cell.r)}, ${text(cell.c)}`;
    if (cell.prompt !== undefined && !seen.has(cell.prompt)) {
      seen.add(cell.prompt);
      made.push(el("details", { open: seen.size === 1 }, el("summary", {}, `Prompt: ${title}`),
        el("pre", { class: "wrap" }, text(cell.prompt))));
    }
    if (cell.reply !== undefined) {
      made.push(el("details", { open: true }, el("summary", {}, `Reply: ${title}`),
        el("pre", { class: "wrap" }, text(cell.reply)),
        cell.unread === undefined ? null : el("p", {}, text(cell.unread))));
    }
    if (cell.choices) {
      made.push(el("details", {}, el("summary", {}, `Choices: ${title}`),
        el("ol", {}, ...cell.choices.map((choice) => el("li", {}, text(choice))))));
    }
  }
  return [el("h3", {}, "Prompts and replies"), ...made];
}

// -- state and keys -----------------------------------------------------------------------------

function remember(id) {
  const state = new URLSearchParams({
    task: $("task").value, model: $("model").value, filter: $("filter").value, doc: id,
  });
  history.replaceState(null, "", `#${state}`);
}

async function open(wanted) {
  try {
    index = await load(`${$("task").value}/index`);
  } catch (error) {
    $("count").textContent = error.message;
    return;
  }
  const asked = Object.keys(index.flags);
  const model = wanted.get("model") ?? $("model").value;
  $("model").replaceChildren(el("option", { value: "" }, "any model"),
    ...asked.map((name) => el("option", { value: name }, name)));
  $("model").value = asked.includes(model) ? model : asked.length === 1 ? asked[0] : "";
  const at = index.ids.indexOf(wanted.get("doc"));
  choose(at < 0 ? undefined : at);
}

function setUp() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  for (const id of ["task", "filter"]) {
    const values = [...$(id).options].map((option) => option.value);
    if (values.includes(wanted.get(id))) $(id).value = wanted.get(id);
  }
  if (!$("task").options.length) {
    $("count").textContent = "These runs have no records to look at.";
    return;
  }
  $("task").addEventListener("change", () => open(new URLSearchParams()));
  for (const id of ["model", "filter"]) $(id).addEventListener("change", () => choose());
  $("id").addEventListener("input", () => choose());
  $("list").addEventListener("scroll", draw, { passive: true });
  window.addEventListener("resize", draw);
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", keys);
  open(wanted);
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !index) return;
  if (event.key === "Escape") $("list").focus();
  if (["INPUT", "SELECT"].includes(event.target.tagName)) return;
  const inList = event.target === $("list");
  const moves = { n: chosen + 1, j: chosen + 1, p: chosen - 1, k: chosen - 1 };
  if (inList) {
    Object.assign(moves, { ArrowDown: chosen + 1, ArrowUp: chosen - 1, Home: 0, End: found.length - 1 });
  }
  if (event.key in moves) select(moves[event.key]);
  else if (event.key === "f") $("filter").focus();
  else return;
  event.preventDefault();
}

setUp();
