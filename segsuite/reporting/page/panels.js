"use strict";
// What is behind a score: classes, confusions, images, settings; then everything that is no training.

const MOST_CLASSES = 40;

function perClass() {
  if (!Object.keys(data.classes).length) return;
  const made = section("classes", "Per class", el("p", { class: "quiet" },
    "IoU in per cent beside that of the baseline, chosen above; of what is compared, four at most; means where the table has them."));
  const told = el("p", { class: "quiet" });
  plot(made, () => classPlot(told), { id: "class-plot" });
  made.append(told);
}

/** What is compared class by class: each training, or the means of settings over their seeds. */
function scored() {
  const own = (place) => data.classes[place];
  const places = compared().filter(own);
  const groups = state.means ? data.settings.map((it) => ({ name: it.name, members: it.members.filter((place) => places.includes(place)) }))
    : places.map((place) => ({ name: runs[place].name, members: [place] }));
  return groups.filter((group) => group.members.length).map((group) => ({
    ...group, table: own(group.members[0]).table, ious: meanOf(group.members.map((place) => own(place).ious)),
  }));
}

const meanOf = (many) => many[0].map((_, n) => {
  const known = many.map((ious) => ious[n]).filter((iou) => iou !== null);
  return known.length ? known.reduce((sum, iou) => sum + iou, 0) / known.length : null;
});

function classPlot(told) {
  const all = scored();
  const base = all.find((group) => group.members.includes(state.baseline));
  const alike = all.filter((group) => !base || group.table === base.table);
  const others = alike.filter((group) => group !== base).slice(0, 4);
  const drawn = others.length ? others : alike.slice(0, 1);
  if (!drawn.length) return [[], {}];
  const names = data.class_tables[drawn[0].table];
  const relative = Boolean(base) && others.length > 0;
  const value = (group, n) => {
    if (group.ious[n] === null || (relative && base.ious[n] === null)) return null;
    return 100 * (group.ious[n] - (relative ? base.ious[n] : 0));
  };
  const there = names.map((_, n) => n).filter((n) => drawn.some((group) => value(group, n) !== null));
  there.sort((a, b) => (value(drawn[0], a) ?? 0) - (value(drawn[0], b) ?? 0));
  const kept = there.length <= MOST_CLASSES ? there : [...there.slice(0, MOST_CLASSES / 2), ...there.slice(-MOST_CLASSES / 2)];
  told.textContent = (relative ? `Difference to ${base.name}. ` : "")
    + (kept.length < there.length ? `The ${MOST_CLASSES / 2} best and worst of ${there.length} classes.` : "");
  const traces = drawn.map((group, n) => ({
    type: "bar", orientation: "h", name: plain(group.name, 50), marker: { color: color(n) },
    x: kept.map((k) => value(group, k)), y: kept.map((k) => plain(names[k], 40)),
    customdata: kept.map((k) => shown(group.ious[k], { scale: 100 })),
    hovertemplate: "%{y}: %{x:.2f} (IoU %{customdata} %)<extra></extra>",
  }));
  return [traces, {
    height: Math.max(320, 90 + 18 * kept.length * Math.max(1, drawn.length / 2)), barmode: "group",
    xaxis: { title: { text: relative ? "IoU %, difference to the baseline" : "IoU %" } }, yaxis: { type: "category", dtick: 1 },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
  }];
}

function confusions() {
  const there = Object.keys(data.confusions).map(Number);
  if (!there.length) return;
  const chosen = { run: there.includes(state.baseline) ? state.baseline : there[0], diagonal: true };
  const told = el("p", { class: "quiet" });
  const made = section("confusion", "Confusion", el("div", { class: "controls" },
    choice("training", there.map((place) => [place, runs[place].name]), chosen.run, (value) => { chosen.run = Number(value); draw(); }),
    tick("mistakes alone", false, (on) => { chosen.diagonal = !on; draw(); })), told);
  const draw = plot(made, () => {
    const own = data.confusions[chosen.run];
    told.textContent = "Per cent of the pixels of a class (row) that are taken for each class (column)."
      + (own.left_out ? ` The ${own.names.length} classes with the most mistakes; ${own.left_out} are left out.` : "");
    const names = own.names.map((name) => plain(name, 24));
    const z = own.of1000.map((row, i) => row.map((value, j) => (i === j && !chosen.diagonal ? null : value / 10)));
    const trace = {
      type: "heatmap", x: names, y: names, z, xgap: 1, ygap: 1, colorscale: [[0, css("--raised")], [1, css("--accent")]],
      texttemplate: names.length <= 14 ? "%{z:.1f}" : "", colorbar: { title: { text: "%" }, thickness: 12 },
      hovertemplate: "%{z:.1f} % of %{y} are taken for %{x}<extra></extra>",
    };
    const axis = { type: "category", dtick: 1, showgrid: false };
    return [[trace], { height: Math.max(380, 120 + 26 * names.length), xaxis: { ...axis, side: "top", tickangle: -40 }, yaxis: { ...axis, autorange: "reversed" } }];
  }, { id: "confusion-plot" });
}

function sameImages() {
  if (!data.images.length) return;
  const chosen = { tokens: true };
  const width = el("input", { type: "range", min: 140, max: 480, value: 240, ariaLabel: "size", oninput: () => holder.style.setProperty("--panel", `${width.value}px`) });
  const holder = el("div");
  const withTokens = data.images.some((image) => Object.values(image.runs).some((own) => own.length > 1));
  section("images", "The same images", el("div", { class: "controls" }, el("label", {}, "size", width),
    withTokens ? tick("tokens", true, (on) => { chosen.tokens = on; draw(); }) : null), holder);
  const draw = () => holder.replaceChildren(...data.images.map((image) => imageOf(image, chosen.tokens)));
  onChange(draw);
}

