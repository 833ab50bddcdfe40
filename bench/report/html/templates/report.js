"use strict";
(() => {
  // Open whatever folds the target of a link, so that it can be seen.
  function unfold() {
    let name = location.hash.slice(1);
    try {
      name = decodeURIComponent(name);
    } catch {
      return; // "%" without digits: an address that somebody mistyped
    }
    const target = name && document.getElementById(name);
    if (!target) return;
    const inner = target.matches("section") ? target.querySelector(":scope > details") : null;
    for (let each = inner ?? target; each; each = each.parentElement) {
      if (each.tagName === "DETAILS") each.open = true;
    }
    target.scrollIntoView();
  }
  window.addEventListener("hashchange", unfold);
  unfold();

  // Say where a table is wider than its place.
  const watcher = new ResizeObserver((entries) => {
    for (const { target } of entries) target.classList.toggle("overflows", target.scrollWidth > target.clientWidth + 1);
  });
  for (const each of document.querySelectorAll(".scroll")) watcher.observe(each);
})();
