"use strict";
// Plots by Plotly, which is part of the page. They are drawn when they come into view.

const COLORS = ["#4c78c8", "#e0813b", "#3f9e6c", "#c2557d", "#8a6fc9", "#b59b2c", "#35a0ab", "#a0694b", "#7d8894", "#d4685c"];
const color = (place) => COLORS[place % COLORS.length];
const css = (name) => resolved(getComputedStyle(document.documentElement).getPropertyValue(name));

/** A colour of the style sheet as the browser computes it: Plotly does not know light-dark(). */
function resolved(value) {
  const probe = el("span");
  probe.style.color = value.trim();
  document.body.append(probe);
  const computed = getComputedStyle(probe).color;
  probe.remove();
  return computed;
}

/** Names for plots, whose library reads a few tags: an angle bracket stays one. */
const plain = (text, length = 60) => cut(String(text), length).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function layout(more) {
  const axis = { gridcolor: css("--line"), linecolor: css("--line"), zerolinecolor: css("--line"), automargin: true };
  const { xaxis, yaxis, ...others } = more;
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: css("--ink"), family: "system-ui, sans-serif", size: 12 },
    margin: { l: 60, r: 20, t: 16, b: 50 }, colorway: COLORS, hovermode: "closest",
    hoverlabel: { bgcolor: css("--raised"), bordercolor: css("--line"), font: { color: css("--ink") } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--quiet"), activecolor: css("--accent") },
    legend: { bgcolor: "rgba(0,0,0,0)", orientation: "h", y: -0.18, yanchor: "top" },
    ...others, xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis },
  };
}

/** The library, run when the first plot comes into view: the tables need not wait for it. */
function library() {
  if (!window.Plotly) document.head.append(el("script", { textContent: document.getElementById("plotly").textContent }));
  return window.Plotly;
}

