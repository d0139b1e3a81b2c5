"use strict";
// What the page knows and what the reader has chosen. Text of runs is only ever set as text, never
// as HTML: names and values may hold anything.
const data = JSON.parse(document.getElementById("data").textContent);
const runs = data.runs;
const columns = data.columns;
const columnOf = Object.fromEntries(columns.map((column, place) => [column.key, place]));
const headline = columnOf[data.headline] ?? -1;
const several = data.settings.some((setting) => setting.members.length > 1);

const state = {
  sort: headline < 0 ? 0 : headline,
  descending: headline >= 0 && columns[headline].kind === "higher",
  filter: "",
  means: several,
  all: false,
  baseline: data.baseline,
  compare: new Set(),
};

const listeners = [];
const onChange = (...actions) => listeners.push(...actions);
function changed() {
  for (const action of listeners) action();
}

/** An element with properties and children; a string becomes text. */
function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name === "class") made.className = value;
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function section(id, title, ...children) {
  document.getElementById("sections").append(el("a", { href: `#${id}` }, title));
  const made = el("section", {}, el("h2", { id }, title), ...children);
  document.getElementById("main").append(made);
  return made;
}

function choice(label, options, chosen, onchange) {
  const select = el("select", { onchange: () => onchange(select.value) });
  for (const [value, text] of options) {
    select.append(el("option", { value, selected: String(value) === String(chosen) }, cut(text, 90)));
  }
  return el("label", {}, label, select);
}

function tick(label, chosen, onchange) {
  const box = el("input", { type: "checkbox", checked: chosen, onchange: () => onchange(box.checked) });
  return el("label", {}, box, label);
}

const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
const isNumber = (column) => column.kind === "higher" || column.kind === "lower" || column.kind === "number";
const higherIsBetter = (column) => column.kind === "higher";

/** A number as a table shows it. */
function shown(value, column) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  return digits(value * (column?.scale ?? 1), column);
}

function digits(value, column) {
  if (Number.isInteger(value)) return String(value);
  if (column?.scale === 100) return value.toFixed(2);
  return String(Number(value.toPrecision(4)));
}

/** The rows of the table: settings with their means, or each training. */
function rows() {
  if (state.means) {
    return data.settings.map((setting) => ({
      name: setting.name,
      members: setting.members,
      values: setting.values.map((value) => value[0]),
      spreads: setting.values.map((value) => value[1]),
      counts: setting.values.map((value) => value[2]),
    }));
  }
  return runs.map((run, place) => ({
    name: run.name, members: [place], values: run.values, spreads: [], counts: [],
  }));
}

/** Those that the filter lets through: every word in a cell, or a comparison such as `mIoU>60`. */
function visible() {
  const conditions = state.filter.trim().split(/\s+/).filter(Boolean).map(condition);
  return rows().filter((row) => conditions.every((fits) => fits(row)));
}

function condition(word) {
  const parts = word.match(/^([^<>=]+)(>=|<=|>|<)(-?[\d.]+)$/);
  const wanted = word.toLowerCase();
  const named = (column) => [column.label, column.label.split(".").pop(), column.key]
    .some((name) => name.toLowerCase().startsWith(parts[1].toLowerCase()));
  const place = parts && columns.findIndex((column) => column.kind !== "text" && named(column));
  if (!parts || place < 0) {
    return (row) => [row.name, ...row.values].some((value) => String(value ?? "").toLowerCase().includes(wanted));
  }
  const limit = Number(parts[3]);
  const scale = columns[place].scale;
  return (row) => {
    const value = numeric(row.values[place] ?? "");
    if (value === null) return false;
    const own = value * scale;
    return { ">": own > limit, "<": own < limit, ">=": own >= limit, "<=": own <= limit }[parts[2]];
  };
}

/** The rows in the chosen order; what has no value comes last. */
function sorted(list) {
  const sign = state.descending ? -1 : 1;
  return [...list].sort((a, b) => {
    const [one, other] = [a.values[state.sort], b.values[state.sort]];
    if (one === null || one === undefined) return 1;
    if (other === null || other === undefined) return -1;
    return sign * order(one, other);
  });
}

/** Numbers by their size, also those that are the text of a setting; other text by its letters. */
function order(one, other) {
  const [a, b] = [numeric(one), numeric(other)];
  if (a !== null && b !== null) return a - b;
  return String(one).localeCompare(String(other));
}

/** A number, or text that is one; null for other text. */
function numeric(value) {
  if (typeof value === "number") return value;
  const number = Number(value);
  return String(value).trim() === "" || Number.isNaN(number) ? null : number;
}

/** The trainings that plots and images compare. */
function compared(most = Infinity) {
  return [...state.compare].sort((a, b) => a - b).slice(0, most);
}

function firstCompared() {
  const finished = runs.map((_, place) => place).filter((place) => runs[place].status === "finished");
  const sign = headline >= 0 && columns[headline].kind === "lower" ? -1 : 1;
  const goodness = (place) => (typeof runs[place].values[headline] === "number" ? sign * runs[place].values[headline] : -Infinity);
  const best = [...finished].sort((a, b) => goodness(b) - goodness(a));
  const first = runs.length <= 12 ? runs.map((_, place) => place) : best.slice(0, 8);
  state.compare = new Set(state.baseline === null ? first : [...first, state.baseline]);
}
firstCompared();

// A view can be kept and sent as the address of the page.
const KEPT = ["sort", "descending", "filter", "means", "all", "baseline"];
function remember() {
  const kept = Object.fromEntries(KEPT.map((key) => [key, state[key]]));
  history.replaceState(null, "", `#view=${encodeURIComponent(JSON.stringify(kept))}`);
}
function restore() {
  const match = location.hash.match(/^#view=(.*)$/);
  if (!match) return;
  try {
    const kept = JSON.parse(decodeURIComponent(match[1]));
    for (const key of KEPT) if (key in kept) state[key] = kept[key];
    if (!(state.sort in columns)) state.sort = 0;
    if (!(state.baseline in runs)) state.baseline = data.baseline;
  } catch {
    // An address that was cut on its way shows the page as it is at first.
  }
}
restore();
