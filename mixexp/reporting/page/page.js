"use strict";
(() => {
const SLICE = 200; // rows drawn at once
const TALL = 40; // rows beyond which a table has a height and its head stays in sight
const MISSING = new Set(["", "–", "n/a"]);
const WHOLE = /^[-−+]?\d+(?:\.\d+)?(?:e[-−+]?\d+)?$/i, LEADING = /^[[<]?([-−+]?\d+(?:\.\d+)?(?:e[-−+]?\d+)?)/i;
const collator = new Intl.Collator("en", { sensitivity: "base" });
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const data = JSON.parse(one("#data").textContent);

/** An element with properties and children; a child that is text stays text. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value; else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// ---- what is chosen is kept in the address, so that a link shows the same

const state = new URLSearchParams();

function readState() {
  const hash = location.hash.slice(1);
  for (const key of [...state.keys()]) state.delete(key);
  if (hash.includes("=")) new URLSearchParams(hash).forEach((value, key) => state.set(key, value));
}

function keep(key, value) {
  if (value) state.set(key, value); else state.delete(key);
  const hash = `#${state}`;
  if (hash !== (location.hash || "#")) history.replaceState(null, "", hash);
}

// ---- sorting: numbers by value before texts in their natural order, what is missing last

function parse(text, words) {
  const found = words ? WHOLE.exec(text)?.[0] : LEADING.exec(text)?.[1];
  return found === undefined ? null : Number(found.replace(/−/g, "-"));
}

function natural(a, b) {
  if (a.number !== null || b.number !== null) return a.number === null ? 1 : b.number === null ? -1 : a.number - b.number;
  for (let place = 0; place < Math.max(a.parts.length, b.parts.length); place++) {
    const [x, y] = [a.parts[place], b.parts[place]];
    if (x === undefined || y === undefined) return x === undefined ? -1 : 1;
    const order = place % 2 ? Number(x) - Number(y) : collator.compare(x, y);
    if (order) return order;
  }
  return 0;
}

/** A number for each text, in their order; those that compare equal have the same one, what is missing none. */
function ranks(texts, words) {
  const distinct = [...new Set(texts)].filter((text) => !MISSING.has(text));
  const keys = distinct.map((text) => ({ text, number: parse(text, words), parts: text.split(/(\d+(?:\.\d+)?)/) })).sort(natural);
  const found = new Map();
  let rank = 0;
  keys.forEach((key, place) => found.set(key.text, place && natural(keys[place - 1], key) ? ++rank : rank));
  return texts.map((text) => found.get(text));
}

// ---- tables: sorted, filtered and drawn a slice at a time

/** One table. Its rows have `cells`, the texts they are sorted and found by, and `draw()`, their elements. */
class View {
  constructor(table, rows) {
    this.table = table;
    this.body = table.tBodies[0];
    this.left = Number(table.dataset.left);
    this.rows = rows ?? [...this.body.rows].map((element) => ({
      get cells() { return (this.texts ??= [...element.cells].map((cell) => cell.textContent.trim())); },
      draw: () => [element],
    }));
    this.sorted = new Map();
  }

  ranks(column) {
    if (!this.sorted.has(column)) {
      const words = this.words ? this.words(column) : column < this.left;
      this.sorted.set(column, ranks(this.rows.map((row) => row.cells[column] ?? ""), words));
    }
    return this.sorted.get(column);
  }

  arranged(find, sort, accept) {
    const words = find.toLowerCase().split(/\s+/).filter(Boolean);
    const holds = (row) => {
      const text = (row.found ??= row.cells.concat(row.more ? row.more() : []).join("\n").toLowerCase());
      return words.every((word) => text.includes(word));
    };
    let places = this.rows.map((_, place) => place);
    if (accept) places = places.filter((place) => accept(this.rows[place]));
    if (words.length) places = places.filter((place) => holds(this.rows[place]));
    if (sort) {
      const order = this.ranks(sort.column);
      places.sort((a, b) => {
        const [x, y] = [order[a], order[b]];
        return x === undefined || y === undefined ? (x === undefined) - (y === undefined) : sort.down ? y - x : x - y;
      });
    }
    return places.map((place) => this.rows[place]);
  }

  forget() {
    this.sorted.clear();
    for (const row of this.rows) row.texts = row.found = row.drawn = undefined;
  }
}

/** A table, or one for each selection rule of which one is shown, with its filter and its order. */
class Grid {
  constructor(section, rows) {
    this.id = section.dataset.grid;
    this.section = section;
    this.views = new Map(all("table", section).map((table) => [table.dataset.view ?? "", new View(table, rows)]));
    this.view = "";
    this.input = one("input[type=search]", section);
    this.count = one("output.count", section);
    this.more = one(".more", section);
    this.limit = SLICE;
    for (const { table } of this.views.values()) this.prepare(table);
    let waiting;
    this.input?.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => { keep(`${this.id}.find`, this.input.value.trim()); this.limit = SLICE; this.draw(); }, 120);
    });
    one(".some", this.more).addEventListener("click", () => { this.limit += SLICE; this.draw(); });
    one(".all", this.more).addEventListener("click", () => { this.limit = Infinity; this.draw(); });
  }

  prepare(table) {
    for (const head of all("th[data-column]", table)) {
      const button = make("button", { type: "button", className: "sort" });
      button.append(...(head.childNodes.length ? head.childNodes : [make("span", { className: "unseen" }, "first column")]));
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => this.sort(Number(head.dataset.column)));
    }
  }

  get order() {
    const text = state.get(`${this.id}.sort`) ?? "";
    return /^-?\d+$/.test(text) ? { column: Math.abs(Number(text)), down: text.startsWith("-") } : null;
  }

  /** Ascending, then descending, then as it was. */
  sort(column) {
    const now = this.order?.column === column ? (this.order.down ? "" : `-${column}`) : `${column}`;
    keep(`${this.id}.sort`, now);
    this.draw();
  }

  restore() {
    if (this.input) this.input.value = state.get(`${this.id}.find`) ?? "";
    this.limit = SLICE;
    this.draw();
  }

  draw() {
    const view = this.views.get(this.view) ?? this.views.get("");
    if (!view) { this.more.hidden = true; return; }
    const order = this.order, rows = view.arranged(this.input?.value ?? "", order, this.accept);
    const shown = rows.slice(0, this.limit);
    view.body.replaceChildren(...shown.flatMap((row) => row.draw()));
    for (const head of all("th[data-column]", view.table)) {
      const own = order && Number(head.dataset.column) === order.column;
      head.setAttribute("aria-sort", own ? (order.down ? "descending" : "ascending") : "none");
    }
    if (this.count) {
      const of = rows.length < view.rows.length ? ` of ${view.rows.length}` : "";
      const text = `${rows.length}${of} ${view.rows.length === 1 ? "row" : "rows"}`;
      this.count.textContent = text + (shown.length < rows.length ? `, the first ${shown.length} shown` : "");
    }
    this.more.hidden = shown.length === rows.length;
    view.table.parentElement.classList.toggle("tall", shown.length > TALL);
    hint(view.table.parentElement);
  }
}

