"use strict";
// Draws the figures and shows the answers of a report. Model text is only ever put into the page as text, never as HTML.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const [alphas, betas] = data.axes.map((axis) => axis.values);
  const symbols = data.axes.map((axis) => axis.symbol);
  const gridSize = alphas.length * (betas ? betas.length : 1);
  const element = (id) => document.getElementById(id);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const number = (value, digits = 1) => (value === null ? "not known" : value.toFixed(digits));
  const withUnit = (value, unit) => `${number(value, { "%": 1, "": 2 }[unit] ?? 3)}${unit && value !== null ? ` ${unit}` : ""}`;
  // plotly reads its texts as a little HTML, and names of checkpoints are given by users.
  const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const coordinate = (value) => String(value).replace("-", "−");

  // A place on the grid is one number: (draw * alphas + i) * betas + j, as arrays are flattened in C order.
  const flat = (draw, i, j = 0) => draw * gridSize + (betas ? i * betas.length + j : i);
  const where = (g) => (betas ? [alphas[Math.floor(g / betas.length)], betas[g % betas.length]] : [alphas[g]]);
  const placeText = (g) => where(g).map((value, axis) => `${symbols[axis]} = ${coordinate(value)}`).join(", ");
  const origin = Array.from({ length: gridSize }, (_, g) => g).find((g) => where(g).every((value) => value === 0));

  // ---- figures ------------------------------------------------------------------------------------------------------

  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "star"];
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const DECADES = [0, 1, 2, 3, 4, 5, 6].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));
  const CONFIG = { displaylogo: false, responsive: true, showSendToCloud: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };

  function frame(extra = {}) {
    const axis = { gridcolor: colour("rule"), linecolor: colour("edge"), zeroline: false, automargin: true, tickfont: { size: 12 } };
    const titled = ({ title, ...rest } = {}) => ({ ...axis, ...rest, title: { standoff: 8, font: { size: 13 }, ...title } });
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", showlegend: true,
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("ink") },
      hoverlabel: { bgcolor: colour("sheet"), bordercolor: colour("edge"), font: { color: colour("ink") } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("soft"), activecolor: colour("ink") },
      margin: { l: 8, r: 12, t: 36, b: 8 },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12 } },
      ...extra,
      xaxis: titled({ title: { text: plain(data.axes[0].title) }, ...extra.xaxis }),
      yaxis: titled(extra.yaxis),
      ...(extra.yaxis2 ? { yaxis2: titled(extra.yaxis2) } : {}),
      ...(extra.yaxis3 ? { yaxis3: titled(extra.yaxis3) } : {}),
    };
  }

  function valueAxis(benchmark) {
    const title = { text: benchmark.unit ? `${benchmark.label} (${benchmark.unit})` : benchmark.label };
    if (benchmark.unit === "%") return { title, range: [-4, 104], dtick: 20 };
    return benchmark.unit === "" ? { title, type: "log" } : { title, rangemode: "tozero" };
  }

  function hover(benchmark, g, value, draw) {
    const of = draw === null ? "" : benchmark.counts[draw * gridSize + g];
    const whose = draw === null ? (data.draws > 1 ? "mean over draws" : "") : data.draws > 1 ? data.names[draw] : "";
    return [`${placeText(g)}`, `${benchmark.label} ${withUnit(value, benchmark.unit)}${of ? ` (${of})` : ""}`, whose]
      .filter(Boolean).join("<br>");
  }

  function curve(benchmark) {
    const traces = [];
    const points = (values, draw) => ({
      x: alphas, y: values, customdata: values.map((_, g) => [draw ?? 0, g]),
      text: values.map((value, g) => hover(benchmark, g, value, draw)), hoverinfo: "text",
    });
    if (benchmark.low) {
      const edge = { x: alphas, mode: "lines", line: { width: 0 }, hoverinfo: "skip", legendgroup: "band" };
      traces.push({ ...edge, y: benchmark.low, showlegend: false });
      traces.push({ ...edge, y: benchmark.high, fill: "tonexty", fillcolor: colour("band"), name: "95 % interval" });
    }
    if (data.draws > 1) {
      for (let draw = 0; draw < data.draws; draw += 1) {
        const values = benchmark.values.slice(draw * gridSize, (draw + 1) * gridSize);
        traces.push({
          ...points(values, draw), mode: "lines+markers", name: "each draw", legendgroup: "draws", showlegend: draw === 0,
          line: { color: colour("draw"), width: 1 }, marker: { size: 5, color: colour("draw") },
        });
      }
    }
    traces.push({
      ...points(benchmark.mean, data.draws > 1 ? null : 0), mode: "lines+markers",
      name: data.draws > 1 ? "mean" : benchmark.label, line: { color: colour("mean"), width: 2.5 },
      marker: { size: 7, color: colour("mean") },
    });
    if (benchmark.unbroken) {
      traces.push({
        x: alphas, y: benchmark.unbroken, mode: "lines", name: "without broken output", line: { color: colour("mean"), width: 1.5, dash: "dot" },
        text: benchmark.unbroken.map((value, g) => `${placeText(g)}<br>answered in language ${withUnit(value, "%")}`), hoverinfo: "text",
      });
    }
    traces.push(...crosses(benchmark.mean));
    traces.push(...marks((at) => ({ y: at === null ? [benchmark.origin] : [nearest(benchmark, at)] })));
    const shapes = [vertical(0)];
    if (benchmark.basin) shapes.push(threshold(benchmark.basin));
    return [traces, frame({ yaxis: valueAxis(benchmark), shapes, annotations: benchmark.basin ? [basinText(benchmark.basin)] : [] })];
  }

  const vertical = (x) => ({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, layer: "between", line: { color: colour("origin"), width: 1, dash: "dash" } });

  const threshold = (basin) => ({
    type: "line", xref: "paper", x0: 0, x1: 1, y0: basin.threshold, y1: basin.threshold, layer: "between",
    line: { color: colour("soft"), width: 1, dash: "dot" },
  });

  const basinText = (basin) => ({
    xref: "paper", x: 0.5, y: basin.threshold, yanchor: "bottom", showarrow: false, text: basin.text, font: { size: 12, color: colour("soft") },
  });

  // What is missing is marked at the bottom of a curve and in its cell on a plane.
  function crosses(values) {
    const missing = values.map((value, g) => [value, g]).filter(([value]) => value === null).map(([, g]) => g);
    if (!missing.length) return [];
    const marker = { symbol: "x-thin", size: 8, line: { width: 1.5, color: betas ? colour("soft") : colour("ink") } };
    const places = betas ? { x: missing.map((g) => where(g)[0]), y: missing.map((g) => where(g)[1]) } : { x: missing.map((g) => alphas[g]), y: missing.map(() => 0) };
    return [{ ...places, mode: "markers", marker, name: "missing", hoverinfo: "text", text: missing.map((g) => `${placeText(g)}<br>missing`) }];
  }

  // The origin, and the checkpoints that lie on or near the grid.
  function marks(height) {
    const list = origin === undefined && betas ? [] : [{ name: "origin", at: [0, 0], origin: true }];
    return [...list, ...data.marks].map((mark, n) => ({
      x: [mark.at[0]], y: [mark.at[1] ?? 0], ...height(mark.origin ? null : mark.at), mode: mark.origin ? "markers" : "markers+text",
      name: plain(mark.name), text: [plain(mark.name)], textposition: "top center", showlegend: Boolean(mark.origin),
      hoverinfo: "text", hovertext: [plain(mark.text ?? "origin: the unperturbed model")], cliponaxis: false,
      textfont: { color: betas ? "#ffffff" : colour("ink"), shadow: betas ? "0 0 3px #000, 0 0 3px #000" : "none" },
      ...(mark.origin && origin !== undefined ? { customdata: [[0, origin]] } : {}),
      marker: { symbol: mark.origin ? "diamond" : SYMBOLS[(n + 2) % SYMBOLS.length], size: 11, color: mark.origin ? colour("origin") : colour("mark"), line: { color: colour("sheet"), width: 1.5 } },
    }));
  }

  function nearest(benchmark, at) {
    const distances = alphas.map((alpha) => Math.abs(alpha - at[0]));
    return benchmark.mean[distances.indexOf(Math.min(...distances))];
  }

  const shownDraw = (benchmark) => {
    const select = document.querySelector(`select.draw[data-benchmark="${data.benchmarks.indexOf(benchmark)}"]`);
    return select && select.value !== "" ? Number(select.value) : null;
  };
  const flatValues = (benchmark, draw) => (draw === null ? benchmark.mean : benchmark.values.slice(draw * gridSize, (draw + 1) * gridSize));
  // Rows of a picture are beta.
  const rows = (values) => betas.map((_, j) => alphas.map((__, i) => values[i * betas.length + j]));

  function plane(benchmark, extra) {
    const draw = shownDraw(benchmark);
    const values = flatValues(benchmark, draw);
    const logarithmic = benchmark.unit === "";
    const heights = logarithmic ? values.map((value) => (value === null ? null : Math.log10(value))) : values;
    const scale = benchmark.unit === "%" ? { zmin: 0, zmax: 100 } : {};
    const ticks = !logarithmic ? {} : { tickvals: DECADES.map(Math.log10), ticktext: DECADES.map(String) };
    const places = values.map((_, g) => [draw ?? 0, g]);
    return [heights, {
      x: alphas, y: betas, z: rows(heights), colorscale: "Cividis", reversescale: benchmark.better === "higher", ...scale,
      customdata: rows(places), text: rows(values.map((value, g) => hover(benchmark, g, value, draw ?? (data.draws > 1 ? null : 0)))), hoverinfo: "text",
      colorbar: { title: { text: benchmark.unit ? `${benchmark.label} (${benchmark.unit})` : benchmark.label, side: "right", font: { size: 13 } }, thickness: 12, outlinewidth: 0, len: 0.9, ...ticks },
      ...extra,
    }];
  }

  function planeFrame(title) {
    const span = (values) => values[values.length - 1] - values[0];
    const alike = Math.max(span(alphas), span(betas)) <= 2.5 * Math.min(span(alphas), span(betas));
    return frame({
      title: { text: title, font: { size: 13, color: colour("soft") }, x: 0, xref: "paper", y: 1, yref: "paper", yanchor: "bottom", pad: { b: 8 } },
      showlegend: false, plot_bgcolor: colour("missing"),
      xaxis: { showgrid: false, constrain: "domain" },
      yaxis: { showgrid: false, title: { text: plain(data.axes[1].title) }, constrain: "domain", ...(alike ? { scaleanchor: "x" } : {}) },
    });
  }

  function contour(benchmark) {
    const levels = benchmark.unit === "%" ? { autocontour: false, contours: { start: 10, end: 90, size: 10 } } : {};
    const [values, trace] = plane(benchmark, { type: "contour", connectgaps: false, line: { width: 0.5, color: "rgba(255,255,255,0.5)" }, ...levels });
    return [[trace, ...crosses(values), ...marks(() => ({}))], planeFrame("filled contours")];
  }

  function heatmap(benchmark) {
    const [values, trace] = plane(benchmark, { type: "heatmap", xgap: 1, ygap: 1, hoverongaps: false });
    return [[trace, ...crosses(values), ...marks(() => ({}))], planeFrame("grid points")];
  }

  function surface(benchmark) {
    const [values, trace] = plane(benchmark, { type: "surface", connectgaps: false });
    const { zmin, zmax, ...rest } = trace;
    const axis = { gridcolor: colour("rule"), color: colour("ink"), backgroundcolor: "rgba(0,0,0,0)" };
    const dot = values[origin] === undefined || values[origin] === null ? [] : [{
      type: "scatter3d", mode: "markers", x: [0], y: [0], z: [values[origin]], name: "origin", hoverinfo: "text", text: ["origin"],
      marker: { size: 5, symbol: "diamond", color: colour("origin") },
    }];
    return [[{ ...rest, cmin: zmin, cmax: zmax }, ...dot], frame({
      title: { text: "surface: drag to turn", font: { size: 13, color: colour("soft") }, x: 0, xref: "paper" },
      showlegend: false, margin: { l: 0, r: 0, t: 28, b: 0 },
      scene: {
        xaxis: { ...axis, title: { text: symbols[0] } }, yaxis: { ...axis, title: { text: symbols[1] } },
        zaxis: { ...axis, title: { text: benchmark.label }, ...(benchmark.unit === "%" ? { range: [0, 100] } : { tickvals: trace.colorbar.tickvals, ticktext: trace.colorbar.ticktext }) },
        camera: { eye: { x: 1.4, y: -1.5, z: 0.9 } },
      },
    })];
  }

  const series = (n) => ({ color: colour("series").split(" ")[n % 6], dash: DASHES[n % 6], symbol: SYMBOLS[n % 6] });

  function overview() {
    if (betas) return overviewOfPlanes();
    // Percentages above, perplexity below them, nats last: each kind that there is has an axis of its own.
    const [bounded, free, nats] = ["%", "", "nats"].map((unit) => data.benchmarks.some((benchmark) => benchmark.unit === unit));
    const domains = [[[0, 1]], [[0.4, 1], [0, 0.32]], [[0.6, 1], [0.3, 0.52], [0, 0.22]]][[bounded, free, nats].filter(Boolean).length - 1];
    const [ofRates, ofTexts, ofNats] = [bounded, free, nats].map((there) => (there ? domains.shift() : [0, 1]));
    const traces = data.benchmarks.map((benchmark, n) => {
      const { color, dash, symbol } = series(n);
      return {
        x: alphas, y: benchmark.mean, mode: "lines+markers", name: `${benchmark.name}: ${benchmark.label}`,
        yaxis: { "%": "y", "": "y2", nats: "y3" }[benchmark.unit], line: { color, dash, width: 2.2 }, marker: { color, symbol, size: 7 },
        customdata: benchmark.mean.map((_, g) => [0, g, n]), hoverinfo: "text",
        text: benchmark.mean.map((value, g) => `${benchmark.name}<br>${hover(benchmark, g, value, data.draws > 1 ? null : 0)}`),
      };
    });
    return [traces, frame({
      shapes: [vertical(0)],
      yaxis: { title: { text: "share of prompts (%)" }, range: [-4, 104], dtick: 20, domain: ofRates, visible: bounded },
      ...(free ? { yaxis2: { title: { text: "perplexity" }, type: "log", domain: ofTexts, anchor: "x" } } : {}),
      ...(nats ? { yaxis3: { title: { text: "KL (nats)" }, rangemode: "tozero", domain: ofNats, anchor: "x" } } : {}),
      xaxis: { anchor: nats ? "y3" : free ? "y2" : "y" },
    })];
  }

  function overviewOfPlanes() {
    const num = data.benchmarks.length;
    const columns = innerWidth < 700 ? 1 : Math.min(num, 3);
    const traces = [];
    const layout = { grid: { rows: Math.ceil(num / columns), columns, pattern: "independent", ygap: 0.3 }, annotations: [] };
    const base = planeFrame("");
    data.benchmarks.forEach((benchmark, n) => {
      const id = n ? String(n + 1) : "";
      const [, trace] = plane(benchmark, { type: "heatmap", hoverongaps: false, showscale: false });
      traces.push({ ...trace, xaxis: `x${id}`, yaxis: `y${id}`, customdata: trace.customdata.map((row) => row.map((place) => [...place, n])) });
      layout[`xaxis${id}`] = { ...base.xaxis, title: undefined };
      layout[`yaxis${id}`] = { ...base.yaxis, title: undefined, scaleanchor: base.yaxis.scaleanchor && `x${id}` };
      layout.annotations.push({ text: `${benchmark.name}: ${benchmark.label}`, xref: `x${id} domain`, yref: `y${id} domain`, x: 0.5, y: 1.02, yanchor: "bottom", showarrow: false });
    });
    return [traces, { ...base, ...layout }];
  }

  function diagnosis(benchmark) {
    const atGrid = (values) => Array.from({ length: gridSize }, (_, g) => {
      const found = Array.from({ length: data.draws }, (__, draw) => values[data.place[draw * gridSize + g]]).filter((value) => value !== null);
      return found.length ? found.reduce((sum, value) => sum + value, 0) / found.length : null;
    });
    const tokens = atGrid(benchmark.tokens);
    if (betas) {
      const customdata = rows(tokens.map((_, g) => [0, g]));
      const text = rows(tokens.map((value, g) => `${placeText(g)}<br>${number(value)} tokens`));
      const trace = { type: "heatmap", x: alphas, y: betas, z: rows(tokens), colorscale: "Cividis", text, hoverinfo: "text", customdata, hoverongaps: false, colorbar: { title: { text: "tokens", side: "right" }, thickness: 12, outlinewidth: 0 } };
      return [[trace], planeFrame("mean length of answers")];
    }
    const share = (values) => values.map((value) => (value === null ? null : 100 * value));
    const lines = [["length", tokens, "y", "tokens"], ["cut off at the limit", share(atGrid(benchmark.cutOff)), "y2", "%"]];
    if (benchmark.broken) lines.push(["broken", benchmark.broken, "y2", "%"]);
    const traces = lines.map(([name, y, yaxis, unit], n) => {
      const { color, dash, symbol } = series(n);
      return {
        x: alphas, y, yaxis, name, mode: "lines+markers", line: { color, dash, width: 2 }, marker: { color, symbol, size: 6 }, hoverinfo: "text",
        customdata: y.map((_, g) => [0, g]), text: y.map((value, g) => `${placeText(g)}<br>${name}: ${number(value)} ${unit}`),
      };
    });
    return [traces, frame({
      shapes: [vertical(0)], yaxis: { title: { text: "tokens" }, rangemode: "tozero" },
      yaxis2: { title: { text: "answers (%)" }, overlaying: "y", side: "right", range: [-4, 104], dtick: 20, showgrid: false },
    })];
  }

  const PICTURES = { curve, contour, heatmap, surface, overview, diagnosis };

  function draw(box) {
    const benchmark = data.benchmarks[Number(box.dataset.benchmark ?? 0)];
    const [traces, layout] = PICTURES[box.dataset.plot](benchmark);
    const first = !box.classList.contains("js-plotly-plot");
    Plotly.react(box, traces, layout, CONFIG);
    if (first) box.on("plotly_click", (event) => clicked(box, event.points[0]));
  }

  function clicked(box, point) {
    let place = point.customdata;
    if (point.data.type === "surface") {
      const [row, column] = point.pointNumber;
      place = point.data.customdata[row][column];
    }
    if (place) openPoint(place[2] ?? Number(box.dataset.benchmark ?? 0), place[0], place[1]);
  }

  // Only what is near the window is drawn, and a surface is dropped when it leaves: browsers hold few WebGL contexts.
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) draw(target);
      else if (target.dataset.plot === "surface" && target.classList.contains("js-plotly-plot")) Plotly.purge(target);
    }
  }, { rootMargin: "300px" });
  const boxes = [...document.querySelectorAll("[data-plot]")];
  boxes.forEach((box) => watcher.observe(box));
  const redraw = (chosen) => boxes.filter((box) => box.classList.contains("js-plotly-plot") && chosen(box)).forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw(() => true));
  document.querySelectorAll("select.draw").forEach((select) => {
    select.addEventListener("change", () => redraw((box) => box.dataset.benchmark === select.dataset.benchmark));
  });

  // ---- numbers ------------------------------------------------------------------------------------------------------

  function append(parent, tag, text, className) {
    const child = parent.appendChild(document.createElement(tag));
    if (text !== undefined) child.textContent = text;
    if (className) child.className = className;
    return child;
  }

  document.querySelectorAll("details.numbers").forEach((details) => {
    details.addEventListener("toggle", () => {
      const box = details.querySelector(".scroll");
      if (!details.open || box.firstChild) return;
      const benchmark = data.benchmarks[Number(details.dataset.benchmark)];
      const table = append(box, "table");
      const head = append(append(table, "thead"), "tr");
      const draws = data.names.slice(0, 20);
      const names = [...symbols, data.draws > 1 ? "mean" : benchmark.label, "95 % interval", ...(data.draws > 1 ? draws : [])];
      names.forEach((name) => { append(head, "th", name).scope = "col"; });
      const body = append(table, "tbody");
      for (let g = 0; g < Math.min(gridSize, 2000); g += 1) {
        const row = append(body, "tr");
        where(g).forEach((value) => append(row, "td", coordinate(value)));
        const shown = (value) => (value === null ? "missing" : withUnit(value, benchmark.unit));
        append(row, "td", shown(benchmark.mean[g]));
        append(row, "td", benchmark.low && benchmark.low[g] !== null ? `${number(benchmark.low[g])} to ${number(benchmark.high[g])}` : "");
        if (data.draws > 1) draws.forEach((_, draw) => append(row, "td", shown(benchmark.values[draw * gridSize + g])));
      }
    });
  });

  // ---- prompts and answers ------------------------------------------------------------------------------------------

  const dialog = element("point");
  let shown = null;
  let revealed = false;

  async function unpack(id) {
    const block = element(id);
    if (!block) return null;
    const bytes = Uint8Array.from(atob(block.textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }

  function openPoint(benchmark, drawNumber, g) {
    shown = { benchmark, draw: drawNumber, g };
    element("verdict").value = "";
    if (!dialog.open) dialog.showModal();
    show();
  }

  function step(axis, by) {
    const index = betas ? [Math.floor(shown.g / betas.length), shown.g % betas.length] : [shown.g];
    index[axis] += by;
    const size = [alphas, betas][axis].length;
    return index[axis] < 0 || index[axis] >= size ? null : flat(0, ...index);
  }

  function showSteps() {
    const box = element("steps");
    box.replaceChildren();
    symbols.forEach((symbol, axis) => {
      const group = append(box, "span");
      [[-1, "←", "smaller"], [1, "→", "larger"]].forEach(([by, arrow, word]) => {
        const next = step(axis, by);
        const button = append(group, "button", arrow);
        button.type = "button";
        button.setAttribute("aria-label", `${word} ${symbol}`);
        button.disabled = next === null;
        button.addEventListener("click", () => {
          shown.g = next;
          show();
          const again = box.querySelector(`[aria-label="${word} ${symbol}"]`);
          (again.disabled ? element("close") : again).focus();
        });
        if (by === -1) append(group, "span", symbol);
      });
    });
  }

  function show() {
    const benchmark = data.benchmarks[shown.benchmark];
    const k = shown.draw * gridSize + shown.g;
    const place = data.place[k];
    const value = benchmark.values[k];
    element("point-benchmark").textContent = benchmark.name;
    element("point-title").textContent = shown.g === origin ? `${placeText(shown.g)}: the unperturbed model` : placeText(shown.g);
    element("point-draw-label").hidden = data.draws === 1 || shown.g === origin;
    element("point-draw").value = String(shown.draw);
    const measured = benchmark.tokens[place] !== null;
    const facts = [`${benchmark.label} ${withUnit(value, benchmark.unit)}${benchmark.counts[k] ? ` (${benchmark.counts[k]})` : ""}`];
    const thinking = benchmark.thinking[place] === null ? "" : `, ${number(benchmark.thinking[place])} of them thinking`;
    if (measured) facts.push(`${number(benchmark.tokens[place])} tokens per ${benchmark.answered ? "answer" : "text"}${thinking}`);
    if (measured && benchmark.answered) facts.push(`${number(100 * benchmark.cutOff[place])} % cut off at the limit`);
    element("point-facts").textContent = measured ? facts.join(" · ") : "This point was not measured.";
    showSteps();
    element("gate").hidden = revealed;
    element("texts").hidden = !revealed;
    element("texts").replaceChildren();
    if (revealed) showTexts(shown.benchmark, place).catch((error) => { append(element("texts"), "li", String(error)); });
  }

  async function showTexts(number_, place) {
    const asked = shown;
    const [prompts, answers] = await Promise.all([unpack(`prompts-${number_}`), unpack(`answers-${number_}-${place}`)]);
    if (asked !== shown || place !== data.place[shown.draw * gridSize + shown.g]) return; // another point was opened meanwhile
    const list = element("texts");
    list.replaceChildren();
    if (!answers) {
      append(list, "li", data.benchmarks[number_].tokens[place] === null ? "Nothing was measured here." : "The answers of this point did not fit into this file; `landscape-ray export` writes all of them.");
      return;
    }
    const select = element("verdict");
    const wanted = select.value;
    const counts = new Map();
    answers.forEach(([, verdict]) => counts.set(verdict, (counts.get(verdict) ?? 0) + 1));
    select.replaceChildren();
    append(select, "option", `all (${answers.length})`).value = "";
    [...counts].sort().forEach(([verdict, count]) => { append(select, "option", `${verdict} (${count})`).value = verdict; });
    select.value = counts.has(wanted) ? wanted : "";
    answers.forEach(([text, verdict, tokens, reason, thinking, thought], n) => {
      if (select.value && verdict !== select.value) return;
      const item = append(list, "li");
      const meta = append(item, "p", undefined, "meta");
      append(meta, "span", verdict, `badge ${/^[a-z]+$/.test(verdict) ? verdict : ""}`);
      append(meta, "span", `prompt ${prompts[n][1]}`);
      append(meta, "span", `${tokens} tokens${reason === "stop" ? "" : `, ${reason}`}`);
      if (prompts[n][3] !== undefined) append(meta, "span", "begun with a prefill");
      append(item, "p", prompts[n][2], "prompt").dir = "auto";
      if (thought !== undefined) {
        const box = append(item, "details", undefined, "thinking");
        append(box, "summary", `thinking (${thought} of the tokens)`);
        append(box, "p", thinking === "" ? "(empty)" : thinking).dir = "auto";
      }
      const answer = append(item, "p", undefined, "answer");
      if (prompts[n][3] !== undefined) append(answer, "span", prompts[n][3], "prefill").title = "The answer was begun with this.";
      append(answer, "span", text === "" ? "(empty)" : text);
      answer.dir = "auto";
      answer.tabIndex = 0;
    });
  }

  element("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  element("reveal").addEventListener("click", () => { revealed = true; show(); element("verdict").focus(); });
  element("verdict").addEventListener("change", show);
  element("point-draw").addEventListener("change", (event) => { shown.draw = Number(event.target.value); show(); });
  document.querySelectorAll("button.cell").forEach((cell) => {
    cell.addEventListener("click", () => openPoint(Number(cell.dataset.benchmark), Number(cell.dataset.draw), Number(cell.dataset.place)));
  });
  element("chooser").addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = new FormData(event.target);
    const index = symbols.map((_, axis) => Number(chosen.get(`axis${axis}`)));
    openPoint(Number(chosen.get("benchmark")), Number(chosen.get("draw") ?? 0), flat(0, ...index));
  });
})();
