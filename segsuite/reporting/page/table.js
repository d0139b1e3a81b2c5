"use strict";
// The table of trainings: sorted, filtered, with means over seeds and differences to the baseline.

function trainingTable() {
  if (!runs.length) return;
  const filter = el("input", {
    type: "search", value: state.filter, placeholder: "filter: words, or mIoU>60 params<5", ariaLabel: "filter",
    oninput: () => { state.filter = filter.value; changed(); },
  });
  const baselines = runs.map((run, place) => [place, run.name]).filter(([place]) => runs[place].status === "finished");
  const body = el("div", { class: "scroll" });
  const told = el("p", { class: "quiet" });
  section("trainings", "Trainings",
    el("div", { class: "controls" },
      filter,
      several ? tick("mean over seeds", state.means, (on) => { state.means = on; changed(); }) : null,
      columns.some((column) => !column.main) ? tick("all columns", state.all, (on) => { state.all = on; changed(); }) : null,
      baselines.length ? choice("baseline", baselines, state.baseline, (value) => { state.baseline = Number(value); changed(); }) : null,
      el("button", { type: "button", onclick: () => { state.compare = new Set(visible().flatMap((row) => row.members)); changed(); } }, "compare these"),
      el("button", { type: "button", onclick: () => { firstCompared(); changed(); } }, "compare as at first")),
    body, told);
  onChange(() => {
    const list = sorted(visible());
    body.replaceChildren(rowsAsTable(list));
    told.textContent = `${list.length} of ${rows().length} ${state.means ? "settings" : "trainings"} are shown, `
      + `${state.compare.size} trainings are compared below.`;
    remember();
  });
}

function rowsAsTable(list) {
  const kept = columns.map((column, place) => [column, place]).filter(([column]) => column.main || state.all);
  const best = Object.fromEntries(kept.filter(([column]) => column.kind === "higher" || column.kind === "lower")
    .map(([column, place]) => [place, bestOf(list, place, higherIsBetter(column))]));
  const head = el("tr", {}, el("th", { title: "compared below" }, "⇄"), ...kept.map(([column, place]) => heading(column, place)));
  const lines = list.map((row) => el("tr", { class: row.members.includes(state.baseline) ? "baseline" : "" },
    el("td", {}, comparing(row)),
    ...kept.map(([column, place]) => cell(row, column, place, best[place]))));
  return el("table", {}, el("thead", {}, head), el("tbody", {}, ...lines));
}

function heading(column, place) {
  const sort = state.sort === place ? (state.descending ? "descending" : "ascending") : null;
  const button = el("button", {
    type: "button",
    onclick: () => {
      state.descending = state.sort === place ? !state.descending : higherIsBetter(column);
      state.sort = place;
      changed();
    },
  }, column.label);
  return el("th", { class: isNumber(column) ? "number" : "", ariaSort: sort, scope: "col" }, button);
}

function comparing(row) {
  const chosen = row.members.filter((place) => state.compare.has(place)).length;
  return el("input", {
    type: "checkbox", ariaLabel: `compare ${row.name}`,
    checked: chosen === row.members.length, indeterminate: chosen > 0 && chosen < row.members.length,
    onchange: (event) => {
      for (const place of row.members) event.target.checked ? state.compare.add(place) : state.compare.delete(place);
      changed();
    },
  });
}

function cell(row, column, place, best) {
  const value = row.values[place];
  if (!isNumber(column)) {
    const times = column.key === "name" && row.members.length > 1 ? el("span", { class: "spread" }, ` ×${row.members.length}`) : null;
    return el("td", { class: "long", title: String(value ?? "") }, ...[shown(value, column), times].filter(Boolean));
  }
  const parts = [shown(value, column)];
  if (row.spreads[place]) {
    parts.push(el("span", { class: "spread" }, ` ± ${digits(row.spreads[place] * column.scale, column)} (${row.counts[place]})`));
  }
  if (place === headline && state.baseline !== null && value !== null) parts.push(beside(row, value, column));
  if (column.key === "paper" && value !== null) parts.push(el("span", { class: "spread" }, ` ${runs[row.members[0]].paper}`));
  const bounds = row.members.length === 1 && column.key.startsWith("ms:") && runs[row.members[0]].times[column.key.slice(3)];
  const title = bounds && bounds[1] !== null ? `${shown(bounds[1])} to ${shown(bounds[2])}` : undefined;
  return el("td", { class: value !== null && value === best ? "number best" : "number", title }, ...parts.filter(Boolean));
}

/** How far a row is from the baseline, or from the mean of the baseline's setting. */
function beside(row, value, column) {
  if (row.members.includes(state.baseline)) return null;
  const reference = rows().find((other) => other.members.includes(state.baseline));
  const base = reference?.values[headline];
  if (typeof base !== "number" || typeof value !== "number") return null;
  const difference = (value - base) * column.scale;
  if (!sameData(row.members[0], state.baseline)) return null;
  if (!Number(digits(Math.abs(difference), column))) return el("span", { class: "spread" }, " ±0");
  const better = (difference > 0) === higherIsBetter(column);
  const sign = difference > 0 ? "+" : "−";
  return el("span", { class: better ? "better" : "worse" }, ` ${sign}${digits(Math.abs(difference), column)}`);
}

const sameData = (one, other) => runs[one].data === runs[other].data;

function bestOf(list, place, higher) {
  if (list.some((row) => !sameData(row.members[0], list[0].members[0]))) return undefined;
  const values = list.map((row) => row.values[place]).filter((value) => typeof value === "number");
  return new Set(values).size > 1 ? (higher ? Math.max(...values) : Math.min(...values)) : undefined;
}

/** A table of its own that sorts by a click; cells are text or [value, low, high]. */
function plainTable(headings, lines, numeric) {
  let chosen = null, descending = true;
  const holder = el("div", { class: "scroll" });
  const raw = (value) => (Array.isArray(value) ? value[0] : value);
  const draw = () => {
    const list = chosen === null ? lines : [...lines].sort((a, b) => {
      const [one, other] = [raw(a[chosen]), raw(b[chosen])];
      if (one === null || one === undefined) return 1;
      if (other === null || other === undefined) return -1;
      return descending ? -order(one, other) : order(one, other);
    });
    const head = headings.map((text, place) => el("th", {
      class: numeric[place] ? "number" : "", scope: "col",
      ariaSort: chosen === place ? (descending ? "descending" : "ascending") : null,
    }, el("button", { type: "button", onclick: () => { descending = chosen === place ? !descending : numeric[place]; chosen = place; draw(); } }, cut(text, 60))));
    const body = list.map((line) => el("tr", {}, ...line.map((value, place) => plainCell(value, numeric[place]))));
    holder.replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body)));
  };
  draw();
  return holder;
}

function plainCell(value, numeric) {
  if (!numeric) return el("td", { class: "long", title: String(value ?? "") }, String(value ?? "–"));
  const [middle, low, high] = Array.isArray(value) ? value : [value, null, null];
  const bounds = low === null || low === undefined ? null : el("span", { class: "spread" }, ` (${shown(low)} to ${shown(high)})`);
  return el("td", { class: "number" }, ...[shown(middle), bounds].filter(Boolean));
}