/** A plot that `describe` gives as [traces, layout]; again whenever something is chosen. */
function plot(parent, describe, properties = {}) {
  const place = el("div", { class: "plot", ...properties });
  parent.append(place);
  let seen = false, due = true;
  const draw = () => {
    due = true;
    if (!seen) return;
    due = false;
    const [traces, more] = describe();
    place.style.height = `${more.height ?? 430}px`;
    library().react(place, traces, layout(more), { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
  };
  new IntersectionObserver((entries) => {
    seen = entries.some((entry) => entry.isIntersecting);
    if (seen && due) draw();
  }, { rootMargin: "300px" }).observe(place);
  onChange(draw);
  return draw;
}

/** Indices of the points that none beats: no cheaper one is as good. */
function front(points, higher) {
  const sign = higher ? 1 : -1;
  const order = points.map((_, place) => place).sort((a, b) => points[a].x - points[b].x || sign * (points[b].y - points[a].y));
  let best = -Infinity;
  return order.filter((place) => {
    const better = sign * points[place].y > best;
    if (better) best = sign * points[place].y;
    return better;
  });
}

function accuracyAgainstCost() {
  const filled = (place) => rows().some((row) => typeof row.values[place] === "number");
  const costs = columns.map((column, place) => [place, column]).filter(([place, column]) => column.kind === "lower" && place !== headline && filled(place));
  const qualities = columns.map((column, place) => [place, column]).filter(([place, column]) => (column.kind === "higher" || place === headline) && filled(place));
  if (!costs.length || !qualities.length) return;
  const known = (place) => rows().filter((row) => typeof row.values[place] === "number").length;
  const most = Math.max(...costs.map(([place]) => known(place)));
  const complete = costs.filter(([place]) => known(place) === most);
  const timed = complete.find(([, column]) => column.key.startsWith("ms:")) ?? complete.find(([, column]) => column.key.startsWith("gmacs")) ?? complete[0];
  const chosen = { x: timed[0], y: headline >= 0 ? headline : qualities[0][0], by: -1 };
  const texts = columns.map((column, place) => [place, column]).filter(([, column]) => column.kind === "text" || column.kind === "setting")
    .filter(([place, column]) => column.key !== "name" && new Set(runs.map((run) => run.values[place])).size > 1);
  const labels = (list) => list.map(([place, column]) => [place, column.label]);
  const made = section("cost", "Accuracy against cost", el("div", { class: "controls" },
    choice("cost", labels(costs), chosen.x, (value) => { chosen.x = Number(value); draw(); }),
    choice("accuracy", labels(qualities), chosen.y, (value) => { chosen.y = Number(value); draw(); }),
    texts.length ? choice("colour by", [[-1, "nothing"], ...labels(texts)], chosen.by, (value) => { chosen.by = Number(value); draw(); }) : null),
  el("p", { class: "quiet" }, "Of the rows that the filter above lets through. The line joins those that no other beats in both."));
  const draw = plot(made, () => costPlot(chosen), { id: "cost-plot" });
}

function costPlot(chosen) {
  const [x, y] = [columns[chosen.x], columns[chosen.y]];
  const points = visible().filter((row) => typeof row.values[chosen.x] === "number" && typeof row.values[chosen.y] === "number")
    .map((row) => ({ row, x: row.values[chosen.x] * x.scale, y: row.values[chosen.y] * y.scale, error: (row.spreads[chosen.y] ?? 0) * y.scale }));
  const groups = new Map();
  for (const point of points) {
    const name = chosen.by < 0 ? "" : String(point.row.values[chosen.by] ?? "–");
    groups.set(name, [...(groups.get(name) ?? []), point]);
  }
  // Of several data sets, accuracies say nothing of each other.
  const comparable = points.every((point) => sameData(point.row.members[0], points[0].row.members[0]));
  const best = comparable ? front(points, higherIsBetter(y)).map((place) => points[place]) : [];
  const line = {
    x: best.map((p) => p.x), y: best.map((p) => p.y), mode: "lines", name: "not beaten", hoverinfo: "skip",
    line: { color: css("--quiet"), dash: "dot", shape: "hv", width: 1.5 },
  };
  const labelled = points.length <= 16;
  const traces = [...groups].map(([name, own], place) => ({
    x: own.map((p) => p.x), y: own.map((p) => p.y), name: plain(name || "trainings"),
    mode: labelled ? "markers+text" : "markers", textposition: "top center", textfont: { size: 10, color: css("--quiet") },
    text: own.map((p) => plain(p.row.name, 28)), hovertext: own.map((p) => plain(p.row.name, 300)), hoverinfo: "text+x+y",
    error_y: { array: own.map((p) => p.error), visible: own.some((p) => p.error > 0), thickness: 1 },
    marker: { size: own.map((p) => (p.row.members.includes(state.baseline) ? 13 : 9)), color: color(place),
      symbol: own.map((p) => (p.row.members.includes(state.baseline) ? "diamond" : "circle")) },
  }));
  return [[line, ...traces], { xaxis: { title: { text: plain(x.label) } }, yaxis: { title: { text: plain(y.label) } }, showlegend: chosen.by >= 0 }];
}

function learningCurves() {
  const metrics = Object.keys(data.curves);
  if (!metrics.length) return;
  const chosen = { metric: metrics[0], each: !several };
  const made = section("curves", "Learning curves", el("div", { class: "controls" },
    choice("metric", metrics.map((metric) => [metric, metric]), chosen.metric, (value) => { chosen.metric = value; draw(); }),
    several ? tick("each training", chosen.each, (on) => { chosen.each = on; draw(); }) : null),
  el("p", { class: "quiet" }, several ? "Of the trainings that are compared; means over seeds, and one standard deviation about them." : "Of the trainings that are compared."));
  const draw = plot(made, () => curvePlot(chosen), { id: "curve-plot" });
}

function curvePlot(chosen) {
  const own = data.curves[chosen.metric];
  const places = compared(60).filter((place) => own[place]);
  const more = { xaxis: { title: { text: "iteration" } }, yaxis: { title: { text: plain(chosen.metric) } } };
  if (chosen.each) {
    const traces = places.map((place, n) => ({
      x: own[place][0], y: own[place][1], name: plain(runs[place].name, 50), line: { color: color(n), width: 1.6 },
      mode: own[place][0].length < 12 ? "lines+markers" : "lines",
    }));
    return [traces, more];
  }
  const settings = data.settings.map((setting) => ({ name: setting.name, members: setting.members.filter((place) => places.includes(place)) }));
  return [settings.filter((setting) => setting.members.length).flatMap((setting, n) => withSpread(setting, own, color(n))), more];
}

/** A setting's mean as a line, within one standard deviation as a band. */
function withSpread(setting, own, shade) {
  const at = new Map();
  for (const place of setting.members) {
    own[place][0].forEach((step, n) => at.set(step, [...(at.get(step) ?? []), own[place][1][n]]));
  }
  // Where a training ended early, the mean of the others is no mean of the setting.
  const all = [...at.keys()].filter((step) => at.get(step).length === setting.members.length);
  const steps = (all.length ? all : [...at.keys()]).sort((a, b) => a - b);
  const means = steps.map((step) => at.get(step).reduce((sum, value) => sum + value, 0) / at.get(step).length);
  const deviations = steps.map((step, n) => {
    const values = at.get(step);
    return values.length < 2 ? 0 : Math.sqrt(values.reduce((sum, value) => sum + (value - means[n]) ** 2, 0) / (values.length - 1));
  });
  const line = { x: steps, y: means, name: plain(setting.name, 50), mode: steps.length < 12 ? "lines+markers" : "lines", line: { color: shade, width: 1.8 } };
  if (setting.members.length < 2) return [line];
  const band = {
    x: [...steps, ...steps.slice().reverse()],
    y: [...means.map((mean, n) => mean + deviations[n]), ...means.map((mean, n) => mean - deviations[n]).reverse()],
    mode: "lines", fill: "toself", fillcolor: `${shade}33`, line: { width: 0 }, hoverinfo: "skip", showlegend: false,
  };
  return [band, line];
}
