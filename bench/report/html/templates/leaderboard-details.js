"use strict";
// The details of one row, below it in the table.
(() => {
  const { declare, listen, get, set, rowsOf, boardOf } = leaderboard;
  const details = document.createElement("tr");
  details.className = "details";
  const cell = details.insertCell();
  const nameOf = (row) => `${row.closest(".board").id}:${row.dataset.row}`;
  const rowOf = (name) => {
    const [id, row] = name.split(":");
    const board = boardOf(id);
    return board && rowsOf(board).find((each) => each.dataset.row === row);
  };

  function show() {
    for (const row of document.querySelectorAll("tr.selected")) {
      row.classList.remove("selected");
      row.querySelector(".more").setAttribute("aria-expanded", "false");
    }
    details.remove();
    const row = get("row") && rowOf(get("row"));
    if (!row) return;
    row.classList.add("selected");
    row.querySelector(".more").setAttribute("aria-expanded", "true");
    const template = row.closest(".board").querySelector(`[data-details="${row.dataset.row}"]`);
    cell.replaceChildren(template.content.cloneNode(true));
    cell.colSpan = row.cells.length;
    details.hidden = row.hidden;
    row.after(details);
  }

  declare("row", (text) => Boolean(rowOf(text)));
  listen(["row", "rank", "sort", "columns", "search", "kind", "data", "split", "source", "protocol"], show);
  // page.js sorts all rows of a table: take the details out before it does.
  document.addEventListener("click", (event) => { if (event.target.closest("thead")) details.remove(); }, true);
  document.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-row]");
    const marking = String(getSelection()) && !event.target.closest(".more"); // text, to copy it
    if (row && !marking && !event.target.closest("a")) set({ row: get("row") === nameOf(row) ? "" : nameOf(row) });
  });
})();
