// Sorts tables by the column whose head is chosen. Numbers count by value; what is missing is last.
"use strict";

function valueOf(row, column) {
  const text = row.cells[column].textContent.trim();
  const found = /^[<+]?(-?\d*\.?\d+)/.exec(text.replace("−", "-"));
  return found ? Number(found[1]) : text === "–" ? null : text.toLowerCase();
}

function compared(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
  return typeof a === "number" ? -1 : 1;
}

function sortBy(table, head, column) {
  const falling = head.getAttribute("aria-sort") === "descending";
  const sign = falling ? 1 : -1;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falling ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row, column), row]);
  rows.sort(([a], [b]) => (a === null || b === null ? compared(a, b) : sign * compared(a, b)));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll(".sortable table")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(table, head, column));
  });
}