/** Say where a table goes on beyond the edge of its box. */
function hint(box) {
  const cut = box.scrollWidth > box.clientWidth + 1;
  box.classList.toggle("cut", cut && box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
  box.classList.toggle("moved", box.scrollLeft > 0);
  if (cut) box.tabIndex = 0; else box.removeAttribute("tabindex");
  let words = box.previousElementSibling;
  if (!words?.classList.contains("hint")) {
    words = make("p", { className: "hint" }, "The table goes on to the right: scroll it sideways →");
    words.setAttribute("aria-hidden", "true");
    box.before(words);
    box.addEventListener("scroll", () => hint(box), { passive: true });
  }
  words.hidden = !cut;
}

// ---- the list of every run

const [NAME, LINK, TABLE, OUTCOME, PROBLEM, SECONDS, DEVICE, STARTED, SCORES, CHANGES, CURVE, METRICS, ERROR] = Array(13).keys();
const text = (index) => data.texts[index];
const chosenRules = data.tables.map((table) => table.rule);
const units = new Set(data.tables.map((table) => table.unit));
const several = data.tables.length > 1;

// a run's changes come as key, text, key, text, … and are looked up by key
for (const run of data.runs) {
  const flat = run[CHANGES];
  run[CHANGES] = flat && new Map(flat.flatMap((key, place) => (place % 2 ? [] : [[key, text(flat[place + 1])]])));
}

function settingOf(run, key) {
  return run[CHANGES] === null ? "" : (run[CHANGES].get(key) ?? text(data.common[key]));
}

function score(run) {
  const table = run[TABLE] ?? 0;
  return run[SCORES][data.rules.indexOf(chosenRules[table])] ?? "";
}

function othersOf(run) {
  const told = data.others.filter((key) => run[CHANGES]?.get(key));
  return told.map((key) => `${data.keys[key]}=${run[CHANGES].get(key)}`).join(", ");
}

// heading, words or number, a run's text, the class of its cells
const columns = [
  ["run", true, (run) => run[NAME]],
  ["outcome", true, (run) => text(run[OUTCOME])],
  [units.size > 1 ? "score" : data.tables[0].unit, false, score, "number"],
  ...(units.size > 1 ? [["of", true, (run) => (run[TABLE] === null ? "" : data.tables[run[TABLE]].unit)]] : []),
  ...(several ? [["table", true, (run) => (run[TABLE] === null ? "any" : data.tables[run[TABLE]].title), "set"]] : []),
  ...data.columns.map((key) => [data.keys[key], true, (run) => settingOf(run, key), "set"]),
  ...(data.others.length ? [["other settings", true, othersOf, "others"]] : []),
  ["seconds", false, (run) => (run[SECONDS] === null ? "" : run[SECONDS].toFixed(1)), "number"],
  ["device", true, (run) => text(run[DEVICE]), "set"],
  ["started", true, (run) => run[STARTED]],
];

class Row {
  constructor(run) { this.run = run; this.opened = false; }

  get cells() { return (this.texts ??= columns.map(([, , of]) => of(this.run))); }

  more() { return [text(this.run[PROBLEM]), ...data.columns.map((key) => `${data.keys[key]}=${settingOf(this.run, key)}`)]; }

  draw() {
    this.drawn ??= this.element();
    return this.opened ? [this.drawn, (this.detail ??= this.explain())] : [this.drawn];
  }

  element() {
    const run = this.run, row = make("tr");
    const box = make("input", { type: "checkbox", checked: picked.has(this), ariaLabel: `Choose ${run[NAME]} for comparison` });
    box.addEventListener("change", () => pick(this, box.checked));
    const open = make("button", { type: "button", className: "open", ariaLabel: `Details of ${run[NAME]}` });
    open.ariaExpanded = String(this.opened);
    open.addEventListener("click", () => {
      this.opened = !this.opened;
      open.ariaExpanded = String(this.opened);
      if (this.opened) row.after(this.draw()[1]); else this.detail.remove();
      if (this.opened) fit(this.detail);
    });
    const name = make("a", { className: "name", href: run[LINK], title: run[NAME] }, run[NAME]);
    row.append(make("th", { scope: "row" }, open, box, name));
    this.cells.slice(1).forEach((cell, place) => {
      const of = columns[place + 1][3] ?? "";
      const content = place === 0 ? badge(cell) : cell;
      row.append(make("td", { className: of, title: of === "set" || of === "others" ? cell : "" }, content));
    });
    return row;
  }

  explain() {
    const run = this.run, inside = make("div", { className: "inside" });
    const problem = text(run[PROBLEM]);
    if (problem) inside.append(make("p", { className: "full" }, badge(text(run[OUTCOME])), ` ${problem}`));
    inside.append(run[CHANGES] === null ? make("p", {}, "Its configuration cannot be read.") : differences(run));
    const curve = sparkline(run);
    if (curve) inside.append(curve);
    const measured = metricsOf(run);
    if (measured.length) inside.append(make("div", {}, make("h4", {}, "At the last evaluation"), tableOf(["metric", "value"], measured)));
    if (text(run[OUTCOME]) === "failed") {
      const address = `${run[LINK]}error.txt`;
      const heading = make("h4", {}, make("a", { href: address }, "error.txt"));
      const said = text(run[ERROR]) && make("pre", { tabIndex: 0 }, text(run[ERROR]));
      const unsaid = make("p", {}, "It is not shown here: there is none, or the errors of this report are too long for one page.");
      inside.append(make("div", { className: "full" }, heading, said || unsaid));
    }
    return make("tr", { className: "detail" }, make("td", { colSpan: columns.length }, inside));
  }
}

function badge(outcome) {
  const element = make("span", { className: "badge" }, outcome);
  element.dataset.outcome = outcome;
  return element;
}

function tableOf(names, lines) {
  const head = make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)));
  const body = lines.map(([name, ...cells]) => make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((cell) => make("td", {}, cell))));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
}

