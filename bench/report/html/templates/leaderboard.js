"use strict";
// What the reader chose is one object of texts, "" for the default. `set` changes it, writes it into the address and
// tells the parts of the page; going back and loading read it from the address. A part is called only when one of its own names changed.
const leaderboard = (() => {
  const allowed = new Map(); // by name, whether a text is a possible value
  const parts = [];
  let state = {};
  let typed = "";

  function read() {
    const given = new URLSearchParams(location.hash.slice(1));
    const entries = [...allowed].map(([name, fits]) => [name, given.get(name) ?? "", fits]);
    return Object.fromEntries(entries.map(([name, text, fits]) => [name, text && fits(text) ? text : ""]));
  }

  function address() {
    const chosen = new URLSearchParams(Object.entries(state).filter(([, text]) => text));
    const text = chosen.toString().replace(/%40/g, "@").replace(/%3A/g, ":").replace(/%2C/g, ",");
    return location.href.split("#")[0] + (text && `#${text}`);
  }

  function apply(next) {
    const before = state;
    state = next;
    for (const [names, render] of parts) {
      if (names.some((name) => before[name] !== state[name])) render(state, before);
    }
  }

  // Letters typed one after another are one step back, not many.
  function set(changes, typing = "") {
    apply({ ...state, ...changes });
    if (address() === location.href) return;
    history[typing && typing === typed ? "replaceState" : "pushState"]({ chosen: true }, "", address());
    typed = typing;
  }

  // A link to a section of the page has scrolled to it: put the choices back into the address.
  window.addEventListener("hashchange", () => {
    const anchor = document.getElementById(location.hash.slice(1));
    if (anchor && !history.state) history.replaceState({ chosen: true }, "", address());
    else apply(read());
    typed = "";
  });

  return {
    boards: [...document.querySelectorAll(".board")],
    rankings: JSON.parse(document.getElementById("rankings").textContent),
    declare: (name, fits) => allowed.set(name, fits),
    listen: (names, render) => parts.push([names, render]),
    get: (name) => state[name],
    set,
    start() {
      history.replaceState({ chosen: true }, "");
      apply(read());
    },
    rowsOf: (board) => [...board.querySelectorAll("tbody tr[data-row]")],
    cell: (row, column) => row.querySelector(`[data-column="${column}"]`),
    boardOf: (id) => leaderboard.boards.find((board) => board.id === id),
    metricOf(board) {
      const own = leaderboard.rankings[board.id];
      return leaderboard.get("rank") in own ? leaderboard.get("rank") : board.dataset.ranked;
    },
  };
})();

