"use strict";
// Two rows of a table, user by user.
(() => {
  const RESAMPLES = 2000;
  const ROUNDING = 1; // unit: of each score, which is rounded to one
  const users = JSON.parse(document.getElementById("users").textContent);
  const result = document.getElementById("compare-result");
  if (!result) return;
  const [table, one, other, metric] = ["table", "one", "other", "metric"].map((name) => {
    return document.getElementById(`compare-${name}`);
  });

  function fill(select, options, chosen) {
    select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
    select.value = chosen;
  }

  // Decode the scores once: integers in multiples of `unit`, by metric, row and user.
  function unpacked(board) {
    if (!board.promise) {
      const bytes = Uint8Array.from(atob(board.scores), (letter) => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
      board.promise = new Response(stream).arrayBuffer().then((buffer) => {
        const view = new DataView(buffer);
        return Uint32Array.from({ length: buffer.byteLength / 4 }, (_, place) => view.getUint32(4 * place, true));
      });
    }
    return board.promise;
  }

  // mulberry32: the n-th number depends on n alone, so that any program draws the same users.
  function draws(seed) {
    let state = seed;
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return (mixed ^ (mixed >>> 14)) >>> 0;
    };
  }

  function percentile(sorted, share) {
    const place = share * (sorted.length - 1);
    const below = Math.floor(place);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
  }

  function interval(differences) {
    const next = draws(1);
    const n = differences.length;
    const sums = new Float64Array(RESAMPLES);
    for (let sample = 0; sample < RESAMPLES; sample += 1) {
      let sum = 0;
      for (let user = 0; user < n; user += 1) sum += differences[Math.floor((next() / 4294967296) * n)];
      sums[sample] = sum / n;
    }
    sums.sort();
    return [percentile(sums, 0.025), percentile(sums, 0.975)];
  }

  function compared(board, values) {
    const names = board.rows.map(([id]) => id);
    const level = board.metrics.findIndex(([key]) => key === metric.value) * names.length;
    const [a, b] = [one, other].map((select) => {
      const start = (level + names.indexOf(select.value)) * board.users;
      return values.subarray(start, start + board.users);
    });
    const differences = Float64Array.from(a, (value, user) => value - b[user]);
    const wins = differences.filter((value) => value > ROUNDING).length;
    const losses = differences.filter((value) => value < -ROUNDING).length;
    const sum = (numbers) => numbers.reduce((before, value) => before + value, 0);
    const [low, high] = interval(differences);
    return {
      wins, losses, ties: board.users - wins - losses, one: (sum(a) / board.users) * board.unit,
      other: (sum(b) / board.users) * board.unit, mean: (sum(differences) / board.users) * board.unit,
      low: low * board.unit, high: high * board.unit,
    };
  }

  function element(tag, text, name) {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    if (name) made.className = name;
    return made;
  }

  function signed(value) {
    return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(4);
  }

  function show(board, found) {
    const [first, second] = [one, other].map((select) => select.selectedOptions[0].textContent);
    const share = (n) => `${n.toLocaleString("en-GB")} (${((100 * n) / board.users).toFixed(1)}%)`;
    const title = metric.selectedOptions[0].textContent;
    const clear = found.low > 0 || found.high < 0;
    const bar = element("div", "", "share");
    bar.setAttribute("aria-hidden", "true");
    for (const [name, n] of [["one", found.wins], ["tie", found.ties], ["other", found.losses]]) {
      const span = element("span", "", name);
      span.style.width = `${(100 * n) / board.users}%`;
      bar.append(span);
    }
    const lines = [
      [`${first} wins`, share(found.wins), "wins", "one"], [`${second} wins`, share(found.losses), "losses", "other"],
      ["Ties", share(found.ties), "ties", "tie"], ["Users", board.users.toLocaleString("en-GB"), "users"],
      [`${title}, ${first}`, found.one.toFixed(4), "mean-one"], [`${title}, ${second}`, found.other.toFixed(4), "mean-other"],
      ["Mean difference", signed(found.mean), "mean"],
      ["95% interval", `${signed(found.low)} to ${signed(found.high)}`, "interval"],
    ];
    const grid = element("table");
    grid.append(element("caption", `${first} and ${second}, user by user`, "unseen"));
    const body = grid.createTBody();
    for (const [head, text, name, colour] of lines) {
      const row = body.insertRow();
      const label = element("th", head);
      label.scope = "row";
      if (colour) label.prepend(element("span", "", `swatch ${colour}`));
      const cell = element("td", text);
      cell.dataset.name = name;
      row.append(label, cell);
    }
    const numbers = body.querySelectorAll("td");
    [found.wins, found.losses, found.ties, board.users, found.one, found.other, found.mean].forEach((value, place) => {
      numbers[place].dataset.value = value;
    });
    Object.assign(numbers[7].dataset, { low: found.low, high: found.high });
    const [above, below] = found.mean > 0 ? [first, second] : [second, first];
    const caution = `one pair; not corrected for the ${board.pairs.toLocaleString("en-GB")} possible pairs, nor for other seeds`;
    const verdict = board.few
      ? board.few
      : clear
        ? `In ${title}, ${above} is above ${below} for these users: the interval leaves out zero (${caution}).`
        : `In ${title}, the interval holds zero: no clear difference.`;
    const frame = element("div", "", "scroll");
    frame.append(grid);
    result.replaceChildren(element("p", verdict, "verdict"), bar, frame);
  }

  let requests = 0;
  async function compare() {
    const request = (requests += 1);
    const board = users[table.value];
    if (one.value === other.value) {
      result.replaceChildren(element("p", "Choose two different rows."));
      return;
    }
    if (!("DecompressionStream" in window)) {
      result.replaceChildren(element("p", "This browser cannot unpack the users' scores; a newer one can."));
      return;
    }
    const values = await unpacked(board);
    if (request === requests) show(board, compared(board, values));
  }

  // The address holds table, first row, second row and metric; without them the two best rows are compared.
  const known = ([id, first, second, key]) => {
    const board = Object.hasOwn(users, id) ? users[id] : undefined;
    const rows = board?.rows.map(([row]) => row) ?? [];
    return rows.includes(first) && rows.includes(second) && board.metrics.some(([each]) => each === key);
  };

  function render(state) {
    const [id, ...chosen] = state.compare ? state.compare.split(":") : [Object.keys(users)[0]];
    const board = users[id];
    table.value = id;
    fill(one, board.rows, chosen[0] ?? board.rows[0][0]);
    fill(other, board.rows, chosen[1] ?? board.rows[1][0]);
    fill(metric, board.metrics, chosen[2] ?? board.ranked);
    compare();
  }

  function chooseTable() {
    const board = users[table.value];
    const key = board.metrics.some(([each]) => each === metric.value) ? metric.value : board.ranked;
    leaderboard.set({ compare: [table.value, board.rows[0][0], board.rows[1][0], key].join(":") });
  }

  fill(table, Object.entries(users).map(([id, board]) => [id, board.heading]), Object.keys(users)[0]);
  table.addEventListener("change", chooseTable);
  for (const select of [one, other, metric]) {
    select.addEventListener("change", () => {
      leaderboard.set({ compare: [table, one, other, metric].map((each) => each.value).join(":") });
    });
  }
  leaderboard.declare("compare", (text) => known(text.split(":")));
  leaderboard.listen(["compare"], render);
})();

leaderboard.start();