function differences(run) {
  const heading = make("h4", {}, "Settings that are not those of most runs");
  if (!run[CHANGES].size) return make("div", {}, heading, make("p", {}, "None: every setting is the most common one."));
  const lines = [...run[CHANGES]].map(([key, value]) => [data.keys[key], value, text(data.common[key])]);
  return make("div", {}, heading, tableOf(["setting", "this run", "most runs"], lines));
}

/** The metrics of a run's last evaluation, those that it has. */
function metricsOf(run) {
  return data.metrics.map((name, place) => [name, run[METRICS][place] ?? ""]).filter(([, value]) => value);
}

function sparkline(run) {
  if (!run[CURVE]) return null;
  const [levels, low, high] = run[CURVE], unit = data.tables[run[TABLE] ?? 0].unit;
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const said = `${unit} by evaluation, from ${low} to ${high}`;
  const form = { viewBox: `0 0 100 ${data.levels.length - 1}`, preserveAspectRatio: "none", class: "curve", role: "img", "aria-label": said };
  for (const [name, value] of Object.entries(form)) drawing.setAttribute(name, value);
  let path = "", pen = "M";
  [...levels].forEach((letter, place) => {
    if (letter === " ") { pen = "M"; return; }
    path += `${pen}${((100 * place) / (levels.length - 1)).toFixed(2)} ${data.levels.length - 1 - data.levels.indexOf(letter)}`;
    pen = "L";
  });
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  drawing.append(line);
  return make("div", {}, make("h4", {}, "Learning curve"), drawing, make("p", {}, make("small", {}, said)));
}