// Filters, search, columns, sorting and the ranking metric.
(() => {
  const { boards, rankings, declare, listen, get, set, rowsOf, cell, boardOf, metricOf } = leaderboard;
  const FILTERS = ["data", "split", "source", "protocol"];
  const byId = (name) => document.getElementById(name);
  const [status, search, empty] = ["status", "search", "empty"].map(byId);
  const boxes = [...document.querySelectorAll("input[data-column]")];
  const chips = [...document.querySelectorAll(".chip")];
  const list = (text) => text.split(",").filter(Boolean);
  const has = (values) => (text) => list(text).every((each) => values.includes(each));
  let remark = "";

  for (const select of document.querySelectorAll("[data-choice]")) {
    const name = select.dataset.choice;
    declare(name, has([...select.options].map((option) => option.value)));
    select.addEventListener("change", () => set({ [name]: select.value }));
    listen([name], (state) => { select.value = state[name] || select.options[0].value; });
  }

  // Hide rows and tables that do not match, and say how many are left.
  function filter(state) {
    const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
    const kinds = list(state.kind);
    let [rows, of, tables] = [0, 0, 0];
    for (const board of boards) {
      const fits = FILTERS.every((name) => !state[name] || board.dataset[name] === state[name]);
      let left = 0;
      for (const row of rowsOf(board)) {
        const named = words.every((word) => row.dataset.search.includes(word));
        row.hidden = !(fits && named && (!kinds.length || kinds.includes(row.dataset.kind)));
        left += !row.hidden;
        of += 1;
      }
      board.hidden = !left;
      rows += left;
      tables += Boolean(left);
    }
    empty.hidden = rows > 0 || !of;
    remark = `${rows} of ${of} rows shown, in ${tables} of ${boards.length} tables.`;
    status.textContent = remark;
    if (search.value !== state.search) search.value = state.search;
    for (const chip of chips) chip.setAttribute("aria-pressed", String(kinds.includes(chip.dataset.kind)));
  }

  function say(words) {
    status.textContent = `${remark} ${words}`;
  }

  declare("search", () => true);
  declare("kind", has(chips.map((chip) => chip.dataset.kind)));
  search.addEventListener("input", () => set({ search: search.value }, "search"));
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      const others = list(get("kind")).filter((kind) => kind !== chip.dataset.kind);
      const pressed = chip.getAttribute("aria-pressed") === "true";
      set({ kind: (pressed ? others : [...others, chip.dataset.kind]).join(",") });
    });
  }
  empty.querySelector("button").addEventListener("click", () => {
    set(Object.fromEntries([...FILTERS, "search", "kind"].filter((name) => get(name)).map((name) => [name, ""])));
    search.focus();
  });
  listen([...FILTERS, "search", "kind"], filter);

  // "columns" lists the shown ones; "none" is not a column, and so hides them all.
  const shown = () => boxes.filter((box) => box.checked).map((box) => box.dataset.column).join(",") || "none";
  const first = shown();
  const keys = boxes.map((box) => box.dataset.column);
  declare("columns", has([...keys, "none"]));
  listen(["columns"], (state) => {
    const wanted = list(state.columns || first);
    for (const box of boxes) {
      box.checked = wanted.includes(box.dataset.column);
      for (const each of document.querySelectorAll(`.board [data-column="${box.dataset.column}"]`)) {
        each.hidden = !box.checked;
      }
    }
  });
  const setColumns = () => set({ columns: shown() === first ? "" : shown() });
  for (const box of boxes) {
    box.addEventListener("change", () => {
      setColumns();
      say(`Column ${box.parentElement.textContent.trim()} ${box.checked ? "shown" : "hidden"}.`);
    });
  }
  for (const button of document.querySelectorAll("[data-columns]")) {
    button.addEventListener("click", () => {
      const all = button.dataset.columns === "all";
      for (const box of boxes) box.checked = all || box.defaultChecked;
      setColumns();
      say(all ? "All columns shown." : "Default columns shown.");
    });
  }

  // Put the chosen metric beside the model, and its ranks, differences and p-values into their columns.
  function rank(board) {
    const chosen = metricOf(board);
    const own = rankings[board.id];
    const metrics = [chosen, ...Object.keys(own).filter((metric) => metric !== chosen)];
    const head = board.querySelector("thead tr");
    for (const row of [head, ...rowsOf(board)]) {
      row.querySelector('[data-column="model"]').after(...metrics.map((metric) => cell(row, metric)));
    }
    const button = cell(head, "gap").firstElementChild;
    button.dataset.title ??= button.textContent;
    button.textContent = button.dataset.title.replace(own[board.dataset.ranked].title, own[chosen].title);
    for (const row of rowsOf(board)) {
      for (const [column, [text, value]] of Object.entries(own[chosen].rows[row.dataset.row])) {
        const shownIn = cell(row, column);
        shownIn.textContent = text;
        if (value === null) delete shownIn.dataset.value;
        else shownIn.dataset.value = value;
      }
    }
    const place = (row) => Number(cell(row, "rank").dataset.value ?? Infinity);
    const ranked = rowsOf(board).sort((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)));
    ranked.forEach((row, number) => { row.dataset.place = number; });
    board.querySelector("tbody").append(...ranked);
    const note = board.querySelector(".reranked");
    note.hidden = chosen === board.dataset.ranked;
    const selects = `Ranked here by ${own[chosen].title}; the protocol ranks by ${own[board.dataset.ranked].title}.`;
    note.textContent = own[chosen].tested ? selects : `${selects} Differences and p are hidden: they were not tested.`;
  }

  // page.js sorts at a click: descending, ascending, by rank.
  function sort(board, column, direction) {
    const head = column ? cell(board, column) : board.querySelector("th:is([aria-sort$='scending'])");
    for (let n = 0; head && n < 3 && head.getAttribute("aria-sort") !== direction; n += 1) {
      head.querySelector("button").click();
    }
  }

  const orders = (text) => list(text).map((each) => each.split(":"));
  declare("sort", (text) => orders(text).every(([id, column, direction, ...rest]) => {
    const known = boardOf(id) && keys.concat("model").includes(column) && cell(boardOf(id), column);
    return known && ["ascending", "descending"].includes(direction) && !rest.length;
  }));
  listen(["rank", "sort"], (state, before) => {
    for (const board of boards) {
      if (state.rank !== before.rank && (state.rank || before.rank)) {
        sort(board, "", "none");
        rank(board);
      }
      const [, column, direction] = orders(state.sort).find(([id]) => id === board.id) ?? [];
      sort(board, column, column ? direction : "none");
    }
  });
  for (const button of document.querySelectorAll(".board thead button")) {
    button.addEventListener("click", (event) => {
      if (!event.isTrusted) return; // made by `sort`
      const [head, board] = [button.closest("th"), button.closest(".board")];
      const order = head.getAttribute("aria-sort");
      const others = list(get("sort")).filter((each) => !each.startsWith(`${board.id}:`));
      const own = order === "none" ? [] : [`${board.id}:${head.dataset.column}:${order}`];
      set({ sort: [...others, ...own].join(",") });
      const name = button.closest("table").caption.textContent;
      say(order === "none" ? `${name} in order of rank.` : `${name} sorted by ${button.textContent}, ${order}.`);
    });
  }
})();