/** One image: itself and its truth, then a group of panels for each training that is compared. */
function imageOf(image, tokens) {
  const places = compared(24).filter((place) => image.runs[place]);
  if (!places.length) return "";
  const groups = places.map((place) => panels(runs[place].name, tokens ? image.runs[place] : image.runs[place].slice(0, 1)));
  const legend = image.legend && el("p", { class: "legend" }, el("img", { src: image.legend.source, alt: "colours of the classes", loading: "lazy" }));
  return el("div", {}, el("h3", {}, image.name),
    el("div", { class: "sheet" }, image.given.length ? panels("given", image.given) : null, ...groups), legend);
}

function panels(title, drawn) {
  const figures = drawn.map((panel) => el("figure", { class: panel.caption ? "" : "whole" },
    el("img", { src: panel.source, alt: `${panel.caption}, ${title}`, loading: "lazy" }), el("figcaption", {}, panel.caption)));
  return el("div", { class: "group" }, el("p", { title }, cut(title, 80)), el("div", {}, ...figures));
}

function settingsThatDiffer() {
  const { keys, values } = data.differences;
  if (!keys.length) return;
  const holder = el("div");
  section("settings", "Settings that differ", el("p", { class: "quiet" },
    "Of the trainings that are compared, twelve at most; what all of them have alike is left out."), holder);
  onChange(() => {
    const places = compared(12);
    const lines = keys.map((key, n) => [key, ...places.map((place) => values[place][n])])
      .filter(([, ...own]) => new Set(own).size > 1);
    holder.replaceChildren(lines.length
      ? plainTable(["key", ...places.map((place) => runs[place].name)], lines, [])
      : el("p", {}, "They are all set alike."));
  });
}

function otherTables() {
  if (!data.tables.length) return;
  const made = section("others", "Benchmarks, exports, searches");
  for (const table of data.tables) {
    const lines = table.rows.map((row) => [row.name, ...table.settings.map((key) => row.settings[key] ?? null), ...table.metrics.map((name) => row.metrics[name] ?? null)]);
    const numeric = [false, ...table.settings.map(() => false), ...table.metrics.map(() => true)];
    made.append(el("h3", {}, table.title), el("p", { class: "quiet" }, `${table.machine}; ${table.where}`),
      plainTable(["name", ...table.settings, ...table.metrics], lines, numeric));
    if (table.metrics.length > 1 && table.rows.length > 2) twoMetrics(made, table);
  }
}

/** Any two metrics of a table against each other. */
function twoMetrics(parent, table) {
  const quality = table.metrics.find((name) => /miou|pq|kendall/.test(name)) ?? table.metrics[1];
  const chosen = { x: table.metrics.find((name) => name !== quality), y: quality };
  const options = table.metrics.map((name) => [name, name]);
  const drawn = el("details", {}, el("summary", {}, "as a plot"), el("div", { class: "controls" },
    choice("across", options, chosen.x, (value) => { chosen.x = value; draw(); }),
    choice("up", options, chosen.y, (value) => { chosen.y = value; draw(); })));
  parent.append(drawn);
  const draw = plot(drawn, () => {
    const own = table.rows.filter((row) => row.metrics[chosen.x] && row.metrics[chosen.y]);
    const trace = {
      x: own.map((row) => row.metrics[chosen.x][0]), y: own.map((row) => row.metrics[chosen.y][0]), mode: "markers",
      text: own.map((row) => plain(row.name, 300)), hoverinfo: "text+x+y", marker: { size: 9 },
    };
    return [[trace], { xaxis: { title: { text: plain(chosen.x) } }, yaxis: { title: { text: plain(chosen.y) } } }];
  });
}

function howTheyWereMade() {
  if (!runs.length) return;
  const lines = runs.map((run) => [run.name, run.folder, run.command,
    run.commit ? `${String(run.commit.commit).slice(0, 10)}${run.commit.dirty ? ", changed" : ""}` : null,
    [run.machine.gpu ?? run.machine.processor, run.machine.torch && `torch ${run.machine.torch}`].filter(Boolean).join(", "), run.tested]);
  const made = section("made", "How they were made");
  made.append(plainTable(["training", "folder", "command", "commit", "machine", "the figures test/..."], lines, []));
}

function theme() {
  const button = document.getElementById("theme");
  const names = ["as the system has it", "light", "dark"];
  let place = 0;
  const show = () => {
    if (place) document.documentElement.dataset.theme = names[place];
    else delete document.documentElement.dataset.theme;
    button.textContent = ["◐ auto", "○ light", "● dark"][place];
  };
  button.onclick = () => { place = (place + 1) % 3; show(); changed(); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  show();
}

document.getElementById("title").textContent = data.title;
document.getElementById("about").textContent = `${runs.length} trainings, ${data.tables.length} other measurements; made ${data.made} by ${data.command}`;
theme();
if (data.problems.length) {
  document.getElementById("main").append(el("div", { class: "problems" }, ...data.problems.map((problem) => el("p", {}, problem))));
}
trainingTable();
accuracyAgainstCost();
learningCurves();
perClass();
confusions();
sameImages();
settingsThatDiffer();
otherTables();
howTheyWereMade();
changed();
document.documentElement.dataset.ready = "true";