/** A detail is as wide as what is seen of its table, wherever the table is scrolled to. */
function fit(detail) {
  const inside = one(".inside", detail);
  inside.style.width = `${detail.closest(".scroll").clientWidth}px`;
}

// ---- two runs side by side

const picked = new Set();
const bar = one(".chosen");

function drop(row) {
  picked.delete(row);
  if (row.drawn) one("input", row.drawn).checked = false;
}

function pick(row, on) {
  if (on) picked.add(row); else picked.delete(row);
  for (const other of [...picked].slice(0, -2)) drop(other);
  const names = [...picked].map((chosen) => chosen.run[NAME]);
  bar.hidden = !names.length;
  one("span", bar).textContent = names.length === 1 ? `${names[0]}: choose another run to compare it with.` : names.join(" and ");
  one(".compare", bar).hidden = names.length < 2;
}

function compare() {
  const rows = [...picked];
  const told = columns.slice(1).map(([name, , of]) => [name, ...rows.map((row) => of(row.run))]);
  const facts = told.filter(([name]) => !data.columns.some((key) => data.keys[key] === name) && name !== "other settings");
  const keys = data.keys.map((name, key) => [name, ...rows.map((row) => settingOf(row.run, key))]);
  const differ = keys.filter(([, a, b]) => a !== b), same = keys.filter(([, a, b]) => a === b);
  const table = (lines, mark = "") => make("div", { className: `scroll ${mark}` }, tableOf(["", ...rows.map((row) => row.run[NAME])], lines));
  const rest = make("details", {}, make("summary", {}, `${same.length} settings are the same in both`), table(same));
  const words = make("p", {}, differ.length === 1 ? "1 setting differs." : `${differ.length || "No"} settings differ.`);
  const last = data.metrics.map((name, place) => [`${name}, last evaluation`, ...rows.map((row) => row.run[METRICS][place] ?? "")]);
  show("Two runs compared", table([...facts, ...last]), words, ...(differ.length ? [table(differ, "differ")] : []), rest);
}

// ---- a dialog for images, comparisons and text that cannot be copied

const dialog = one("dialog");

function show(title, ...content) {
  one("h2", dialog).textContent = title;
  one(".body", dialog).replaceChildren(...content);
  dialog.showModal();
}

dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
for (const button of all(".zoom")) {
  const image = one("img", button);
  button.ariaLabel = `Enlarge: ${image.alt}`;
  button.addEventListener("click", () => show(image.alt, make("img", { src: image.src, alt: image.alt })));
}

async function copy(words, button) {
  const done = () => {
    const before = button.textContent;
    one("#said").textContent = button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 1500);
  };
  try {
    await navigator.clipboard.writeText(words);
    done();
  } catch { // a page opened from a file has no clipboard in some browsers; text that is selected can be copied in all
    const area = make("textarea", { value: words, readOnly: true, ariaLabel: "Text to copy" });
    show("Press Ctrl+C or ⌘C to copy", area);
    area.select();
    if (document.execCommand("copy")) { dialog.close(); done(); }
  }
}

// ---- putting it together

document.documentElement.classList.add("js");
for (const element of all(".switch:not(.lone), .outcomes, .theme, table.runs")) element.hidden = false;

const runsTable = one("table.runs");
runsTable.tHead.rows[0].append(...columns.map(([name, words], column) => {
  const head = make("th", { scope: "col", className: words ? "" : "number" }, name);
  head.dataset.column = column;
  return head;
}));
const runs = new Grid(one("#runs"), data.runs.map((run) => new Row(run)));
const grids = [...all("[data-grid]:not(#runs)").map((section) => new Grid(section)), runs];
const runsView = runs.views.get("");
runsView.words = (column) => columns[column][1];
const outcomes = all("input[name=outcome]");
const outcome = () => outcomes.find((input) => input.checked).value;
runs.accept = (row) => !outcome() || text(row.run[OUTCOME]) === outcome();
const scoreHead = all("th", runsTable)[columns.findIndex(([, , of]) => of === score)];
const ruleNote = make("small", { className: "by" });
scoreHead.append(ruleNote);

