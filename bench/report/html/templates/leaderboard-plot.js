"use strict";
// Accuracy against cost, a chart per table, made of the numbers in the table.
(() => {
  const { boards, rankings, listen, get, set, rowsOf, cell, metricOf } = leaderboard;
  const HEIGHT = 300;
  const SIDE = { left: 56, right: 16, top: 26, bottom: 40 };
  const LETTER = 6.4; // width of a letter of a label, about
  const names = Object.fromEntries([...document.getElementById("cost").options].map((each) => [each.value, each.text]));
  const UNITS = { seconds: "s", memory: "MiB" };

  function element(tag, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text) made.textContent = text;
    return made;
  }

  function pointsOf(board, cost) {
    const number = (row, column) => Number(cell(row, column).dataset.value ?? NaN);
    return rowsOf(board).filter((row) => !row.hidden).map((row) => ({
      row, cost: number(row, cost), score: number(row, metricOf(board)),
      name: row.querySelector(".name").textContent.trim(),
    })).filter((point) => point.cost >= 0 && !Number.isNaN(point.score));
  }

  // Those that no other point beats in cost and score.
  function best(points) {
    const found = [];
    for (const point of [...points].sort((a, b) => a.cost - b.cost || b.score - a.score)) {
      if (!found.length || point.score > found.at(-1).score) found.push(point);
    }
    return found;
  }

  // A logarithmic scale; costs of zero stand at its left end.
  function costScale(points, width) {
    const positive = points.map((point) => point.cost).filter((value) => value > 0);
    const zero = positive.length < points.length;
    const low = Math.floor(Math.log10(Math.min(...positive, positive.length ? Infinity : 1)) + 1e-9);
    const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...positive, 1e-9)) - 1e-9));
    const start = SIDE.left + 14 + (zero ? 40 : 0);
    const x = (value) => (value > 0
      ? start + ((Math.log10(value) - low) / (high - low)) * (width - SIDE.right - start) : SIDE.left + 14);
    const step = Math.ceil((high - low) / Math.max(2, width / 110));
    const ticks = zero ? [0] : [];
    for (let power = low; power <= high; power += step) ticks.push(10 ** power);
    return { x, ticks };
  }

  function scoreScale(points) {
    const scores = points.map((point) => point.score);
    const [low, high] = [Math.min(...scores), Math.max(...scores)];
    const rough = (high - low || Math.abs(high) || 1) / 4;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((each) => each * unit).find((each) => each >= rough);
    const bottom = Math.floor(low / step) * step;
    const top = Math.max(Math.ceil(high / step - 1e-9) * step, bottom + step);
    const y = (value) => HEIGHT - SIDE.bottom - ((value - bottom) / (top - bottom)) * (HEIGHT - SIDE.top - SIDE.bottom);
    const ticks = Array.from({ length: Math.round((top - bottom) / step) + 1 }, (_, place) => bottom + place * step);
    return { y, ticks, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  }

  // Names go where they meet no other name and no point; those without room are shown on pointing only.
  function labels(dots, width) {
    const taken = dots.map(({ x, y }) => [x - 5, y - 5, x + 5, y + 5]);
    const meets = (a) => taken.some((b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]);
    return dots.map(({ point, x, y }) => {
      const w = point.name.length * LETTER;
      const places = [[x + 9, y + 4, "start"], [x - 9, y + 4, "end"], [x, y - 9, "middle"], [x, y + 18, "middle"]];
      for (const [left, base, anchor] of places) {
        const begin = left - { start: 0, end: w, middle: w / 2 }[anchor];
        const box = [begin, base - 10, begin + w, base + 3];
        if (begin < SIDE.left || begin + w > width || base > HEIGHT - SIDE.bottom + 4 || base < 24 || meets(box)) continue;
        taken.push(box);
        return element("text", { x: left, y: base, "text-anchor": anchor }, point.name);
      }
      return null;
    });
  }

  const short = (value) => (value >= 1e4 ? value.toExponential(0).replace("e+", "e") : String(Number(value.toPrecision(3))));

  function axes(svg, costs, scores, width, title, board) {
    const base = HEIGHT - SIDE.bottom;
    for (const value of costs.ticks) {
      svg.append(element("line", { x1: costs.x(value), x2: costs.x(value), y1: SIDE.top, y2: base, class: "grid" }));
      svg.append(element("text", { x: costs.x(value), y: base + 16, "text-anchor": "middle", class: "tick" }, short(value)));
    }
    for (const value of scores.ticks) {
      svg.append(element("line", { x1: SIDE.left, x2: width - SIDE.right, y1: scores.y(value), y2: scores.y(value), class: "grid" }));
      const at = { x: SIDE.left - 6, y: scores.y(value) + 4, "text-anchor": "end", class: "tick" };
      svg.append(element("text", at, value.toFixed(scores.digits)));
    }
    svg.append(element("text", { x: width - SIDE.right, y: HEIGHT - 6, "text-anchor": "end", class: "axis" }, title));
    svg.append(element("text", { x: 4, y: 10, class: "axis" }, rankings[board.id][metricOf(board)].title));
  }

  function dot({ point, x, y }, title, board) {
    const id = `${board.id}:${point.row.dataset.row}`;
    const says = `${point.name}: ${point.score.toFixed(4)}, ${title} ${short(point.cost)}`;
    const selected = get("row") === id;
    const made = element("g", { tabindex: 0, role: "button", "aria-pressed": selected, "aria-label": says, "data-point": id });
    made.append(element("title", {}, says));
    made.append(element("circle", { cx: x, cy: y, r: selected ? 8 : 5, class: `dot ${point.row.dataset.family}` }));
    return made;
  }

  function draw(board) {
    const [figure, cost] = [board.querySelector(".plot"), get("cost") || "seconds"];
    const points = pointsOf(board, cost);
    figure.hidden = points.length < 2;
    if (figure.hidden) return;
    const width = Math.min(figure.clientWidth || 700, 760);
    const unit = UNITS[cost] ? `${names[cost]} (${UNITS[cost]})` : names[cost];
    const [costs, scores] = [costScale(points, width), scoreScale(points)];
    const svg = element("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "group" });
    svg.setAttribute("aria-label", `${board.querySelector("caption").textContent}: accuracy against ${names[cost]}`);
    axes(svg, costs, scores, width, unit, board);
    const line = best(points);
    const steps = line.map((point, place) => (
      place ? `H${costs.x(point.cost)}V${scores.y(point.score)}` : `M${costs.x(point.cost)} ${scores.y(point.score)}`));
    svg.append(element("path", { d: `${steps.join("")}H${width - SIDE.right}`, class: "pareto" }));
    // The best points get their names first.
    const dots = [...line].reverse().concat(points.filter((point) => !line.includes(point)))
      .map((point) => ({ point, x: costs.x(point.cost), y: scores.y(point.score) }));
    const named = labels(dots, width);
    dots.forEach((each, place) => {
      const group = dot(each, unit, board);
      if (named[place]) group.append(named[place]);
      svg.append(group);
    });
    const again = document.activeElement?.dataset?.point;
    figure.firstElementChild.replaceChildren(svg);
    if (again) svg.querySelector(`[data-point="${again}"]`)?.focus();
    const left = rowsOf(board).filter((row) => !row.hidden).length - points.length;
    figure.querySelector("figcaption").textContent = `Accuracy against ${names[cost]}. Dashed: the Pareto line; no model `
      + `shown is above it at a lower cost.${left ? ` ${left} without these numbers.` : ""} Click a point for its row.`;
  }

  function select(event) {
    const point = event.target.closest?.("[data-point]");
    if (!point) return;
    event.preventDefault();
    set({ row: point.dataset.point });
    document.querySelector("tr.selected")?.scrollIntoView({ block: "center" });
  }

  document.addEventListener("click", select);
  document.addEventListener("keydown", (event) => { if (["Enter", " "].includes(event.key)) select(event); });
  const all = () => boards.forEach(draw);
  listen(["data", "split", "source", "protocol", "search", "kind", "rank", "cost", "row"], all);
  window.addEventListener("resize", all);
})();
