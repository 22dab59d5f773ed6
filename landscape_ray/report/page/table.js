"use strict";
// Sorts the rows by the column whose button is pressed; pressed again, the other way round. Empty cells stay last.
const body = document.querySelector("#sweeps tbody");
const heads = [...document.querySelectorAll("#sweeps th")];
heads.forEach((head, column) => {
  head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.cells[column].dataset.key;
    const order = (one, other) => {
      if (key(one) === "" || key(other) === "") return (key(one) === "") - (key(other) === "");
      const difference = Number(key(one)) - Number(key(other));
      const ascending = Number.isNaN(difference) ? key(one).localeCompare(key(other)) : difference;
      return down ? -ascending : ascending;
    };
    body.append(...[...body.rows].sort(order));
  });
});