function choose(table, rule) {
  const article = one(`#table-${table}`);
  for (const element of all("[data-view]", article)) if (element.tagName !== "TABLE") element.hidden = element.dataset.view !== rule;
  for (const grid of grids) if (grid.section.closest("article") === article) { grid.view = rule; grid.draw(); }
  const copies = one(".copies", article);
  if (copies) copies.hidden = !Object.keys(data.copies[table - 1][rule] ?? {}).length;
  chosenRules[table - 1] = rule;
  const words = new Set(chosenRules.map((name) => data.words[name]));
  ruleNote.textContent = words.size === 1 ? [...words][0] : "by each table’s rule";
  runsView.forget();
  runs.draw();
}

for (const article of all("article")) {
  const table = Number(article.dataset.table);
  for (const input of all(`input[name=rule-${table}]`, article)) {
    input.addEventListener("change", () => {
      keep(`t${table}.rule`, input.value === data.tables[table - 1].rule ? "" : input.value);
      choose(table, input.value);
    });
  }
  for (const button of all("[data-copy]", article)) {
    button.addEventListener("click", () => copy(data.copies[table - 1][chosenRules[table - 1]][button.dataset.copy], button));
  }
}
for (const input of outcomes) {
  input.addEventListener("change", () => { keep("runs.outcome", outcome()); runs.limit = SLICE; runs.draw(); });
}
one(".compare", bar).addEventListener("click", compare);
one(".clear", bar).addEventListener("click", () => { for (const row of [...picked]) { drop(row); pick(row, false); } });

function restore() {
  readState();
  for (const article of all("article")) {
    const table = Number(article.dataset.table), wanted = state.get(`t${table}.rule`);
    const inputs = all(`input[name=rule-${table}]`, article);
    const input = inputs.find(({ value }) => value === wanted) ?? inputs.find(({ value }) => value === data.tables[table - 1].rule);
    input.checked = true;
    choose(table, input.value);
  }
  (outcomes.find(({ value }) => value === state.get("runs.outcome")) ?? outcomes[0]).checked = true;
  for (const grid of grids) grid.restore();
  const place = state.get("at");
  if (place) document.getElementById(place)?.scrollIntoView();
}

// links within the page keep what is chosen, and add to it
for (const anchor of all('a[href^="#"]')) {
  anchor.addEventListener("click", (event) => {
    event.preventDefault();
    const target = anchor.hash.slice(1);
    if (!target.includes("=")) {
      keep("at", target);
      const element = document.getElementById(target);
      element.scrollIntoView();
      if (target === "content") element.focus();
      return;
    }
    new URLSearchParams(target).forEach((value, key) => keep(key, value));
    restore();
  });
}
addEventListener("hashchange", () => { if (location.hash.includes("=")) restore(); });

const theme = one(".theme");
const dark = matchMedia("(prefers-color-scheme: dark)");
const other = () => ((document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark" ? "light" : "dark");
function paint(chosen) {
  if (chosen) document.documentElement.dataset.theme = chosen;
  one("span + span", theme).textContent = other() === "dark" ? "Dark colours" : "Light colours";
}
let remembered = null;
try { remembered = localStorage.getItem("mixexp-theme"); } catch { /* a browser may keep nothing for files */ }
paint(["light", "dark"].includes(remembered) ? remembered : "");
dark.addEventListener("change", () => paint(""));
theme.addEventListener("click", () => {
  const next = other();
  paint(next);
  try { localStorage.setItem("mixexp-theme", next); } catch { /* then it holds for this visit */ }
});

const links = new Map(all(".contents a").map((anchor) => [anchor.hash.slice(1), anchor]));
const places = [...links.keys()].map((id) => document.getElementById(id));
let queued = false;
function follow() {
  queued = false;
  const above = places.filter((element) => element.getBoundingClientRect().top < innerHeight / 3);
  const current = links.get((above.at(-1) ?? places[0]).id);
  for (const anchor of links.values()) anchor.ariaCurrent = anchor === current ? "true" : null;
}
addEventListener("scroll", () => { if (!queued) { queued = true; requestAnimationFrame(follow); } }, { passive: true });
new ResizeObserver(() => { all(".scroll").forEach(hint); all("tr.detail").forEach(fit); }).observe(document.body);

restore();
follow();
})();
