"use strict";
(() => {
  const NEXT = { none: "descending", descending: "ascending", ascending: "none" };

  // Sort numbers by value and before words, words alphabetically, and empty cells last in both directions.
  function compare(one, other, column, sign) {
    const [a, b] = [one, other].map((row) => row.cells[column]);
    const [x, y] = [a, b].map((cell) => cell.dataset.value);
    if (x !== undefined && y !== undefined) return sign * (Number(x) - Number(y));
    if (x !== undefined || y !== undefined) return x !== undefined ? -1 : 1;
    const [s, t] = [a, b].map((cell) => cell.textContent.trim());
    if (!s || !t) return Boolean(t) - Boolean(s);
    return sign * s.localeCompare(t, "en", { numeric: true });
  }

  function sort(head) {
    const table = head.closest("table");
    const direction = NEXT[head.getAttribute("aria-sort")];
    const column = head.cellIndex;
    for (const each of head.parentElement.cells) each.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", direction);
    const sign = direction === "descending" ? -1 : 1;
    for (const body of table.tBodies) {
      const rows = [...body.rows];
      rows.sort((a, b) => Number(a.dataset.place) - Number(b.dataset.place));
      if (direction !== "none") rows.sort((a, b) => compare(a, b, column, sign));
      body.append(...rows);
    }
  }

  for (const body of document.querySelectorAll("tbody")) {
    [...body.rows].forEach((row, place) => { row.dataset.place = place; });
  }
  for (const button of document.querySelectorAll("thead button")) {
    button.addEventListener("click", () => sort(button.closest("th")));
  }

  const contents = document.querySelector("nav details");
  if (window.matchMedia("(min-width: 70rem)").matches) contents.open = true;

  // Open all folded sections for printing, and close them afterwards.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("main details:not([open])")];
    for (const each of folded) each.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const each of folded) each.open = false;
  });
})();
